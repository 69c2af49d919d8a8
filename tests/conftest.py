"""Fixtures of tests in several folders."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_builder.checkpoints.catalog import canonical_name
from model_builder.checkpoints.download.fetch import LocalFile
from model_builder.errors import FetchFailed
from tests.golden.reference import MODEL, checkpoint_file
from tests.home import HOME, VARIABLE, copy_downloads, users_home
from tests.model_builder.faulty_server import FaultyServer

MakeServer = Callable[..., FaultyServer]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Asked by pytest-xdist, of `pytest -n`."""
    from tests.schedule import FileByFile

    return FileByFile(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots",
        action="store_true",
        help="make the pictures of the page in docs again (tests/e2e/test_page.py)",
    )


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Removes a test's log handlers, whose streams end with the test."""
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    yield
    for handler in [*root.handlers]:
        if handler not in handlers:
            root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def make_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeServer]:
    """Starts servers, which end with the test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers: list[FaultyServer] = []

    def make(*, ranges: bool = True, etags: bool = True) -> FaultyServer:
        server = FaultyServer(ranges=ranges, etags=etags)
        server.start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def faulty_server(make_server: MakeServer) -> FaultyServer:
    return make_server()


@pytest.fixture(scope="session", autouse=True)
def users_cache() -> Iterator[Path]:
    """The user's cache, to be read only: meanwhile RESNET_HOME is the tests' own."""
    users = users_home()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(HOME))
        yield users


@pytest.fixture(scope="session")
def home(users_cache: Path) -> Path:
    """The tests' cache, with ResNet-50's file where the user's cache has it."""
    copy_downloads(users_cache, canonical_name(MODEL))
    return HOME


@pytest.fixture(scope="session")
def published(home: Path) -> LocalFile:
    """ResNet-50's file, from the tests' cache, or fetched."""
    try:
        return checkpoint_file(home)
    except FetchFailed as error:
        # In CI a test without weights fails; elsewhere it is skipped.
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
