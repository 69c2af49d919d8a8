"""The table of `resnet predict`."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from model_builder.artifact.head import softmax
from model_builder.errors import BuilderError
from service.cli.commands import predict as command
from service.cli.commands.predict import _predict_all, load_timeout_seconds
from service.cli.main import main
from service.cli.outputs import PhotoOutputs
from service.cli.predicted import Predicted, print_json, print_table
from service.inference.confidence.assessor import Assessor
from service.inference.model import Model
from service.inference.outputs import ClassScore
from service.inference.runtime import Runtime
from service.inference.service import InferenceService
from service.settings import Settings
from tests.service.confidence_fit import features_of, fitted_to, logits_of
from tests.service.conftest import MakeModel
from tests.service.fakes import WAIT_SECONDS
from tests.service.images import COLORS, plain


def test_a_label_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich reads brackets in a string as markup, and [/b] alone as an error in it."""
    scores = (
        ClassScore(0, "", "[/b] tulip", 0.75),
        ClassScore(1, "", "[red] rose", 0.25),
    )
    print_table([Path("[bold].jpg")], [Predicted(scores, {}, {})])
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


def test_a_file_that_is_missing_is_named_in_words(
    make_model: MakeModel, service_of: Callable[[Model], InferenceService], tmp_path: Path
) -> None:
    service = service_of(make_model("resnet18.a"))
    (said,) = asyncio.run(_predict_all(service, [tmp_path / "photo.jpg"], None, PhotoOutputs({})))
    assert said == f"There is no file {tmp_path / 'photo.jpg'}"


def test_a_name_that_is_no_model_is_said_once(tmp_path: Path) -> None:
    """The log had it too, as a line of JSON."""
    code = "import sys; from service.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "predict", "a.jpg", "--model", "resnet99"]
    done = subprocess.run(
        [*command, "--home", str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert done.stderr.count("No model is called 'resnet99'") == 1


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
    print_json([photo], outcomes, predictions=outputs.has_predictions)
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
    (found,) = asyncio.run(_predict_all(service, [photo], 1, outputs))
    assert isinstance(found, Predicted)
    assert [one.label for one in found.scores] == ["red"]
    assert overlay.read_bytes().startswith(b"\x89PNG")


def test_a_calibrated_model_says_how_sure_it_is(
    make_model: MakeModel,
    service_of: Callable[[Model], InferenceService],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    model = make_model("resnet18.a")
    model.assessor = Assessor(model.artifact.head, fitted_to("red", "green"))
    photos = [tmp_path / f"{color}.png" for color in ("red", "black")]
    for photo in photos:
        photo.write_bytes(plain(photo.stem))
    outcomes = asyncio.run(_predict_all(service_of(model), photos, 2, PhotoOutputs({}), 0.9))
    print_json(photos, outcomes, predictions=True)
    red, black = json.loads(capsys.readouterr().out)
    assert [*red] == ["image", "predictions", "abstained", "ood_score", "out_of_distribution"]
    expected = softmax(logits_of(features_of(COLORS["red"]))[0] / 2)
    for one in red["predictions"]:
        assert one["confidence"] == pytest.approx(expected[one["class_id"]], abs=1e-6)
        assert one["confidence"] != one["probability"]
    assert (red["abstained"], red["out_of_distribution"]) == (False, False)
    assert (black["abstained"], black["out_of_distribution"]) == (True, True)
    assert red["ood_score"] < 1 < black["ood_score"]
    print_table(photos, outcomes)
    printed = capsys.readouterr().out
    for said in ("confidence", "not abstained", f"out of distribution: score {black['ood_score']}"):
        assert said in printed


def test_without_a_calibration_nothing_is_said_of_it(
    make_model: MakeModel,
    service_of: Callable[[Model], InferenceService],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photo = tmp_path / "red.png"
    photo.write_bytes(plain("red"))
    service = service_of(make_model("resnet18.a"))
    outcomes = asyncio.run(_predict_all(service, [photo], 1, PhotoOutputs({})))
    print_json([photo], outcomes, predictions=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert [*row] == ["image", "predictions"]
    assert "confidence" not in row["predictions"][0]
    print_table([photo], outcomes)
    assert "confidence" not in capsys.readouterr().out


def test_numbers_in_base64_are_those_of_the_list(
    make_model: MakeModel, service_of: Callable[[Model], InferenceService], tmp_path: Path
) -> None:
    photo = tmp_path / "red.png"
    photo.write_bytes(plain("red"))
    service = service_of(make_model("resnet18.a"))
    asked = {"outputs": "embedding,class_activation_map", "classes": "red"}
    found = []
    for options in (asked, {**asked, "encoding_format": "base64"}):
        (one,) = asyncio.run(_predict_all(service, [photo], None, PhotoOutputs(options)))
        assert isinstance(one, Predicted)
        found.append(one.outputs)
    listed, packed = found
    for numbers, text in (
        (listed["embedding"], packed["embedding"]),
        (listed["class_activation_maps"][0]["map"], packed["class_activation_maps"][0]["map"]),
    ):
        read = np.frombuffer(base64.b64decode(text), "<f4")
        assert read.tolist() == np.ravel(numbers).tolist()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a.jpg", "--abstain-below", "1.5"], "--abstain-below"),
        (["a.jpg", "b.jpg", "--overlay", "c.png"], "--overlay takes one image. Received: 2"),
        (["a.jpg", "--overlay", "/nowhere/c.png"], "There is no folder /nowhere"),
        (["a.jpg", "--outputs", "embedding"], "--outputs needs --json"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(main, ["predict", *arguments])
    assert (done.exit_code, says in done.output) == (2, True)
