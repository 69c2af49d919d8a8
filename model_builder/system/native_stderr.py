"""The output of native libraries on descriptor 2, which no log level controls."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from model_builder.system.anonymous_file import anonymous_file
from model_builder.system.printable import printable_lines

logger = logging.getLogger(__name__)

_CHATTER = re.compile(
    r"^([IW]\d{4} |\d{4}-\d\d-\d\d .*: [IW] |E\d{4} .*cuda_platform"
    r"|WARNING: All log messages before absl|To enable the following"
    r"|INFO: Created TensorFlow Lite|fully_quantize: )"
)


@contextmanager
def redirect_native_stderr() -> Iterator[None]:
    """Buffers what is written to descriptor 2. At the end, known lines without a message for the
    user go to the log at the level "debug", the others to stderr.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with anonymous_file() as held:
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
