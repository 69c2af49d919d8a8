"""The table of `resnet predict`."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from model_builder.errors import BuilderError
from service.cli.commands import predict as command
from service.cli.commands.predict import (
    _predict_all,
    _print_json,
    _print_table,
    load_timeout_seconds,
)
from service.cli.main import main
from service.cli.outputs import PhotoOutputs
from service.inference.model import Model
from service.inference.outputs import ClassScore
from service.inference.runtime import Runtime
from service.inference.service import InferenceService
from service.settings import Settings
from tests.service.conftest import MakeModel
from tests.service.fakes import WAIT_SECONDS
from tests.service.images import plain


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
    (said,) = asyncio.run(_predict_all(service, [tmp_path / "photo.jpg"], None, PhotoOutputs({})))
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


def test_outputs_in_json_and_an_overlay(
    make_model: MakeModel,
    service_of: Callable[[Model], InferenceService],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, photo, overlay = make_model("resnet18.a"), tmp_path / "red.png", tmp_path / "heat.png"
    photo.write_bytes(plain("red", (80, 40)))
    options = {"outputs": "embedding,class_activation_map", "classes": "red,4", "normalized": True}
    outputs = PhotoOutputs(options, overlay)
    outcomes = asyncio.run(_predict_all(service_of(model), [photo], None, outputs))
    _print_json([photo], outcomes, outputs)
    (row,) = json.loads(capsys.readouterr().out)
    assert [*row] == ["image", "embedding", "class_activation_maps", "crop_box"]
    assert row["embedding"][:2] == [1, 0]
    first, second = row["class_activation_maps"]
    assert (first["class_id"], second["class_id"], first["shape"]) == (0, 4, [2, 2])
    assert np.array(first["map"]).max() == first["max"]
    assert (row["crop_box"]["width"], row["crop_box"]["height"]) == (80, 40)
    with Image.open(overlay) as image:
        assert image.size == (80, 40)
        assert image.convert("RGBA").getchannel("A").getextrema() == (0, 200)


def test_an_overlay_alone_leaves_the_table_as_it_is(
    make_model: MakeModel, service_of: Callable[[Model], InferenceService], tmp_path: Path
) -> None:
    photo, overlay = tmp_path / "red.png", tmp_path / "heat.png"
    photo.write_bytes(plain("red"))
    outputs = PhotoOutputs({}, overlay)
    service = service_of(make_model("resnet18.a"))
    (scores,) = asyncio.run(_predict_all(service, [photo], 1, outputs))
    assert not isinstance(scores, str)
    assert [one.label for one in scores] == ["red"]
    assert overlay.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a.jpg", "b.jpg", "--overlay", "c.png"], "--overlay takes one image. Received: 2"),
        (["a.jpg", "--outputs", "embedding"], "--outputs needs --json"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(main, ["predict", *arguments])
    assert (done.exit_code, says in done.output) == (2, True)
