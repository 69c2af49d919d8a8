"""A client that keeps the event loop busy waits while another one's image is in the service."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from service.auth.api_keys import ApiKeys, hash_of
from service.fairness import paced
from service.fairness.loop_client import Turn
from service.fairness.paced import INFERRED_SECONDS, credit_images
from service.fairness.pacing import ALLOWANCE_SECONDS, Pacer
from service.http.middleware import pacing
from service.http.middleware.pacing import SERVER_SECONDS, PacingMiddleware
from tests.service.conftest import Service, listening
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.images import plain

FLOOD, HONEST = "127.0.0.2", "127.0.0.3"


class Noting(Pacer):
    """clients: who began. charged: the seconds of each request that ended."""

    def __init__(self) -> None:
        super().__init__(cpus=1)
        self.clients: list[str] = []
        self.bounds: list[float] = []
        self.charged: list[float] = []

    async def begin(self, name: str, most_seconds: float) -> Turn:
        self.clients.append(name)
        self.bounds.append(most_seconds)
        return await super().begin(name, most_seconds)

    def end(self, turn: Turn, seconds: float, *, inferred: bool = False) -> None:
        self.charged.append(seconds)
        super().end(turn, seconds, inferred=inferred)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of a coroutine takes a second."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "thread_time", lambda: float(next(ticks)))


def request(
    pacer: Pacer,
    *,
    status: int = 200,
    method: str = "GET",
    path: str = "/models",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    keys: ApiKeys | None = None,
    error: Exception | None = None,
    images: int = 0,
) -> None:
    """One request whose answer takes three steps. images: that were inferred for it."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        credit_images(images)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await asyncio.sleep(0)
        if error is not None:
            raise error
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Message) -> None:
        pass

    async def receive() -> Message:
        raise AssertionError

    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": path,
        "client": (FLOOD, 1),
        "headers": [*headers],
    }
    asyncio.run(PacingMiddleware(app, pacer=pacer, keys=keys)(scope, receive, send))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 3.0),
        ({"status": 404}, 3.0),
        ({"method": "POST", "status": 503}, 3.0),
        # None of its images took a turn on the device.
        ({"method": "POST", "status": 200}, 3.0),
        ({"method": "POST", "status": 200, "images": 100}, 3.0 - 100 * INFERRED_SECONDS),
    ],
)
def test_a_request_is_charged_its_steps_on_the_loop(given: dict[str, Any], seconds: float) -> None:
    pacer = Noting()
    request(pacer, **given)
    assert pacer.charged == [pytest.approx(seconds + SERVER_SECONDS)]


@pytest.mark.usefixtures("clock")
def test_images_that_were_inferred_pay_for_no_other_request() -> None:
    pacer = Noting()
    request(pacer, images=10_000)
    assert pacer.charged == [0.0]


@pytest.mark.usefixtures("clock")
def test_a_request_that_fails_has_ended_too() -> None:
    pacer = Noting()
    with pytest.raises(ZeroDivisionError):
        request(pacer, error=ZeroDivisionError())
    assert pacer.charged == [3.0 + SERVER_SECONDS]


def test_probes_wait_a_short_time_only() -> None:
    pacer = Noting()
    for path in ("/health/live", "/v2/health/ready", "/models"):
        request(pacer, path=path)
    assert pacer.bounds == [0.2, 0.2, 2.0]


def test_a_client_is_its_key_or_its_address(tmp_path: Path) -> None:
    file, pacer = tmp_path / "keys", Noting()
    file.write_text(f"{hash_of('alpha')} {FLOOD}\n")
    keys = ApiKeys(file)
    for key in (b"alpha", b"wrong"):
        request(pacer, keys=keys, headers=((b"x-api-key", key),))
    request(pacer)
    assert pacer.clients == [f"key {FLOOD}", FLOOD, FLOOD]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of this machine"
)
def test_a_flood_waits_for_the_image_of_another_client(
    service: Service, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever a client has used, it has paid only when the test is over.
    monkeypatch.setattr(pacer_of(service)._debts, "_share", 1e-9)
    monkeypatch.setattr(pacing, "MOST_SECONDS", WAIT_SECONDS)
    with listening(service.app) as port:

        def client(address: str) -> httpx2.Client:
            return httpx2.Client(
                transport=httpx2.HTTPTransport(local_address=address),
                base_url=f"http://127.0.0.1:{port}",
                timeout=WAIT_SECONDS,
            )

        image = {"file": ("image.png", plain("red"), "image/png")}
        with client(FLOOD) as flood, client(HONEST) as honest:
            assert flood.get("/models").status_code == 200
            pacer = pacer_of(service)
            pacer._debts.charge(pacer._clients[FLOOD], 2 * ALLOWANCE_SECONDS)
            # Nobody else is there.
            assert flood.get("/models").status_code == 200
            with service.engine.blocked():
                answer = pool.submit(honest.post, "/predict", files=image)
                service.engine.wait_until_busy()
                waiting = pool.submit(flood.get, "/models")
                eventually(lambda: pacer.waiting == 1)
                assert not waiting.done()
                with client("127.0.0.4") as third:
                    assert third.get("/models").status_code == 200
                assert not waiting.done()
                service.engine.release()
                assert answer.result(WAIT_SECONDS).status_code == 200
            assert waiting.result(WAIT_SECONDS).status_code == 200
            assert pacer.waiting == 0
    assert service.sample("resnet_requests_paced_total") == 1


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of this machine"
)
def test_a_body_is_read_on_when_the_image_of_another_client_has_been_served(
    service: Service, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paced, "BYTE_SECONDS", 1e-6)
    monkeypatch.setattr(paced, "MOST_SECONDS", WAIT_SECONDS)
    body_bytes = 8 * 2**20
    with listening(service.app) as port:
        address = f"http://127.0.0.1:{port}"

        def post(source: str, content: bytes) -> httpx2.Response:
            transport = httpx2.HTTPTransport(local_address=source)
            with httpx2.Client(transport=transport, timeout=WAIT_SECONDS) as client:
                headers = {"Content-Type": "image/png"}
                response: httpx2.Response = client.post(
                    f"{address}/predict", content=content, headers=headers
                )
            return response

        assert post(FLOOD, plain("red")).status_code == 200
        pacer = pacer_of(service)
        monkeypatch.setattr(pacer._debts, "_share", 1e-9)
        with service.engine.blocked():
            answer = pool.submit(post, HONEST, plain("red"))
            service.engine.wait_until_busy()
            uploading = pool.submit(post, FLOOD, bytes(body_bytes))
            eventually(lambda: pacer.waiting == 1)
            assert 0 < service.sample("resnet_pending_bytes") < body_bytes / 4
            assert not uploading.done()
            service.engine.release()
            assert answer.result(WAIT_SECONDS).status_code == 200
        assert uploading.result(WAIT_SECONDS).status_code == 415
        assert pacer.waiting == 0


def pacer_of(service: Service) -> Pacer:
    app: Any = service.app.middleware_stack
    while not isinstance(app, PacingMiddleware):
        app = app.app if hasattr(app, "app") else app._app
    return app._pacer
