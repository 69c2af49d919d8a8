"""Replaces a file in one step: a reader gets the old content or the new, never a part."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def atomic_write(path: Path, data: bytes) -> None:
    """In place of what was there. Raises OSError, and then leaves nothing of its own behind."""
    # By no process's number: two containers that share a cache may have the same.
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
