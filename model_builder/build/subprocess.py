"""Builds in a subprocess, so that the memory of TensorFlow is free when the build is done."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.custom import read_custom
from model_builder.errors import BuilderError
from model_builder.exporters.base import BuildTarget
from model_builder.system.native_stderr import redirect_native_stderr
from model_builder.system.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from model_builder.checkpoints.download.fetch import LocalFile

logger = logging.getLogger(__name__)

BUILD_TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """An artifact to be built. The caller holds the lock on `folder`.

    file: of a published checkpoint; None for an imported one, which is in the folder `own`.
    calibration: a folder of images for int8; None for those that come with the code.
    """

    checkpoint: Checkpoint
    file: LocalFile | None
    own: Path
    folder: Path
    target: BuildTarget
    calibration: Path | None = None

    def run(self) -> None:
        """Builds in this process. Raises BuilderError."""
        try:
            import_tensorflow()
            from model_builder.build.builder import build_artifact
            from model_builder.checkpoints.loader import custom_weights, published_weights
        except ImportError as error:
            raise not_buildable(self.folder.name, str(error)) from error
        if self.file is None:
            weights = custom_weights(self.own, read_custom(self.own, self.checkpoint.name))
        else:
            weights = published_weights(self.checkpoint, self.file)
        build_artifact(self.checkpoint, weights, self.folder, self.target, self.calibration)


def not_buildable(name: str, reason: str) -> BuilderError:
    return BuilderError(
        f"{name} is not built, and can't be: {reason}. Building needs TensorFlow and Keras; "
        "without them only finished artifacts are served."
    )


def check_buildable(name: str) -> None:
    """Raises BuilderError, before anything is downloaded, where there is nothing to build with."""
    for module in ("tensorflow", "keras"):
        if find_spec(module) is None:
            raise not_buildable(name, f"there is no {module}")


def build_in_subprocess(build: BuildRequest) -> None:
    """Builds in a subprocess and logs its log records here. Raises BuilderError."""
    # Not forked: a fork has this process's locks without the threads that release them.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    level = logging.getLogger().getEffectiveLevel()
    # A daemon: it ends with this process.
    process = context.Process(target=_run, args=(build, sender, level), daemon=True)
    process.start()
    sender.close()
    try:
        _listen(receiver, time.monotonic() + BUILD_TIMEOUT_SECONDS)
    except EOFError:
        process.join(BUILD_TIMEOUT_SECONDS)
        raise BuilderError(
            f"The process that built {build.folder.name} ended before it was done, with exit "
            f"status {process.exitcode}. -9 is what a lack of memory looks like."
        ) from None
    finally:
        process.terminate()
        process.join()
        receiver.close()


def _listen(receiver: Connection, end: float) -> None:
    """Logs the received records until the build is done. Raises its error, or EOFError."""
    while receiver.poll(max(0.0, end - time.monotonic())):
        message = receiver.recv()
        if isinstance(message, logging.LogRecord):
            logging.getLogger(message.name).handle(message)
        elif isinstance(message, BuilderError):
            raise message
        else:
            return
    raise BuilderError(f"The build was not done within {BUILD_TIMEOUT_SECONDS:.0f} s.")


class _ToParent(logging.Handler):
    def __init__(self, sender: Connection) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        # As text: some arguments and all tracebacks can't be pickled.
        record.msg, record.args = self.format(record), None
        record.exc_info = record.exc_text = record.stack_info = None
        self._sender.send(record)


def _run(build: BuildRequest, sender: Connection, level: int) -> None:
    """The subprocess: sends log records, then None or a BuilderError."""
    # The parent handles Ctrl-C and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=level, handlers=[_ToParent(sender)], force=True)
    # Progress bars keep the terminal; the output of native libraries is redirected.
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    with redirect_native_stderr():
        try:
            build.run()
        except BuilderError as error:
            sender.send(error)
        except Exception as error:
            logger.exception("Building %s failed", build.folder.name)
            sender.send(BuilderError(f"{type(error).__name__}: {error}"))
        else:
            sender.send(None)
