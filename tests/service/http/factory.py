"""A factory without arguments around a fake model, for `uvicorn --factory`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fastapi import FastAPI

from service import create_app
from service.inference.model import Model
from tests.service.color_artifact import MODEL_NAME, write_color_artifact
from tests.service.fakes import FakeEngine, Recorder, batch_sizes_of, eventually


def make() -> FastAPI:
    """As `service.create_app`, its models loaded from a folder of this process's own."""
    folder = Path(tempfile.mkdtemp())

    def load(_: str) -> Model:
        # Loading until the test says otherwise.
        eventually(Path(os.environ["LOAD_WHEN_THERE_IS"]).exists)
        engine = FakeEngine()
        model = Model(
            write_color_artifact(folder / MODEL_NAME),
            (engine,),
            Recorder(),
            batch_sizes=batch_sizes_of(engine),
            queue_limit=10,
            wait_limit_seconds=10,
        )
        model.start()
        return model

    return create_app(load=load)
