"""A compiled graph is used where it was made for just this, and nothing depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.engines.compiled_graph import HASH_BYTES, CompiledGraph

GRAPH = bytes(range(256)) * 40


def test_it_is_read_with_the_key_that_it_was_written_with(tmp_path: Path) -> None:
    path = tmp_path / "compiled" / "model.graph"
    kept = CompiledGraph(path, b"this CPU")
    assert kept.read() is None
    kept.write(GRAPH)
    assert kept.read() == GRAPH
    assert CompiledGraph(path, b"another CPU").read() is None
    kept.write(GRAPH[1:])
    assert kept.read() == GRAPH[1:]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("at", [0, HASH_BYTES - 1, HASH_BYTES, HASH_BYTES + 5000, -1])
def test_a_damaged_one_is_not_used(tmp_path: Path, at: int) -> None:
    kept = CompiledGraph(tmp_path / "model.graph", b"this CPU")
    kept.write(GRAPH)
    assert kept.path is not None
    content = bytearray(kept.path.read_bytes())
    content[at] ^= 1
    kept.path.write_bytes(content)
    assert kept.read() is None


@pytest.mark.parametrize("length", [0, 1, HASH_BYTES, HASH_BYTES + 1, -1])
def test_a_part_is_not_used(tmp_path: Path, length: int) -> None:
    kept = CompiledGraph(tmp_path / "model.graph", b"this CPU")
    kept.write(GRAPH)
    assert kept.path is not None
    kept.path.write_bytes(kept.path.read_bytes()[:length])
    assert kept.read() is None


def test_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "compiled").write_text("a file")
    for path in (None, tmp_path / "compiled" / "model.graph", tmp_path):
        kept = CompiledGraph(path, b"this CPU")
        kept.write(GRAPH)
        assert kept.read() is None
