"""One decoding process, and which processes there are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psutil

from service.imaging.decoder_process import DecoderProcess
from service.imaging.launcher import Launcher


@contextlib.contextmanager
def decoder_process(**options: Any) -> Iterator[DecoderProcess]:
    """With a launcher of its own. options: of `DecoderProcess`."""
    launcher = Launcher()
    process = DecoderProcess(launcher, **options)
    try:
        yield process
    finally:
        process.close()
        launcher.close()


def fork_servers() -> set[int]:
    """Of this process, those that decoders are forked from."""
    found = set()
    for child in psutil.Process().children():
        # One that has ended has no command line.
        with contextlib.suppress(psutil.Error):
            if "service.imaging.fork_server" in child.cmdline():
                found.add(child.pid)
    return found


def decoders(servers: set[int]) -> set[int]:
    """What these have forked and not yet ended."""
    return {child.pid for server in servers for child in psutil.Process(server).children()}
