"""Files that others name: a pipe would be waited for without end, a device may have none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}

# Of Linux's file systems.
NAME_BYTES_LIMIT = 255


class NotARegularFile(OSError):
    """The path leads to something that is no file with content."""


def check_regular_file(path: Path) -> None:
    """Links are followed. Raises NotARegularFile, or OSError where there is nothing."""
    _check(path, os.stat(path))


def read_regular_file(path: Path, max_bytes: int | None = None) -> bytes:
    """The content. Raises OSError, also where it is longer than `max_bytes`."""
    check_regular_file(path)
    # Something else may have taken the file's place since: opening must not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _check(path, status)
        if max_bytes is not None and status.st_size > max_bytes:
            raise OSError(f"{path} has {status.st_size} bytes; at most {max_bytes} are read")
        return file.read()


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise NotARegularFile(f"{path} is {kind}, not a file")


def is_file_name(name: str) -> bool:
    """Whether it names a file in the same folder, and is no longer than file systems have it.

    `Path.is_file` raises OSError for a longer one.
    """
    return Path(name).name == name and len(os.fsencode(name)) <= NAME_BYTES_LIMIT
