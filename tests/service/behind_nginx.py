"""A real nginx in front of an application, with the project's rules."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastapi import FastAPI

from tests.nginx import Nginx, free_port
from tests.service.conftest import listening
from tests.service.fakes import WAIT_SECONDS, eventually


@contextlib.contextmanager
def behind_nginx(app: FastAPI, changed: Mapping[str, str] | None = None) -> Iterator[int]:
    """The port of an nginx in front of the app, with the project's own rules.

    changed: texts of those rules, each with its replacement.
    """
    # In a folder that nginx's user may read; pytest's are not.
    with tempfile.TemporaryDirectory(prefix="nginx-") as folder, listening(app) as behind:
        port = free_port()
        nginx = Nginx(Path(folder), port, [behind], changed)

        def is_up() -> bool:
            assert nginx.process.poll() is None, nginx.log.read_text()
            with contextlib.suppress(ConnectionError):
                socket.create_connection(("127.0.0.1", port), WAIT_SECONDS).close()
                return True
            return False

        try:
            eventually(is_up)
            yield port
        finally:
            nginx.stop()
