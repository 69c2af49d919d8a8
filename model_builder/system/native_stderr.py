"""What native libraries write to descriptor 2 before, or without, reading any log level."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from model_builder.system.printable import printable_lines

logger = logging.getLogger(__name__)

_CHATTER = re.compile(
    r"^([IW]\d{4} |\d{4}-\d\d-\d\d .*: [IW] |E\d{4} .*cuda_platform"
    r"|WARNING: All log messages before absl|To enable the following"
    r"|INFO: Created TensorFlow Lite|fully_quantize: )"
)


@contextmanager
def redirect_native_stderr() -> Iterator[None]:
    """Holds back what is written to descriptor 2; chatter goes to the debug log, the rest on."""
    sys.stderr.flush()
    saved = os.dup(2)
    with _nameless_file() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines():
                if _CHATTER.match(line):
                    logger.debug("%s", line)
                else:
                    sys.stderr.write(printable_lines(line) + "\n")


def _nameless_file() -> IO[bytes]:
    """In memory where that can be: a container may have no folder that can be written."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("held"), "w+b")
    return tempfile.TemporaryFile()
