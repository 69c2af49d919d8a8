"""Atomic replacement of a file: readers get the old content or the new one, never a part."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def atomic_write(path: Path, data: bytes) -> None:
    """Writes `data` to `path`, replacing an earlier file.

    Raises OSError; the earlier file then stays, and no temporary file is left.
    """
    # Not the process id: two containers that share a cache may have the same.
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
