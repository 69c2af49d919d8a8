"""Fixtures of several tests of the builder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_builder.artifact.store_format import write_artifact
from tests.model_builder.file_server import FileServer
from tests.model_builder.tiny_artifact import GOLDEN, HEAD, LABELS, MANIFEST, write_network


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete artifact with a stand-in for the network."""
    folder = tmp_path / "artifacts" / "tiny"
    write_artifact(folder, MANIFEST, LABELS, HEAD, GOLDEN, write_network)
    return folder
