"""What more than one test file here needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.model_builder.file_server import FileServer

MakeServer = Callable[..., FileServer]


@pytest.fixture
def make_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeServer]:
    """Starts file servers, which end with the test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers: list[FileServer] = []

    def make(*, ranges: bool = True, etags: bool = True) -> FileServer:
        server = FileServer(ranges=ranges, etags=etags)
        server.start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def file_server(make_server: MakeServer) -> FileServer:
    return make_server()
