"""A second protocol over a real socket, in one file and without HTTP."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from service.auth.api_keys import ApiKeys, hash_of
from service.auth.rate_limit import RateLimit
from service.errors import HeaderTooLarge, InferenceFailed, ServiceError, TargetTooLong
from service.inference.model import Model
from service.inference.runtime import Runtime
from service.settings import Settings
from tests.interpreter import modules_after
from tests.service.conftest import MODEL_NAME, MakeModel
from tests.service.fakes import WAIT_SECONDS, FakeEngine, Recorder, eventually
from tests.service.images import plain
from tests.service.inference.toy_protocol import CODES, ToyServer

T = TypeVar("T")

RED = plain("red")


def head(*, key: str = "-", model: str = "-", timeout_ms: str = "-") -> bytes:
    return f"{key} {model} {timeout_ms} ".encode()


def line(image: bytes = RED, **fields: str) -> bytes:
    return head(**fields) + base64.b64encode(image) + b"\n"


def in_time(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, WAIT_SECONDS))


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def answer(self) -> str:
        """The line that comes; empty where the server closes without one."""
        try:
            return (await self._reader.read()).decode().rstrip("\n")
        finally:
            self.close()

    def close(self) -> None:
        self._writer.close()


class World:
    """A served model, its engine, and connections to it."""

    def __init__(
        self,
        make_model: MakeModel,
        *,
        keys: ApiKeys | None = None,
        limit: RateLimit | None = None,
        **given: Any,
    ) -> None:
        self.engine, self.observer = FakeEngine(), Recorder()
        self.model = make_model(MODEL_NAME, self.engine, observer=self.observer)
        self.engine.batches.clear()
        self._ready = threading.Event()
        self._port = 0
        settings = Settings.of(**{"model": MODEL_NAME, "self_test_interval_seconds": 0, **given})
        self.runtime = Runtime(settings, load=self._load, on_ready=self._ready.set)
        self._server = ToyServer(self.runtime, keys, limit)

    def _load(self, _: str) -> Model:
        return self.model

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Meanwhile the server is ready. At the end the engine is released."""
        async with self._server.listening() as self._port:
            assert await asyncio.to_thread(self._ready.wait, WAIT_SECONDS)
            try:
                yield
            finally:
                self.engine.release()

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of a test's work while the server listens."""

        async def serve() -> T:
            async with self.listening():
                return await work()

        return in_time(serve())

    async def send(self, data: bytes) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self._port))
        client.send(data)
        return client

    async def ask(self, data: bytes) -> str:
        return await (await self.send(data)).answer()

    def rejections(self, reason: str) -> float:
        registry = self.runtime.metrics.registry
        return registry.get_sample_value("resnet_rejections_total", {"reason": reason}) or 0.0


@pytest.fixture
def world(make_model: MakeModel) -> World:
    return World(make_model)


def test_an_image_gives_its_class_and_its_probability(world: World) -> None:
    async def work() -> list[str]:
        return [await world.ask(line(model=name)) for name in ("-", MODEL_NAME)]

    answers = world.run(work)
    assert [answer.split()[:2] for answer in answers] == [["OK", "red"]] * 2
    assert 0.5 < float(answers[0].split()[2]) <= 1


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (line(RED[:60]), "BAD_REQUEST The PNG image can't be decoded"),
        (line(b"%PDF-1.7"), "BAD_REQUEST Images are taken as"),
        (head() + b"?\n", "BAD_REQUEST The image must be in base64"),
        (line(timeout_ms="soon"), "BAD_REQUEST timeout_ms is a number. Received: 'soon'"),
        (line(model="resnet999"), "UNKNOWN_MODEL This server does not serve 'resnet999'"),
        (line(plain("red", (200, 200))), "TOO_LARGE "),
        (line(b"x" * 3000), "TOO_LARGE A field is too long"),
        (line(timeout_ms="0"), "LATE The deadline passed"),
    ],
)
def test_what_is_wrong_has_a_code_and_a_reason(
    make_model: MakeModel, sent: bytes, answer: str
) -> None:
    world = World(make_model, max_body_bytes=2000, max_image_pixels=10_000)

    async def work() -> tuple[str, str]:
        return await world.ask(sent), await world.ask(line())

    refusal, next_one = world.run(work)
    assert refusal.startswith(answer)
    assert next_one.startswith("OK red")


