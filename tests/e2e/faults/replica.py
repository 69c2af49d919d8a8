"""A replica with a way in: SIGUSR1 makes the worker's thread raise, SIGUSR2 makes it hang."""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import Any

from service.engines import registry as engines
from service.engines.base import Engine, Run
from service.http.server import serve
from service.inference import loader as loading
from service.settings import Settings

HANG_SECONDS = 3600.0

_raises, _hangs = threading.Event(), threading.Event()


class Died(BaseException):
    """What no batch is expected to raise."""


class Sabotaged:
    """An engine that works, except for one batch after a signal."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def run(self, pixels: Any) -> Any:
        _obey()
        return self._engine.run(pixels)

    @property
    def alone(self) -> Run | None:
        return None if self._engine.alone is None else self._run_alone

    def _run_alone(self, pixels: Any) -> Any:
        _obey()
        assert self._engine.alone is not None
        return self._engine.alone(pixels)


def _obey() -> None:
    """Does what a signal told."""
    if _raises.is_set():
        _raises.clear()
        raise Died("as it was told")
    if _hangs.is_set():
        time.sleep(HANG_SECONDS)


def main() -> int:
    load = engines.load_engines
    # Where the service looks it up.
    loading.__dict__["load_engines"] = lambda *given: tuple(map(Sabotaged, load(*given)))
    signal.signal(signal.SIGUSR1, lambda *_: _raises.set())
    signal.signal(signal.SIGUSR2, lambda *_: _hangs.set())
    return serve(Settings())


if __name__ == "__main__":
    sys.exit(main())
