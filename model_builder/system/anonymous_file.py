"""A file without a name, for what one process writes and another reads."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import IO


def anonymous_file() -> IO[bytes]:
    """In memory on Linux: a container may have no writable folder."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("held"), "w+b")
    return tempfile.TemporaryFile()
