"""The service around a fake engine, in this process."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
import uvicorn
from fastapi import FastAPI

from model_builder.artifact.manifest import Artifact
from service.http.app import create_app
from service.http.connection.bounds import Bounds
from service.http.server import config_of, listen, registry_of
from service.imaging.pool import DecoderPool
from service.inference.model import Model, ModelObserver
from service.inference.service import InferenceService
from service.observability.logging import configure_logging
from service.observability.metrics import Metrics, ModelMetrics
from service.settings import PREFIX, Settings
from tests.service.color_artifact import MODEL_NAME as MODEL_NAME
from tests.service.color_artifact import write_color_artifact
from tests.service.fakes import (
    WAIT_SECONDS,
    FakeEngine,
    Recorder,
    batch_sizes_of,
    eventually,
)

with warnings.catch_warnings():
    # From 1.8 on it asks for httpx2, a second copy of a library that is here, and warns without.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient as TestClient


Loop = Literal["auto", "asyncio", "uvloop"]


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests depend neither on settings in the environment nor on this machine's cache."""
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setenv(f"{PREFIX}HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_color_artifact(tmp_path_factory.mktemp("artifacts") / MODEL_NAME)


@dataclass(frozen=True)
class Service:
    """A running service and its parts."""

    client: TestClient
    app: FastAPI
    model: Model
    engines: tuple[FakeEngine, ...]
    metrics: Metrics

    @property
    def engine(self) -> FakeEngine:
        return self.engines[0]

    def sample(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where it has none."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


class Serve(Protocol):
    def __call__(self, *engines: FakeEngine, **settings: Any) -> Service: ...


@pytest.fixture
def serve(artifact: Artifact) -> Iterator[Serve]:
    """Starts a ready service with the given engines (one by default) and settings."""
    with contextlib.ExitStack() as stack:

        def start(*engines: FakeEngine, **given: Any) -> Service:
            engines = engines or (FakeEngine(),)
            # The engine gets the test's images only, unless the test turns self-tests on.
            on_lost = given.pop("on_lost", lambda _: None)
            settings = Settings.of(
                **{"model": MODEL_NAME, "self_test_interval_seconds": 0, **given}
            )
            metrics = Metrics()
            observer = ModelMetrics(metrics, MODEL_NAME)
            model = Model(
                artifact,
                engines,
                observer,
                batch_sizes=batch_sizes_of(engines[0]),
                queue_limit=settings.batching.queue_limit,
                wait_limit_seconds=settings.batching.queue_wait_limit_seconds,
            )
            model.load_seconds, model.memory_bytes = 1.234, 4567

            def load(_: str) -> Model:
                model.start()
                return model

            ready = threading.Event()
            app = create_app(
                settings, load=load, metrics=metrics, on_ready=ready.set, on_lost=on_lost
            )
            client = stack.enter_context(TestClient(app))
            for engine in engines:
                # The service must be able to end, also after a test that left the engine blocked.
                stack.callback(engine.release)
            assert ready.wait(WAIT_SECONDS)
            if settings.grpc.grpc_port is not None:
                eventually(lambda: is_open(app.state.grpc_port))
            for engine in engines:
                engine.batches.clear()
            return Service(client, app, model, engines, metrics)

        yield start


def is_open(port: int) -> bool:
    """Whether something listens there."""
    with contextlib.suppress(ConnectionError):
        socket.create_connection(("127.0.0.1", port), WAIT_SECONDS).close()
        return True
    return False


@pytest.fixture
def service(serve: Serve) -> Service:
    return serve()


@pytest.fixture
def start_app() -> Iterator[Callable[..., TestClient]]:
    """Starts a service with the test's own `load`, without waiting for it."""
    with contextlib.ExitStack() as stack:

        def start(load: Callable[[str], Model], **given: Any) -> TestClient:
            hooks = {name: given.pop(name) for name in ("on_ready", "on_failure") if name in given}
            app = create_app(Settings.of(**{"model": MODEL_NAME, **given}), load=load, **hooks)
            client: TestClient = stack.enter_context(TestClient(app))
            return client

        yield start


class MakeModel(Protocol):
    def __call__(
        self, name: str, *engines: FakeEngine, observer: ModelObserver | None = None
    ) -> Model: ...


@pytest.fixture
def make_model(artifact: Artifact) -> Iterator[MakeModel]:
    """Started models of any name, each with its own engine unless engines are given."""
    with contextlib.ExitStack() as stack:

        def make(name: str, *engines: FakeEngine, observer: ModelObserver | None = None) -> Model:
            named = replace(artifact, manifest=replace(artifact.manifest, name=name))
            engines = engines or (FakeEngine(),)
            model = Model(
                named,
                engines,
                observer or Recorder(),
                batch_sizes=batch_sizes_of(engines[0]),
                queue_limit=10,
                wait_limit_seconds=WAIT_SECONDS,
            )
            stack.callback(model.close, WAIT_SECONDS)
            for engine in engines:
                stack.callback(engine.release)
            model.start()
            return model

        yield make


@dataclass(frozen=True)
class Only:
    """A repository with one model."""

    model: Model

    def get(self, name: str | None = None, version: str | None = None) -> Model:
        assert name in (None, self.model.name)
        assert version is None
        return self.model


@pytest.fixture
def service_of() -> Iterator[Callable[[Model], InferenceService]]:
    """InferenceService around one model, with a decoder."""
    pool = DecoderPool(
        threads=1, max_pixels=10_000, timeout_seconds=WAIT_SECONDS, observe=lambda _: None
    )
    yield lambda model: InferenceService(Only(model), pool)
    pool.close()


@contextlib.contextmanager
def listening(app: FastAPI, bounds: Bounds | None = None, loop: Loop = "auto") -> Iterator[int]:
    """The port on which a real server serves the app, in a thread.

    The app must be started: its TestClient starts and stops it.
    """
    config = config_of(app, registry_of(app, bounds), lifespan="off", loop=loop)
    config.timeout_graceful_shutdown = 5
    listener = listen("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="uvicorn")
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive())
        yield port
    finally:
        server.should_exit = True
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def log_lines() -> Callable[[], list[dict[str, Any]]]:
    """The service's log in JSON, one dictionary for each line."""
    root = logging.getLogger()
    theirs, written = root.handlers, io.StringIO()
    # pytest's handlers, which `configure_logging` would close.
    root.handlers = []
    with contextlib.redirect_stderr(written):
        configure_logging("info", "json")
    (ours,) = root.handlers
    root.handlers = theirs
    root.addHandler(ours)
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]
