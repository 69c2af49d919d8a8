"""The only place where NNCF is imported."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rich

from model_builder.errors import BuilderError
from model_builder.system.openvino_import import import_openvino


def import_nncf() -> Any:
    """The module, without telemetry, its warnings in the log and nothing on stdout.

    Imports OpenVINO, but not its telemetry package, which NNCF would send with.
    Raises BuilderError where NNCF can't be imported.
    """
    import_openvino()
    logger_class = logging.getLoggerClass()
    try:
        import nncf
    except ImportError as error:
        raise BuilderError(
            "int8 for OpenVINO is made with NNCF, which can't be imported here; "
            f"`pip install nncf` installs it. Received: {error}"
        ) from error
    finally:
        # NNCF makes a class of its own that of every logger made after it.
        logging.setLoggerClass(logger_class)
    # Removes its handler, which prints on stdout.
    nncf.disable_logging()
    nncf.nncf_logger.propagate = True
    nncf.nncf_logger.setLevel(logging.WARNING)
    return nncf


@contextmanager
def hide_progress() -> Iterator[None]:
    """Meanwhile nothing is shown of NNCF's progress bars, which it draws on rich's own console."""
    rich.reconfigure(file=io.StringIO())
    try:
        yield
    finally:
        rich.reconfigure()
