"""What a build says of itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from model_builder.build.builder import manifest
from model_builder.checkpoints.catalog import CHECKPOINTS, Checkpoint, NpmSource, Source, UrlSource
from model_builder.checkpoints.download.fetch import LocalFile, address, published_digest
from model_builder.checkpoints.weights import Weights
from model_builder.exporters.base import BuildTarget


@pytest.mark.parametrize(
    ("row", "source"),
    [
        pytest.param(row, source, id=f"{row.name}-{source.layout}")
        for row in CHECKPOINTS.values()
        for source in row.sources
    ],
)
def test_a_manifest_names_the_source_that_was_used(
    row: Checkpoint, source: Source, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"weights")
    digest = published_digest(LocalFile(path, source))
    target = BuildTarget("tensorflow", "bfloat16", "model_builder.exporters.tensorflow")
    written = manifest(row, Weights({}, (), address(source), digest), target)
    if isinstance(source, NpmSource):
        expected = f"npm:{source.package}@{source.version}", source.integrity
    elif isinstance(source, UrlSource):
        expected = source.url, f"md5-{source.md5}"
    else:
        assert source.repository in address(source)
        expected = (
            address(source),
            f"sha256-{source.sha256 or hashlib.sha256(b'weights').hexdigest()}",
        )
    assert (written.provenance.source, written.provenance.digest) == expected
    assert (written.name, written.provenance.checkpoint) == (row.name, row.name)
    assert (written.architecture, written.preprocessing) == (row.architecture, row.preprocessing)
    assert written.provenance.licence == row.licence
    assert written.precision == "bfloat16"
