"""Logs with the request's id: one JSON object a line, or plain text on a terminal."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from model_builder.system.printable import printable_lines

NOISY = (
    "httpx2",
    "httpcore2",
    "filelock",
    "tensorflow",
    "absl",
    "h5py",
    "PIL",
    "asyncio",
)

# Attributes of a log record that are not fields of a request.
RESERVED = {*RESERVED_ATTRS, "color_message", "message", "asctime"}

_fields: ContextVar[dict[str, object] | None] = ContextVar("fields", default=None)
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def bind_log_fields(**fields: object) -> None:
    """Adds fields to the current request's line in the log; without a request, does nothing."""
    bound = _fields.get()
    if bound is not None:
        bound.update(fields)


@contextmanager
def log_context() -> Iterator[dict[str, object]]:
    """Collects the fields that are bound within, in the dictionary that it yields."""
    fields: dict[str, object] = {}
    token = _fields.set(fields)
    try:
        yield fields
    finally:
        _fields.reset(token)


class ThrottledLog:
    """One warning for many events of a kind: a line for each would cost the time to serve."""

    INTERVAL_SECONDS = 10.0

    def __init__(self, logger: logging.Logger, message: str) -> None:
        """message: with %d for how many there were since the last line, and %s for the last one."""
        self._logger = logger
        self._message = message
        self._events = 0
        self._logged = -math.inf

    def warning(self, event: object) -> None:
        self._events += 1
        now = time.monotonic()
        if now - self._logged >= self.INTERVAL_SECONDS:
            self._logger.warning(self._message, self._events, event)
            self._events, self._logged = 0, now


class _RequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


class _Text(logging.Formatter):
    """A line for people: the message, then the request's id and the bound fields.

    What others wrote in it is data: control characters are escaped, further lines indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        fields = {
            name: value
            for name, value in vars(record).items()
            if name not in RESERVED and value is not None
        }
        return " ".join(
            [super().formatMessage(record), *(f"{name}={value}" for name, value in fields.items())]
        )


def configure_logging(level: str, log_format: Literal["auto", "text", "json"]) -> None:
    """Sends all logs, uvicorn's too, to stderr in one format.

    level: a name of `logging`, in any case. log_format: "auto" is "text" on a terminal, or "json".
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_RequestId())
    if log_format == "json" or (log_format == "auto" and not sys.stderr.isatty()):
        handler.setFormatter(
            JsonFormatter(
                "{asctime}{levelname}{name}{message}{request_id}",
                style="{",
                rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
                reserved_attrs=[*RESERVED_ATTRS, "color_message"],
                datefmt="%Y-%m-%dT%H:%M:%S%z",
            )
        )
    else:
        handler.setFormatter(_Text("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # No line says where in the code it was logged, nor in which thread: finding out takes a tenth
    # of the time of a line. Source: Python's logging howto, "Optimization".
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # Pillow warns about unusual images: through logging, so that each warning is a line of JSON.
    logging.captureWarnings(True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(level.upper())
