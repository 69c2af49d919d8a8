"""Labeled images, and the measurements on them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_builder.artifact.manifest import Artifact
from model_builder.artifact.report import Measurement
from model_builder.errors import CalibrationFailed
from service.errors import InvalidParameter
from service.evaluation.accuracy import Tally, digest_of, evaluate, labeled_images
from service.imaging.pool import DecoderPool
from service.inference.artifacts import check_agreement
from service.inference.model import OneModel
from service.inference.service import InferenceService
from tests.service.conftest import MakeModel
from tests.service.fakes import LABELS, WAIT_SECONDS, Array, FakeEngine, Pixels
from tests.service.images import plain


def write(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_folder_a_class_or_a_name_that_begins_with_the_wordnet_id(tmp_path: Path) -> None:
    write(tmp_path / "n00000002" / "any.jpg")
    write(tmp_path / "white" / "any.jpg")
    write(tmp_path / "n00000003_sea.JPEG")
    write(tmp_path / "n00000001.png")
    write(tmp_path / "notes.txt")
    write(tmp_path / "n99999999_unknown.jpg")
    write(tmp_path / "purple" / "any.jpg")
    os.mkfifo(tmp_path / "white" / "pipe.jpg")
    labeled = labeled_images(tmp_path, LABELS)
    assert labeled.not_files == ("white/pipe.jpg",)
    assert labeled.skipped == ("n99999999_unknown.jpg", "notes.txt", "purple")
    found = {str(one.path.relative_to(tmp_path)): one.class_id for one in labeled.images}
    assert found == {
        "n00000002/any.jpg": 1,
        "white/any.jpg": 3,
        "n00000003_sea.JPEG": 2,
        "n00000001.png": 0,
    }


def test_no_labeled_image_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "photo.jpg")
    with pytest.raises(InvalidParameter, match="which has no such image"):
        labeled_images(tmp_path, LABELS)


def rows(*confident: tuple[int, float]) -> Array:
    """Probabilities of ten classes: the given one, and equal shares of the rest for the others."""
    made = np.empty((len(confident), 10), np.float32)
    for row, (class_id, probability) in zip(made, confident, strict=True):
        row[:] = (1 - probability) / 9
        row[class_id] = probability
    return made


def test_the_figures() -> None:
    tally = Tally(seconds=2.0)
    probabilities = rows((3, 0.9), (3, 0.9), (9, 0.5), (1, 0.5))
    reference = rows((3, 0.8), (5, 0.8), (9, 0.8), (1, 0.8))
    tally.add(probabilities, [3, 0, 8, 1], reference)
    found = tally.measurement("photos", "digest")
    # The second is wrong, and right among five: of equal classes the first ones rank higher.
    assert (found.top1_percent, found.top5_percent) == (50, 75)
    assert found.agreement_percent == 75
    assert found.images_per_second == 2
    # Half of those at 0.9 are right, half of those at 0.5: off by 0.4 and by nothing.
    assert found.expected_calibration_error == pytest.approx(0.2, abs=1e-3)
    assert (found.images, found.count) == ("photos", 4)


class Wrong(FakeEngine):
    """Exchanges red and green."""

    def run(self, pixels: Pixels) -> Array:
        return super().run(pixels[..., [1, 0, 2]])


@pytest.fixture
def decoder() -> Iterator[DecoderPool]:
    pool = DecoderPool(
        threads=1, max_pixels=10_000, timeout_seconds=WAIT_SECONDS, observe=lambda _: None
    )
    yield pool
    pool.close()


def test_every_image_is_sent_to_the_service_of_every_precision(
    make_model: MakeModel, decoder: DecoderPool, tmp_path: Path
) -> None:
    for index in range(14):
        write(tmp_path / "red" / f"{index}.png", plain("red"))
        write(tmp_path / "green" / f"{index}.png", plain("green"))
        write(tmp_path / "blue" / f"{index}.png", plain("blue"))
    broken = write(tmp_path / "blue" / "broken.png", plain("blue")[:60])
    left_out: list[Path] = []
    advanced: list[int] = []
    models = {"float32": make_model("a", FakeEngine()), "int8": make_model("b", Wrong())}
    services: dict[Any, InferenceService] = {
        precision: InferenceService(OneModel(model), decoder) for precision, model in models.items()
    }
    tallies = asyncio.run(
        evaluate(
            labeled_images(tmp_path, LABELS).images,
            services,
            decoder,
            models["float32"].artifact.manifest.preprocessing,
            skipped=lambda path, _: left_out.append(path),
            advance=advanced.append,
        )
    )
    measured: dict[Any, Measurement] = {
        precision: tally.measurement("colors", "0") for precision, tally in tallies.items()
    }
    assert left_out == [broken]
    assert sum(advanced) == measured["float32"].count == measured["int8"].count == 42
    assert (measured["float32"].top1_percent, measured["float32"].agreement_percent) == (100, 100)
    assert measured["int8"].top1_percent == measured["int8"].agreement_percent == 33.33
    # Of five classes every one is among the first five.
    assert measured["int8"].top5_percent is None
    assert measured["int8"].origin == "evaluate"
    assert tallies["float32"].seconds > 0


def test_broken_images_only_are_an_error(
    make_model: MakeModel, decoder: DecoderPool, tmp_path: Path
) -> None:
    write(tmp_path / "blue" / "broken.png", b"no image")
    model = make_model("a")
    with pytest.raises(InvalidParameter, match="None of the 1 images could be decoded"):
        asyncio.run(
            evaluate(
                labeled_images(tmp_path, LABELS).images,
                {"float32": InferenceService(OneModel(model), decoder)},
                decoder,
                model.artifact.manifest.preprocessing,
                skipped=lambda *_: None,
                advance=lambda _: None,
            )
        )


def test_the_digest_depends_on_the_contents_and_not_on_the_folder(tmp_path: Path) -> None:
    for folder, content in (("a/photos", b"1"), ("b/photos", b"1"), ("c/photos", b"2")):
        write(tmp_path / folder / "red" / "one.png", content)
    first, moved, other = (
        digest_of(labeled_images(tmp_path / name / "photos", LABELS).images) for name in "abc"
    )
    assert first == moved != other


def int8(artifact: Artifact, *report: Measurement) -> Artifact:
    return replace(
        artifact, manifest=replace(artifact.manifest, precision="int8"), report=tuple(report)
    )


def test_an_int8_network_that_disagrees_too_often_is_refused(artifact: Artifact) -> None:
    poor = int8(artifact, Measurement("crops", 128, 90.0), Measurement("photos", 200, 60.0))
    check_agreement(poor, 60.0)
    with pytest.raises(CalibrationFailed, match=r"60 % of 200 images \(photos\); at least 75 %"):
        check_agreement(poor, 75.0)


def test_an_int8_network_without_a_report_is_refused(artifact: Artifact) -> None:
    with pytest.raises(CalibrationFailed, match="has no report"):
        check_agreement(int8(artifact), 0.0)


def test_other_precisions_need_no_report(artifact: Artifact) -> None:
    check_agreement(artifact, 100.0)


def test_measurements_of_users_never_refuse_a_start(artifact: Artifact) -> None:
    """Unlabeled images, or an artifact compared with itself, are no measurement of the build."""
    built = Measurement("crops", 128, 90.0)
    strange = Measurement("x-rays", 500, 2.0, 0.0, origin="evaluate", digest="a")
    check_agreement(int8(artifact, built, strange), 75.0)
    same = Measurement("photos", 500, 100.0, 90.0, origin="evaluate", digest="b")
    with pytest.raises(CalibrationFailed):
        check_agreement(int8(artifact, replace(built, agreement_percent=60.0), same), 75.0)


def test_the_class_of_a_model_with_one_is_there_from_one_half_on() -> None:
    """It is the most probable one for every image."""
    tally = Tally()
    probabilities = np.array([[0.9], [0.5], [0.2]], np.float32)
    tally.add(probabilities, [0, 0, 0], np.array([[0.8], [0.4], [0.1]], np.float32))
    assert tally.right == [True, True, False]
    assert tally.agreeing == [True, False, True]
