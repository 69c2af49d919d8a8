"""Measurements of an artifact, stored in its folder."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from model_builder.artifact.report import (
    REPORT,
    Measurement,
    add_measurement,
    forget_measurements,
    read_report,
)
from model_builder.artifact.store_format import read_artifact, write_artifact
from model_builder.errors import InvalidArtifact
from tests.model_builder.tiny_artifact import GOLDEN, HEAD, LABELS, MANIFEST, write_network

CROPS = Measurement("other crops", 128, 86.7)
PHOTOS = Measurement(
    "photos", 200, 97.5, 91.5, 98.5, 0.06, 85.0, origin="evaluate", digest="a" * 64
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_artifact(tmp_path / "tiny", MANIFEST, LABELS, HEAD, GOLDEN, write_network, (CROPS,))
    return tmp_path / "tiny"


def test_an_artifact_has_the_report_that_it_was_written_with(folder: Path) -> None:
    assert read_artifact(folder).report == (CROPS,)


def test_a_later_measurement_is_added_and_changes_no_hash(folder: Path) -> None:
    add_measurement(folder, PHOTOS)
    assert read_artifact(folder).report == (CROPS, PHOTOS)


def test_a_measurement_of_the_same_images_replaces_the_earlier_one(folder: Path) -> None:
    add_measurement(folder, PHOTOS)
    again = replace(PHOTOS, top1_percent=92.0)
    add_measurement(folder, again)
    assert read_report(folder) == (CROPS, again)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_an_artifact_without_measurements(folder: Path) -> None:
    (folder / REPORT).unlink()
    assert read_artifact(folder).report == ()


def test_a_damaged_report_is_named(folder: Path) -> None:
    (folder / REPORT).write_text("[{")
    with pytest.raises(InvalidArtifact, match=r"report\.json can't be read"):
        read_artifact(folder)


def test_folders_with_one_name_and_different_files_have_a_row_each(folder: Path) -> None:
    other = replace(PHOTOS, digest="b" * 64)
    add_measurement(folder, PHOTOS)
    add_measurement(folder, other)
    assert read_report(folder) == (CROPS, PHOTOS, other)


def test_measurements_of_users_can_be_removed(folder: Path) -> None:
    add_measurement(folder, PHOTOS)
    assert forget_measurements(folder) == 1
    assert forget_measurements(folder) == 0
    assert read_report(folder) == (CROPS,)


def test_a_report_of_an_earlier_version_is_read(folder: Path) -> None:
    rows = [
        {"pictures": "other crops", "count": 128, "agreement_percent": 86.7},
        {"pictures": "photos", "count": 2, "agreement_percent": 100.0, "top1_percent": 50.0},
    ]
    (folder / REPORT).write_text(json.dumps(rows))
    built, measured = read_report(folder)
    assert built == CROPS
    assert (measured.images, measured.origin, measured.top1_percent) == ("photos", "evaluate", 50.0)


def test_a_pipe_in_its_place_is_not_waited_for(folder: Path) -> None:
    (folder / REPORT).unlink()
    os.mkfifo(folder / REPORT)
    with pytest.raises(InvalidArtifact, match=r"report\.json is a pipe, not a file"):
        read_artifact(folder)
