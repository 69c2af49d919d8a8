"""int8 on a CPU: quantized once, then served where there is no TensorFlow."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx2
import psutil
import pytest

from model_builder.artifact.report import Measurement, write_report
from model_builder.artifact.store_format import read_artifact
from service.engines.base import Hardware
from service.engines.registry import engine_for
from tests.e2e.conftest import Server, resnet, running, without_tensorflow

pytestmark = pytest.mark.weights

PHOTOS = Path(__file__).parents[1] / "photos"
MAX_RESIDENT_BYTES = 300e6
ENGINE = engine_for("int8", Hardware("cpu", 1)).name


@pytest.fixture
def folder(int8_server: Server, home: Path) -> Path:
    assert int8_server.url
    return home / "artifacts" / f"resnet50.keras_in1k-{ENGINE}-int8"


def test_photos_are_named_without_tensorflow(int8_server: Server) -> None:
    """The server would have ended at the first import of it."""
    files = [("file", (path.name, path.read_bytes())) for path in sorted(PHOTOS.glob("*.jpg"))]
    answer = httpx2.post(f"{int8_server.url}/predict", files=files, timeout=60).json()
    labels = [one["predictions"][0]["label"] for one in answer["results"]]
    assert labels == ["Egyptian cat", "espresso", "military uniform"]
    assert answer["model"]["precision"] == "int8"


def test_with_every_batch_size_warm_it_takes_little_memory(int8_server: Server) -> None:
    assert psutil.Process(int8_server.process.pid).memory_info().rss < MAX_RESIDENT_BYTES


def test_what_was_measured_is_kept_for_the_next_start(folder: Path, home: Path) -> None:
    plan = json.loads((home / "plans" / f"{folder.name}.json").read_text())
    assert plan["key"]["engine"].startswith(f"{ENGINE} ")
    assert 0 < plan["seconds"]["1"] < 60


def test_its_report_is_in_the_models(int8_server: Server) -> None:
    model = httpx2.get(f"{int8_server.url}/models/resnet50").json()
    (served,) = [one["served"] for one in model["checkpoints"] if one["served"]]
    assert served["engine"] == ENGINE
    (measured,) = [one for one in served["measured"] if one["images"].startswith("other crops")]
    assert measured["count"] == 128
    assert 75 <= measured["agreement_percent"] < 100


def test_the_manifest_says_what_it_was_calibrated_on(folder: Path) -> None:
    calibration = read_artifact(folder).manifest.calibration
    assert calibration is not None
    assert (calibration.photos, calibration.crops) == (8, 160)


def test_its_logits_are_verified(folder: Path) -> None:
    assert folder.is_dir()
    done = resnet("verify", "resnet50", "--precision", "int8")
    assert done.returncode == 0, done.stderr
    assert f"resnet50.keras_in1k in int8 on cpu:0 by {ENGINE}: files whole" in done.stdout


def test_quantizing_again_with_the_same_images_changes_nothing(folder: Path) -> None:
    before = (folder / "manifest.json").stat().st_mtime_ns
    done = resnet("quantize", "resnet50")
    assert done.returncode == 0, done.stderr
    assert "Calibrated on 160 crops" in done.stdout
    assert (folder / "manifest.json").stat().st_mtime_ns == before


def test_one_that_disagrees_too_often_is_not_served(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "poor")
    write_report(tmp_path / "poor", (Measurement("photos", 200, 51.5),))
    with running({"RESNET_MODELS": str(tmp_path / "poor"), "RESNET_PRECISION": "int8"}) as server:
        assert server.process.wait(60) == 3
        assert "for 51.5 % of 200 images (photos); at least 75 %" in server.messages()


def test_without_tensorflow_nothing_is_built(folder: Path, home: Path, tmp_path: Path) -> None:
    """A checkpoint that is here, in a precision that is not."""
    assert folder.is_dir()
    (tmp_path / "home").mkdir()
    shutil.copytree(home / "checkpoints", tmp_path / "home" / "checkpoints")
    (tmp_path / "modules").mkdir()
    environment = {
        "RESNET_HOME": str(tmp_path / "home"),
        "RESNET_PRECISION": "int8",
        "PYTHONPATH": str(without_tensorflow(tmp_path / "modules")),
    }
    with running(environment) as server:
        assert server.process.wait(60) == 3
        assert "Building needs TensorFlow and Keras" in server.messages()
        assert "no tensorflow here" in server.messages()


def test_accuracy_by_precision_as_a_command(folder: Path, tmp_path: Path) -> None:
    assert folder.is_dir()
    for name, class_folder in (
        ("chelsea_cat.jpg", "n02124075"),
        ("coffee_cup.jpg", "espresso"),
        ("navy_uniform.jpg", "n03763968"),
    ):
        (tmp_path / "photos" / class_folder).mkdir(parents=True)
        shutil.copy(PHOTOS / name, tmp_path / "photos" / class_folder / name)
    (tmp_path / "photos" / "espresso" / "broken.jpg").write_bytes(b"\xff\xd8\xffbroken")
    done = resnet("evaluate", "resnet50", str(tmp_path / "photos"), "--json")
    assert done.returncode == 0, done.stderr
    assert "broken.jpg is skipped" in done.stderr
    measured = json.loads(done.stdout)
    assert list(measured) == ["float32", "int8"]
    for row in measured.values():
        assert (row["count"], row["top1_percent"], row["agreement_percent"]) == (3, 100, 100)
        assert row["images_per_second"] > 0
    kept = {one.images: one for one in read_artifact(folder).report}
    assert kept["photos"].top1_percent == 100
