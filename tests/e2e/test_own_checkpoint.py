"""Weights of one's own: imported, built, verified, listed and served, each by the real thing."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from service.head import softmax
from tests.e2e.conftest import running
from tests.model_builder.networks import relative_difference
from tests.model_builder.published import keras_weights, save_tfjs
from tests.model_builder.reference import (
    normalised,
    random_pictures,
    random_reference,
)
from tests.model_builder.torch_layout import save_safetensors

NAME = "flowers"
CLASSES = ["daisy", "rose", "tulip", "violet"]
SIZE = 64
RECIPE = [
    "--resize=64",
    "--crop=64",
    "--interpolation=bilinear",
    "--channels=RGB",
    *("--mean", "123.675", "116.28", "103.53"),
    *("--std", "58.395", "57.12", "57.375"),
]


def resnet(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from service.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments, f"--home={home}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@dataclass(frozen=True)
class Imported:
    home: Path
    file: Path
    labels: Path
    said: str
    pictures: Any
    probabilities: Any


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """A random ResNet-18 in torchvision's names, and what a plain NumPy network makes of it."""
    folder = tmp_path_factory.mktemp("own")
    reference = random_reference(18, classes=len(CLASSES), seed=3)
    file = save_safetensors(folder / "trained.safetensors", reference.state_dict)
    labels = folder / "labels.txt"
    labels.write_text("\n".join(CLASSES) + "\n")
    pictures = random_pictures(3, seed=4, size=SIZE)
    done = resnet(
        folder,
        "import",
        str(file),
        f"--name={NAME}",
        f"--labels={labels}",
        "--epsilon=1e-5",
        *RECIPE,
    )
    assert done.returncode == 0, done.stderr
    probabilities = softmax(np.asarray(reference.logits(normalised(pictures)), np.float32))
    return Imported(folder, file, labels, done.stdout, pictures, probabilities)


def test_import_says_what_it_found(imported: Imported) -> None:
    assert f"{NAME}: resnet18, shortcuts B, v1.5, 4 classes" in imported.said
    assert f"RESNET_MODEL={NAME}" in imported.said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name=resnet50", *RECIPE], "'resnet50' is the catalogue's"),
        (["--name=../up", *RECIPE], "A name has up to 100 letters"),
        (["--name=x", *RECIPE], "4 classes: name them with --labels"),
        (["--name=x", "--depth=50", *RECIPE], "The file holds a resnet18. Received: 50"),
        (["--name=x"], "How the network was fed has to be stated"),
        (["--name=x", "--like=resnet51"], "No model is called 'resnet51'"),
    ],
)
def test_what_is_missing_or_wrong_is_said(
    imported: Imported, arguments: list[str], said: str
) -> None:
    done = resnet(imported.home, "import", str(imported.file), "--epsilon=1e-5", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_labels_must_be_as_many_as_the_classes(imported: Imported, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text('["daisy", "rose"]')
    done = resnet(
        imported.home,
        "import",
        str(imported.file),
        "--name=x",
        f"--labels={labels}",
        "--epsilon=1e-5",
        *RECIPE,
    )
    assert done.returncode == 2
    assert "The classifier has 4 classes. Received: 2 labels" in done.stderr


def test_it_is_served_with_the_answers_of_the_network_it_was(imported: Imported) -> None:
    environment = {
        "RESNET_HOME": str(imported.home),
        "RESNET_MODEL": NAME,
        "RESNET_PRECISION": "float32",
    }
    with running(environment) as server:
        assert server.url, server.messages()
        listed = httpx2.get(f"{server.url}/models/{NAME}").json()
        (own,) = [one for one in listed["checkpoints"] if one["name"] == NAME]
        assert (listed["depth"], own["state"]) == (18, "ready")
        for picture, expected in zip(imported.pictures, imported.probabilities, strict=True):
            body = io.BytesIO()
            Image.fromarray(picture).save(body, "PNG")
            answer = httpx2.post(
                f"{server.url}/predict",
                params={"top_k": len(CLASSES), "model": NAME},
                files={"file": body.getvalue()},
            ).json()
            received = {one["label"]: one["probability"] for one in answer["predictions"]}
            in_order = [received[name] for name in CLASSES]
            assert relative_difference(in_order, expected) < 1e-3


def test_verify_passes_and_finds_a_changed_file(imported: Imported) -> None:
    pulled = resnet(imported.home, "pull", NAME, "--precision=float32")
    assert pulled.returncode == 0, pulled.stderr
    arguments = ("verify", NAME, "--precision=float32")
    passed = resnet(imported.home, *arguments)
    assert passed.returncode == 0, passed.stderr
    assert "passed" in passed.stdout
    head = Path(pulled.stdout.strip()) / "head.safetensors"
    head.write_bytes(head.read_bytes()[:-4] + b"\0\0\0\0")
    failed = resnet(imported.home, *arguments)
    assert failed.returncode == 2
    assert "is not as it was written: head.safetensors" in failed.stderr


def test_remove_leaves_nothing_of_it(imported: Imported) -> None:
    file = imported.file
    second = resnet(
        imported.home,
        "import",
        str(file),
        "--name=second",
        f"--labels={imported.labels}",
        "--epsilon=1e-5",
        *RECIPE,
    )
    assert second.returncode == 0, second.stderr
    removed = resnet(imported.home, "remove", "second")
    assert "Removed" in removed.stdout
    again = resnet(imported.home, "remove", "second")
    assert again.returncode == 2
    assert "No model is called 'second'" in again.stderr


def test_a_folder_of_tensorflow_js_is_taken_in(imported: Imported, tmp_path: Path) -> None:
    reference = random_reference(50, classes=len(CLASSES), seed=5)
    folder = save_tfjs(tmp_path, keras_weights(reference))
    done = resnet(
        imported.home,
        "import",
        str(folder),
        "--name=folder",
        f"--labels={imported.labels}",
        *RECIPE,
    )
    assert done.returncode == 0, done.stderr
    assert "folder: resnet50, shortcuts B, v1, 4 classes" in done.stdout
