"""The manifest that a build writes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from model_builder.build.builder import manifest
from model_builder.checkpoints.catalog import CHECKPOINTS
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.download.sources.hub import HubSource
from model_builder.checkpoints.download.sources.npm import NpmSource
from model_builder.checkpoints.download.sources.source import Source
from model_builder.checkpoints.download.sources.url import UrlSource
from model_builder.checkpoints.loader import Weights
from model_builder.exporters.base import BuildTarget


@pytest.mark.parametrize(
    ("row", "source"),
    [
        pytest.param(row, source, id=f"{row.name}-{source.format}")
        for row in CHECKPOINTS.values()
        for source in row.sources
    ],
)
def test_a_manifest_names_the_source_that_was_used(
    row: Checkpoint, source: Source, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"weights")
    digest = source.digest(path)
    target = BuildTarget("tensorflow", "bfloat16", "model_builder.exporters.tensorflow")
    written = manifest(row, Weights({}, (), source.address, digest), target)
    if isinstance(source, NpmSource):
        expected = f"npm:{source.package}@{source.version}", source.integrity
    elif isinstance(source, UrlSource):
        expected = source.url, f"md5-{source.md5}"
    else:
        assert isinstance(source, HubSource)
        assert source.repository in source.address
        expected = (
            source.address,
            f"sha256-{source.sha256 or hashlib.sha256(b'weights').hexdigest()}",
        )
    assert (written.provenance.source, written.provenance.digest) == expected
    assert (written.name, written.provenance.checkpoint) == (row.name, row.name)
    assert (written.architecture, written.preprocessing) == (row.architecture, row.preprocessing)
    assert written.provenance.licence == row.licence
    assert written.precision == "bfloat16"
