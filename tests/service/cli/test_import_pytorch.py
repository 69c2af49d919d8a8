"""resnet import of PyTorch's files: several networks in one, and folders of the hub."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from model_builder.checkpoints.custom import TENSORS, read_custom
from service.cli.main import main
from tests.model_builder.reference import random_state_dict
from tests.model_builder.torch_files import Made, save_zip, tensors

run = CliRunner(env={"COLUMNS": "200"}).invoke


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file of weights, as a training script leaves it."""
    raw, averaged = (random_state_dict(18, np.random.default_rng(i), classes=3) for i in (0, 1))
    saved = {
        "model": tensors(raw),
        "model_ema": {f"module.{name}": one for name, one in tensors(averaged).items()},
        "args": Made("argparse", "Namespace", (), {"lr": 0.1}),
    }
    folder = tmp_path_factory.mktemp("trained")
    (folder / "labels.txt").write_text("cat\ndog\nrat\n")
    save_zip(folder / "pytorch_model.bin", saved)
    return folder


def imported(file: Path, home: Path, *arguments: str) -> Result:
    labels = f"--labels={(file if file.is_dir() else file.parent) / 'labels.txt'}"
    named = ["--name=pets", "--like=resnet18.tv_in1k", labels, f"--home={home}", "--replace"]
    return run(main, ["import", str(file), *named, *arguments])


def test_the_average_is_taken_and_named_and_key_takes_the_other(
    trained: Path, tmp_path: Path
) -> None:
    stored = tmp_path / "own" / "pets" / TENSORS
    done = imported(trained, tmp_path)
    assert done.exit_code == 0, done.output
    assert (
        "It holds several networks. Taken: model_ema.module, the average of the weights over "
        "training. --key takes another: model\n" in done.output
    )
    averaged = stored.read_bytes()
    done = imported(trained / "pytorch_model.bin", tmp_path, "--key", "model")
    assert done.exit_code == 0, done.output
    assert "It holds several networks" not in done.output
    assert stored.read_bytes() != averaged
    done = imported(trained, tmp_path, "--key", "model_ema")
    assert done.exit_code == 0, done.output
    assert stored.read_bytes() == averaged
    assert read_custom(tmp_path / "own", "pets").digest.startswith("sha256-")


def test_a_key_that_is_not_there_lists_those_that_are(trained: Path, tmp_path: Path) -> None:
    done = imported(trained, tmp_path, "--key", "ema")
    assert done.exit_code != 0
    assert "has networks at model, model_ema.module. Received: --key ema" in done.output


def test_other_formats_have_no_keys(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    done = imported(tmp_path, tmp_path, "--key", "model")
    assert done.exit_code != 0
    assert "Files of PyTorch have keys. model.json is one of tfjs" in done.output
