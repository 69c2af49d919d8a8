"""What a build says of itself."""

from __future__ import annotations

import pytest

from model_builder.build import manifest
from model_builder.checkpoints import CHECKPOINTS, Checkpoint, NpmSource, Source
from model_builder.weights import Weights, origin


@pytest.mark.parametrize(
    ("row", "source"),
    [
        pytest.param(row, source, id=f"{row.name}-{source.layout}")
        for row in CHECKPOINTS.values()
        for source in row.sources
    ],
)
def test_a_manifest_names_the_source_that_was_used(row: Checkpoint, source: Source) -> None:
    written = manifest(row, Weights({}, (), *origin(source)), "bfloat16")
    if isinstance(source, NpmSource):
        expected = f"npm:{source.package}@{source.version}", source.integrity
    else:
        expected = source.url, f"md5-{source.md5}"
    assert (written.provenance.source, written.provenance.digest) == expected
    assert (written.name, written.provenance.checkpoint) == (row.name, row.name)
    assert (written.architecture, written.preprocessing) == (row.architecture, row.preprocessing)
    assert written.provenance.licence == row.licence
    assert written.precision == "bfloat16"
