"""Imports TensorFlow without the start-up lines that its native libraries print."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

logger = logging.getLogger(__name__)

_CHATTER = re.compile(
    r"^([IW]\d{4} |\d{4}-\d\d-\d\d .*: [IW] |E\d{4} .*cuda_platform"
    r"|WARNING: All log messages before absl|To enable the following)"
)


def import_tensorflow() -> ModuleType:
    """TensorFlow. The first call takes seconds; what it prints of itself goes to the debug log.

    Keras is told to use TensorFlow unless the environment says otherwise.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" not in sys.modules:
        with _chatter_to_log():
            import tensorflow

            # Looking for GPUs is what the CUDA libraries report on.
            tensorflow.config.list_physical_devices()
    return sys.modules["tensorflow"]


@contextmanager
def _chatter_to_log() -> Iterator[None]:
    """Holds back what is written to descriptor 2, then passes on all that is not chatter.

    Native libraries write there before any log level of theirs is read.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
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
                    sys.stderr.write(line + "\n")
