"""resnet import of classifiers with one logit or several layers, of small stems and of grey."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from model_builder.checkpoints.custom import CustomCheckpoint, read_custom
from model_builder.networks.head import HiddenLayer
from service.cli.main import main
from tests.model_builder.reference import random_state_dict
from tests.model_builder.torch_layout import save_safetensors

LIKE = ("--like", "resnet50.tv_in1k")


def imported(folder: Path, *options: str, classes: int = 3, **changes: Any) -> tuple[int, str]:
    """Of a ResNet-18: the exit status, and what was printed."""
    tensors = random_state_dict(18, np.random.default_rng(0), classes, **changes)
    path = save_safetensors(folder / "weights.safetensors", tensors)
    labels = folder / "labels.txt"
    labels.write_text("".join(f"class {index}\n" for index in range(classes)))
    arguments = ["import", str(path), "--name", "mine", "--labels", str(labels), *LIKE, *options]
    done = CliRunner().invoke(main, [*arguments, "--home", str(folder / "home")])
    assert "Traceback" not in done.output
    return done.exit_code, " ".join(done.output.split())


def stored(folder: Path) -> CustomCheckpoint:
    return read_custom(folder / "home" / "own", "mine")


@pytest.mark.parametrize("activation", [(), ("--activation", "softmax")])
def test_one_logit_is_refused_without_a_sigmoid(
    activation: tuple[str, ...], tmp_path: Path
) -> None:
    status, printed = imported(tmp_path, *activation, classes=1)
    assert status == 2
    assert "one logit, of which a softmax is always 1: --activation sigmoid makes it" in printed


def test_one_logit_with_a_sigmoid(tmp_path: Path) -> None:
    status, printed = imported(tmp_path, "--activation", "sigmoid", classes=1)
    assert status == 0, printed
    assert "1 class, each with a sigmoid" in printed
    assert stored(tmp_path).architecture.activation == "sigmoid"


def test_a_small_stem_is_said(tmp_path: Path) -> None:
    status, printed = imported(tmp_path, "--resize", "32", "--crop", "32", stem=(3,))
    assert status == 0, printed
    assert "a 3x3 stem with stride 1 and no max pool" in printed
    assert stored(tmp_path).architecture.stem == "3x3"


def test_grey_has_one_mean(tmp_path: Path) -> None:
    status, printed = imported(tmp_path, channels=1)
    assert status == 2
    assert "has one channel, and so one mean and one std" in printed
    same = ("--mean", *["127.5"] * 3, "--std", *["60"] * 3)
    status, printed = imported(tmp_path, *same, channels=1)
    assert status == 0, printed
    assert "one channel (grey)" in printed
    assert stored(tmp_path).architecture.input_channels == 1


def test_hidden_layers_are_kept_in_the_import() -> None:
    """As JSON, and back."""
    from pydantic import TypeAdapter

    from model_builder.networks.config import ResNetConfig

    config = ResNetConfig(
        "mine",
        "basic",
        (1, 1, 1, 1),
        hidden_layers=(HiddenLayer(20), HiddenLayer(7, "none")),
        activation="sigmoid",
        stem="deep",
        stem_widths=(24, 32),
    )
    adapter = TypeAdapter(ResNetConfig)
    assert adapter.validate_json(adapter.dump_json(config)) == config
