"""What was measured of an artifact, kept beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model_builder.artifact.manifest import read_artifact, write_artifact
from model_builder.artifact.report import REPORT, Measurement, add_measurement, read_report
from model_builder.errors import InvalidArtifact
from tests.model_builder.tiny_artifact import GOLDEN, HEAD, LABELS, MANIFEST, write_network

CROPS = Measurement("other crops", 128, 86.7)
PHOTOS = Measurement("photos", 200, 97.5, 91.5, 98.5, 0.06, 85.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_artifact(tmp_path / "tiny", MANIFEST, LABELS, HEAD, GOLDEN, write_network, (CROPS,))
    return tmp_path / "tiny"


def test_an_artifact_has_the_report_that_it_was_written_with(folder: Path) -> None:
    assert read_artifact(folder).report == (CROPS,)


def test_what_is_measured_later_is_added_and_leaves_the_artifact_whole(folder: Path) -> None:
    add_measurement(folder, PHOTOS)
    assert read_artifact(folder).report == (CROPS, PHOTOS)


def test_the_same_images_measured_again_replace_what_was(folder: Path) -> None:
    add_measurement(folder, PHOTOS)
    again = replace(PHOTOS, top1_percent=92.0)
    add_measurement(folder, again)
    assert read_report(folder) == (CROPS, again)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_nothing_was_measured(folder: Path) -> None:
    (folder / REPORT).unlink()
    assert read_artifact(folder).report == ()


def test_a_damaged_report_is_named(folder: Path) -> None:
    (folder / REPORT).write_text("[{")
    with pytest.raises(InvalidArtifact, match=r"report\.json can't be read"):
        read_artifact(folder)
