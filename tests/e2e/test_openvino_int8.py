"""int8 with OpenVINO: quantized by the command, verified, and served without what built it."""

from __future__ import annotations

import io
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from model_builder.artifact.store_format import read_artifact
from tests.e2e.conftest import resnet, running, without_tensorflow
from tests.model_builder.reference import random_images, random_state_dict
from tests.model_builder.torch_layout import save_safetensors

RECIPE = [
    *("--resize=64", "--crop=64", "--interpolation=bilinear", "--channels=RGB"),
    *("--mean", "123.675", "116.28", "103.53", "--std", "58.395", "57.12", "57.375"),
    *("--variant=v1.5", "--epsilon=1e-5"),
]
OPENVINO = ("--engine=openvino",)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a ResNet-18 of four classes, imported."""
    cache = tmp_path_factory.mktemp("cache")
    (cache / "labels.txt").write_text("a\nb\nc\nd\n")
    state_dict = random_state_dict(18, np.random.default_rng(0), classes=4)
    file = save_safetensors(cache / "weights.safetensors", state_dict)
    labels = f"--labels={cache / 'labels.txt'}"
    done = resnet("import", str(file), "--name=own", labels, *RECIPE, f"--home={cache}")
    assert done.returncode == 0, done.stderr
    return cache


@pytest.fixture(scope="module")
def folder(cache: Path) -> Path:
    done = resnet("quantize", "own", *OPENVINO, f"--home={cache}")
    assert done.returncode == 0, done.stderr
    folder, calibrated, agreement = done.stdout.splitlines()
    assert calibrated.startswith("Calibrated on 160 crops of the photos that come with the code")
    assert agreement.startswith("Names the class that float32 names for ")
    return Path(folder)


def test_quantizing_writes_its_own_artifact(folder: Path, cache: Path) -> None:
    assert folder == cache / "artifacts" / "own-openvino-int8"
    manifest = read_artifact(folder).manifest
    assert (manifest.engine, manifest.precision) == ("openvino", "int8")
    assert {"nncf", "openvino"} <= manifest.versions.keys()


def test_its_logits_are_verified(folder: Path, cache: Path) -> None:
    assert folder.is_dir()
    done = resnet("verify", "own", *OPENVINO, "--precision=int8", f"--home={cache}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("own in int8 on cpu:0")
    assert "files whole" in done.stdout


def test_it_is_served_without_what_built_it(folder: Path, cache: Path, tmp_path: Path) -> None:
    assert folder.is_dir()
    hidden = without_tensorflow(tmp_path)
    (hidden / "nncf.py").write_text("raise ModuleNotFoundError('no nncf here')\n")
    file = io.BytesIO()
    Image.fromarray(random_images(1, size=64, seed=0)[0]).save(file, "PNG")
    environment = {
        "RESNET_HOME": str(cache),
        "RESNET_MODELS": "own",
        "RESNET_ENGINE": "openvino",
        "RESNET_PRECISION": "int8",
        "RESNET_MIN_AGREEMENT_PERCENT": "0",
        "PYTHONPATH": str(hidden),
    }
    with running(environment) as server:
        assert server.url, server.messages()
        answer = httpx2.post(
            f"{server.url}/predict", files={"file": ("x.png", file.getvalue())}, timeout=60
        )
        model = httpx2.get(f"{server.url}/models/own", timeout=60).json()
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"]["precision"] == "int8"
    (served,) = [one["served"] for one in model["checkpoints"] if one["served"]]
    assert served["engine"] == "openvino"


def test_without_nncf_the_command_says_how_to_get_it(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "nncf.py").write_text("raise ModuleNotFoundError('no nncf here')\n")
    quantize = ("quantize", "own", *OPENVINO, f"--home={cache}", f"--calibration={cache}")
    Image.new("RGB", (80, 80)).save(cache / "other.png")
    done = resnet(*quantize, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "own can't be quantized. int8 for OpenVINO is made with NNCF" in done.stderr
    assert "`pip install nncf` installs it. Received: no nncf here" in done.stderr