def test_a_full_queue_refuses_before_the_image_is_sent(world: World) -> None:
    async def work() -> tuple[str, list[str]]:
        first = await world.send(line())
        await asyncio.to_thread(world.engine.wait_until_busy)
        waiting = [await world.send(line()) for _ in range(9)]
        await asyncio.to_thread(eventually, lambda: world.model.queue_depth == 9)
        refusal = await world.ask(head())
        world.engine.release()
        return refusal, [await client.answer() for client in (first, *waiting)]

    world.engine.block()
    refusal, answers = world.run(work)
    assert refusal.startswith(
        "TRY_LATER 9 of at most 10 images are waiting, 9 of them of this client"
    )
    assert [answer.split()[:2] for answer in answers] == [["OK", "red"]] * 10
    assert world.rejections("queue_full") == 1


def test_a_deadline_that_passes_while_the_image_waits(world: World) -> None:
    async def work() -> str:
        return await world.ask(line(timeout_ms="100"))

    world.engine.block()
    assert world.run(work).startswith("LATE The deadline passed before")
    assert world.rejections("deadline_exceeded") == 1


def test_the_image_of_a_client_that_hangs_up_is_never_computed(world: World) -> None:
    async def work() -> str:
        first = await world.send(line())
        await asyncio.to_thread(world.engine.wait_until_busy)
        second = await world.send(line())
        await asyncio.to_thread(eventually, lambda: world.model.queue_depth == 1)
        second.close()
        await asyncio.to_thread(eventually, lambda: world.rejections("cancelled") == 1)
        world.engine.release()
        return await first.answer()

    world.engine.block()
    assert world.run(work).startswith("OK red")
    assert world.engine.batches == [1]
    assert world.observer.drops == {"cancelled": 1}


def test_a_client_that_hangs_up_before_its_image_is_sent_is_no_error(world: World) -> None:
    async def work() -> None:
        client = await world.send(head())
        client.close()
        await asyncio.to_thread(eventually, lambda: world.rejections("cancelled") == 1)

    world.run(work)
    assert world.engine.batches == []


def test_a_server_that_stops_answers_what_it_has_and_reports_not_ready(world: World) -> None:
    async def work() -> str:
        async with world.listening():
            assert world.runtime.health().ready
            client = await world.send(line())
            await asyncio.to_thread(world.engine.wait_until_busy)
        assert world.runtime.health().problems == ["shutting down"]
        return await client.answer()

    world.engine.block()
    assert in_time(work()).startswith("OK red")


def test_keys_and_rate_limits_are_those_of_the_service(
    make_model: MakeModel, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{hash_of('alpha')} shop\n{hash_of('beta')} bank off\n")
    world = World(make_model, keys=ApiKeys(keys), limit=RateLimit(0.01, 1))

    async def work() -> list[str]:
        return [await world.ask(line(key=key)) for key in ("-", "beta", "alpha", "alpha")]

    none, off, first, second = world.run(work)
    assert none == "UNKNOWN_CLIENT An API key is required."
    assert off == "UNKNOWN_CLIENT The API key of bank has been turned off."
    assert first.startswith("OK red")
    assert second.startswith("TRY_LATER shop has sent too many requests.")


def test_its_file_needs_no_http() -> None:
    loaded = modules_after("import tests.service.inference.toy_protocol")
    assert "service.inference.runtime" in loaded
    assert not {name for name in loaded if name.startswith("service.http")}
    assert not loaded & {"fastapi", "starlette", "uvicorn", "httptools"}


def test_only_faults_of_the_service_are_internal() -> None:
    internal = {kind for kind in ServiceError.__subclasses__() if kind not in CODES}
    assert internal == {InferenceFailed, HeaderTooLarge, TargetTooLong}
