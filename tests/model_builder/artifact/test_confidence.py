"""The file that a calibration is kept in: tied to its artifact, and to no other."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_builder.artifact.confidence import (
    CONFIDENCE,
    FittedConfidence,
    keep_confidence,
    read_confidence,
    remove_confidence,
    write_confidence,
)
from model_builder.artifact.store_format import read_artifact
from model_builder.errors import InvalidArtifact
from tests.service.color_artifact import write_color_artifact
from tests.service.confidence_fit import REPORT, SCALING

FITTED = FittedConfidence(REPORT, SCALING, {"center": np.ones(512, np.float32)}, (2, 0))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    artifact = write_color_artifact(tmp_path / "artifact")
    assert read_confidence(artifact.folder, artifact.manifest) is None
    write_confidence(artifact.folder, artifact.manifest, FITTED)
    # The artifact is the same one.
    assert read_artifact(artifact.folder).manifest == artifact.manifest
    found = read_confidence(artifact.folder, artifact.manifest)
    assert found is not None
    assert (found.report, found.frequent_classes) == (REPORT, (2, 0))
    assert found.scaling.method == "temperature"
    assert found.scaling.scale.tolist() == [0.5]
    assert found.detector.keys() == {"center"}
    assert remove_confidence(artifact.folder)
    assert not remove_confidence(artifact.folder)
    assert read_confidence(artifact.folder, artifact.manifest) is None


def test_it_survives_a_build_of_the_same_artifact_and_holds_for_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "artifact"
    artifact = write_color_artifact(folder)
    write_confidence(folder, artifact.manifest, FITTED)
    again = write_color_artifact(folder)
    assert read_confidence(folder, again.manifest) is not None
    other = replace(again.manifest, files={**again.manifest.files, "labels.json": "another"})
    with caplog.at_level(logging.WARNING):
        assert read_confidence(folder, other) is None
    assert "run resnet calibrate again" in caplog.text


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_a_damaged_file_is_named(tmp_path: Path, length: int) -> None:
    artifact = write_color_artifact(tmp_path / "artifact")
    write_confidence(artifact.folder, artifact.manifest, FITTED)
    path = artifact.folder / CONFIDENCE
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InvalidArtifact, match="run resnet calibrate again"):
        read_confidence(artifact.folder, artifact.manifest)


@pytest.mark.parametrize(
    "fitted",
    [
        replace(FITTED, scaling=replace(SCALING, scale=np.array([np.nan], np.float32))),
        replace(FITTED, scaling=replace(SCALING, scale=np.ones(3, np.float32))),
        replace(FITTED, frequent_classes=(5,)),
    ],
)
def test_what_is_not_of_the_models_size_is_refused(
    tmp_path: Path, fitted: FittedConfidence
) -> None:
    artifact = write_color_artifact(tmp_path / "artifact")
    write_confidence(artifact.folder, artifact.manifest, fitted)
    with pytest.raises(InvalidArtifact, match="does not fit the model"):
        read_confidence(artifact.folder, artifact.manifest)


def test_nothing_is_kept_of_an_artifact_without_one(tmp_path: Path) -> None:
    keep_confidence(tmp_path / "absent", tmp_path)
    assert not (tmp_path / CONFIDENCE).exists()
