"""What is no file is refused before anybody waits for it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from model_builder.system.regular_file import (
    NotARegularFile,
    check_regular_file,
    read_regular_file,
)


def test_a_file_is_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_regular_file(tmp_path / "link") == b"content"
    assert read_regular_file(tmp_path / "file", 7) == b"content"


def test_a_longer_one_than_asked_for_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(OSError, match="has 7 bytes; at most 6 are read"):
        read_regular_file(tmp_path / "file", 6)


def test_whatever_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for path, kind in (
            (tmp_path / "pipe", "a pipe"),
            (tmp_path / "socket", "a socket"),
            (Path("/dev/zero"), "a device"),
            (tmp_path, "a folder"),
        ):
            for function in (check_regular_file, read_regular_file):
                with pytest.raises(NotARegularFile, match=f"{path} is {kind}, not a file"):
                    function(path)
    with pytest.raises(FileNotFoundError):
        read_regular_file(tmp_path / "none")
