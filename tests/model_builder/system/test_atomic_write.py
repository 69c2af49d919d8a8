"""Atomic replacement of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_builder.system.atomic_write import atomic_write


def test_it_replaces_an_earlier_file(tmp_path: Path) -> None:
    for data in (b"one", b"another"):
        atomic_write(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
        assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_failed_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        atomic_write(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
    assert (tmp_path / "file").is_dir()
