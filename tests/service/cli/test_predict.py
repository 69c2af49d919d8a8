"""The table of `resnet predict`."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_builder.errors import BuilderError
from service.cli.commands import predict as command
from service.cli.commands.predict import _predict_all, _print_table, load_timeout_seconds
from service.cli.main import main
from service.inference.model import Model
from service.inference.outputs import ClassScore
from service.inference.runtime import Runtime
from service.inference.service import InferenceService
from service.settings import Settings
from tests.service.conftest import MakeModel
from tests.service.fakes import WAIT_SECONDS


def test_a_label_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich reads brackets in a string as markup, and [/b] alone as an error in it."""
    scores = (
        ClassScore(0, "", "[/b] tulip", 0.75),
        ClassScore(1, "", "[red] rose", 0.25),
    )
    _print_table([Path("[bold].jpg")], [scores])
    printed = capsys.readouterr().out
    assert "[bold].jpg" in printed
    assert "[/b] tulip" in printed
    assert "[red] rose" in printed


def test_a_pipe_is_not_waited_for(
    make_model: MakeModel, service_of: Callable[[Model], InferenceService], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "photo.jpg")
    service = service_of(make_model("resnet18.a"))
    (said,) = asyncio.run(_predict_all(service, [tmp_path / "photo.jpg"], None))
    assert said == f"{tmp_path / 'photo.jpg'} is a pipe, not a file"


def test_a_model_that_does_not_load_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()

    def load(_: str) -> Model:
        released.wait(WAIT_SECONDS)
        raise BuilderError("the test is over")

    monkeypatch.setattr(command, "Runtime", partial(Runtime, load=load))
    monkeypatch.setattr(command, "load_timeout_seconds", lambda _: 0.01)
    # Its handler would be that of an output that is closed when the loading ends.
    monkeypatch.setattr(command, "configure_logging", lambda *_: None)
    try:
        done = CliRunner().invoke(main, ["predict", "photo.jpg", "--model", "resnet18"])
    finally:
        released.set()
    assert done.exit_code == 2
    assert "resnet18 was not ready after 0.01 s" in done.output
    assert load_timeout_seconds(Settings()) == 3600 + 2 * 3600
