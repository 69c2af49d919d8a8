"""Weights of one's own: imported, built, verified, listed and served, each by the real thing."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from service.cli.main import main
from tests.e2e.conftest import COMMAND_TIMEOUT_SECONDS, Server, running
from tests.e2e.own_files import CLASSES, OWN_FILES, OwnFile, Pixels, Wide
from tests.model_builder.published import TOLERANCE
from tests.model_builder.random_networks import relative_difference
from tests.model_builder.reference import random_images

# Keras's own writer of HDF5 meets NumPy 2 so.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FILE = OWN_FILES[0]
EACH = pytest.mark.parametrize("own", OWN_FILES, ids=lambda own: own.name)
RECIPE = [
    "--resize=64",
    "--crop=64",
    "--interpolation=bilinear",
    "--channels=RGB",
    *("--mean", "123.675", "116.28", "103.53"),
    *("--std", "58.395", "57.12", "57.375"),
]
# Wider than high, and larger than what is cropped of them.
IMAGES = random_images(2, seed=1, size=128)[:, 16:112]


def resnet(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments, f"--home={home}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_TIMEOUT_SECONDS,
    )


def refused(home: Path, *arguments: str) -> Result:
    """In this process: it says no before there is anything to do."""
    return CliRunner().invoke(main, ["import", *arguments, f"--home={home}"])


@dataclass(frozen=True)
class Imported:
    """said: what `resnet import` did, by name. logits: [images, classes], by name."""

    home: Path
    file: Path
    labels: Path
    said: dict[str, str]
    logits: dict[str, Wide]


@pytest.fixture(scope="module")
def imported() -> Iterator[Imported]:
    """Every depth, each from a layout of its own."""
    # Gigabytes, which pytest's own folders would keep.
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        labels = home / "labels.txt"
        labels.write_text("\n".join(CLASSES) + "\n")
        files, logits = {}, {}
        for own in OWN_FILES:
            folder = home / own.name
            folder.mkdir()
            reference = own.reference()
            files[own.name] = own.write(folder, reference)
            logits[own.name] = np.concatenate([reference.logits(own.fed(x)) for x in IMAGES])

        def done(*arguments: str) -> str:
            command = resnet(home, *arguments)
            assert command.returncode == 0, command.stderr
            return command.stdout

        said = {
            own.name: done("import", str(files[own.name]), f"--labels={labels}", *own.options())
            for own in OWN_FILES
        }
        done("pull", *said, "--precision=float32")
        yield Imported(home, files[FILE.name], labels, said, logits)


@EACH
def test_import_says_what_it_found(imported: Imported, own: OwnFile) -> None:
    said = imported.said[own.name]
    variant = "v1" if own.from_keras else "v1.5"
    assert f"{own.name}: resnet{own.depth}, shortcuts B, {variant}, 4 classes" in said
    assert f"RESNET_MODELS={own.name}" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name=resnet50", *RECIPE], "are reserved, resnetNN and those"),
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
    done = refused(imported.home, str(imported.file), "--epsilon=1e-5", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr


def test_labels_must_be_as_many_as_the_classes(imported: Imported, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text('["daisy", "rose"]')
    named = ("--name=x", f"--labels={labels}")
    done = refused(imported.home, str(imported.file), *named, "--epsilon=1e-5", *RECIPE)
    assert done.exit_code == 2
    assert "labels.json names 2 classes, and the classifier has 4" in done.stderr


@pytest.fixture(scope="module")
def server(imported: Imported) -> Iterator[Server]:
    """All five, in one process."""
    environment = {
        "RESNET_HOME": str(imported.home),
        "RESNET_MODELS": ",".join(own.name for own in OWN_FILES),
        "RESNET_PRECISION": "float32",
        # One size to warm up for each of them.
        "RESNET_MAX_BATCH_SIZE": "1",
    }
    with running(environment) as server:
        assert server.url, server.messages()
        yield server


@EACH
def test_it_is_served_with_the_answers_of_the_network_it_was(
    imported: Imported, server: Server, own: OwnFile
) -> None:
    answer = httpx2.post(
        f"{server.url}/predict",
        params={"top_k": len(CLASSES), "model": own.name},
        files=[("file", (f"{index}.png", png(x))) for index, x in enumerate(IMAGES)],
    ).json()
    assert answer["model"]["name"] == own.name
    received = np.array([logits(result["predictions"]) for result in answer["results"]])
    expected = imported.logits[own.name]
    expected = expected - expected.mean(axis=1, keepdims=True)
    assert relative_difference(received, expected) < TOLERANCE


def png(image: Pixels) -> bytes:
    body = io.BytesIO()
    Image.fromarray(image).save(body, "PNG")
    return body.getvalue()


def logits(predictions: list[dict[str, Any]]) -> Wide:
    """Of each class less their mean: all that probabilities tell of them."""
    probabilities = {one["label"]: one["probability"] for one in predictions}
    logs = np.log([probabilities[name] for name in CLASSES])
    return np.asarray(logs - logs.mean(), np.float64)


def test_each_is_listed_with_what_it_took(server: Server) -> None:
    served = {}
    for own in OWN_FILES:
        listed = httpx2.get(f"{server.url}/models/{own.name}").json()
        (row,) = [one for one in listed["checkpoints"] if one["name"] == own.name]
        assert (listed["depth"], row["state"]) == (own.depth, "ready")
        assert row["served"]["load_seconds"] > 0
        assert row["served"]["memory_bytes"] > 4 * listed["parameters"]
        served[own.depth] = row["served"]["memory_bytes"]
    resident = psutil.Process(server.process.pid).memory_info().rss
    # The first has the framework's on top of its own.
    assert served[50] < served[101] < served[152]
    assert 0.8 * resident < sum(served.values()) < 1.1 * resident


def test_verify_passes_and_finds_a_changed_file(imported: Imported) -> None:
    arguments = ("verify", FILE.name, "--precision=float32")
    passed = resnet(imported.home, *arguments)
    assert passed.returncode == 0, passed.stderr
    assert "passed" in passed.stdout
    head = imported.home / "artifacts" / f"{FILE.name}-openvino-float32" / "head.safetensors"
    head.write_bytes(head.read_bytes()[:-4] + b"\0\0\0\0")
    failed = resnet(imported.home, *arguments)
    assert failed.returncode == 2
    assert "is not as it was written: head.safetensors" in failed.stderr


def test_remove_leaves_nothing_of_it(imported: Imported) -> None:
    second = resnet(
        imported.home,
        "import",
        str(imported.file),
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
