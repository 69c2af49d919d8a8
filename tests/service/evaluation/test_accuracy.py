"""Labelled images, and what is counted of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_builder.artifact.manifest import Artifact
from model_builder.artifact.report import Measurement
from model_builder.errors import CalibrationFailed
from service.errors import InvalidParameter, ServiceError
from service.evaluation.accuracy import Tally, evaluate, labelled_images
from service.inference.loader import check_agreement
from tests.service.fakes import LABELS, Array, FakeEngine, Pixels
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
    found = {
        str(one.path.relative_to(tmp_path)): one.class_id
        for one in labelled_images(tmp_path, LABELS)
    }
    assert found == {
        "n00000002/any.jpg": 1,
        "white/any.jpg": 3,
        "n00000003_sea.JPEG": 2,
        "n00000001.png": 0,
    }


def test_no_labelled_image_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "photo.jpg")
    with pytest.raises(InvalidParameter, match="which has no such image"):
        labelled_images(tmp_path, LABELS)


def rows(*confident: tuple[int, float]) -> Array:
    """Probabilities of ten classes: what the named one leaves is shared by the others."""
    made = np.empty((len(confident), 10), np.float32)
    for row, (class_id, probability) in zip(made, confident, strict=True):
        row[:] = (1 - probability) / 9
        row[class_id] = probability
    return made


def test_what_is_counted() -> None:
    tally = Tally(seconds=2.0)
    probabilities = rows((3, 0.9), (3, 0.9), (9, 0.5), (1, 0.5))
    reference = rows((3, 0.8), (5, 0.8), (9, 0.8), (1, 0.8))
    tally.add(probabilities, [3, 0, 8, 1], reference)
    found = tally.measurement("photos")
    # The second is wrong, and right in five: of equal classes the first ones are named.
    assert (found.top1_percent, found.top5_percent) == (50, 75)
    assert found.agreement_percent == 75
    assert found.images_per_second == 2
    # Half of those at 0.9 are right, half of those at 0.5: off by 0.4 and by nothing.
    assert found.expected_calibration_error == pytest.approx(0.2, abs=1e-3)
    assert (found.images, found.count) == ("photos", 4)


class Wrong(FakeEngine):
    """Sees red and green for one another."""

    def run(self, pixels: Pixels) -> Array:
        return super().run(pixels[..., [1, 0, 2]])


def test_every_image_goes_through_every_engine(artifact: Artifact, tmp_path: Path) -> None:
    for index in range(6):
        write(tmp_path / "red" / f"{index}.png", plain("red"))
        write(tmp_path / "green" / f"{index}.png", plain("green"))
        write(tmp_path / "blue" / f"{index}.png", plain("blue"))
    broken = write(tmp_path / "blue" / "broken.png", plain("blue")[:60])
    left_out: list[tuple[Path, ServiceError]] = []
    advanced: list[int] = []
    tallies = evaluate(
        labelled_images(tmp_path, LABELS),
        {"float32": (artifact, FakeEngine()), "int8": (artifact, Wrong())},
        max_pixels=10_000,
        skipped=lambda path, error: left_out.append((path, error)),
        advance=advanced.append,
    )
    measured: dict[Any, Measurement] = {
        precision: tally.measurement("colors") for precision, tally in tallies.items()
    }
    assert [path for path, _ in left_out] == [broken]
    assert sum(advanced) == measured["float32"].count == measured["int8"].count == 18
    assert (measured["float32"].top1_percent, measured["float32"].agreement_percent) == (100, 100)
    assert measured["int8"].top1_percent == measured["int8"].agreement_percent == 33.33
    assert tallies["float32"].seconds > 0


def test_nothing_but_broken_images_is_an_error(artifact: Artifact, tmp_path: Path) -> None:
    write(tmp_path / "blue" / "broken.png", b"no image")
    with pytest.raises(InvalidParameter, match="None of the 1 images could be decoded"):
        evaluate(
            labelled_images(tmp_path, LABELS),
            {"float32": (artifact, FakeEngine())},
            max_pixels=10_000,
            skipped=lambda *_: None,
            advance=lambda _: None,
        )


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
