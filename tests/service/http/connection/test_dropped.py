"""What a client sends after its response is read in turn, at a limited rate."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from service.fairness.paced import BYTE_SECONDS
from service.http.connection import dropped
from service.http.connection.dropped import BYTES_PER_SECOND, SPARE_SECONDS, DroppedBytes
from tests.service.conftest import Service
from tests.service.fairness.test_pacing import Clock
from tests.service.fakes import eventually
from tests.service.http.connection.conftest import HEALTH, Connect, answer

PIECE = 256 * 1024


class Flow:
    """Reads a piece whenever it may."""

    def __init__(self, drops: DroppedBytes, client: str) -> None:
        self.dropping = False
        self.read_bytes = 0
        self._drops, self._client = drops, client
        self._held = False

    def hold(self) -> None:
        self._held = True

    def release(self) -> None:
        self._held = False
        asyncio.get_running_loop().call_soon(self.read)

    def read(self) -> None:
        if not self._held:
            self.read_bytes += PIECE
            self._drops.add(self, self._client, PIECE)  # type: ignore[arg-type]
            if not self._held:
                asyncio.get_running_loop().call_soon(self.read)


def read(clients: dict[str, int], seconds: float) -> dict[str, int]:
    """Bytes that are read of each client with so many connections, which never end."""
    clock = Clock()
    loop = asyncio.SelectorEventLoop(clock)
    loop.time = lambda: clock.seconds  # type: ignore[method-assign]

    async def main() -> dict[str, int]:
        drops = DroppedBytes()
        flows = [(name, Flow(drops, name)) for name, count in clients.items() for _ in range(count)]
        for _, flow in flows:
            flow.read()
        await asyncio.sleep(seconds)
        return {
            name: sum(flow.read_bytes for owner, flow in flows if owner == name) for name in clients
        }

    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


@pytest.mark.parametrize("connections", [1, 20, 200])
def test_all_together_have_a_rate(connections: int) -> None:
    (read_bytes,) = read({"a": connections}, 10.0).values()
    spare = (connections + 2) * PIECE + SPARE_SECONDS * BYTES_PER_SECOND
    assert read_bytes <= 10.0 * BYTES_PER_SECOND + spare
    assert read_bytes >= 0.9 * 10.0 * BYTES_PER_SECOND


def test_clients_have_equal_parts_of_it() -> None:
    read_bytes = read({"flood": 100, "honest": 1}, 10.0)
    assert read_bytes["honest"] == pytest.approx(read_bytes["flood"], rel=0.1)


def test_a_connection_that_is_lost_does_not_wait() -> None:
    async def main() -> None:
        drops = DroppedBytes()
        flow: Any = Flow(drops, "a")
        while not flow._held:
            drops.add(flow, "a", PIECE)
        drops.forget(flow)
        assert not drops._waiting
        await asyncio.sleep(2 * SPARE_SECONDS)
        assert flow.read_bytes == 0

    asyncio.run(main())


def test_a_body_is_dropped_slowly_once_it_is_refused(
    service: Service, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropped, "BYTES_PER_SECOND", 1.0)
    body = 16 * 2**20
    refused = connect()
    head = b"POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % body
    refused.sendall(head)
    assert answer(refused).startswith(b"HTTP/1.1 404")
    refused.setblocking(False)
    sent = 0

    def stands_still() -> bool:
        nonlocal sent
        try:
            sent += refused.send(bytes(PIECE))
        except BlockingIOError:
            return True
        return False

    eventually(stands_still)
    assert sent < body
    other = connect()
    other.sendall(HEALTH)
    assert answer(other).startswith(b"HTTP/1.1 200")
    other.shutdown(socket.SHUT_RDWR)
    assert service is not None


def test_a_request_after_a_refused_body_is_answered(connect: Connect) -> None:
    connection = connect()
    body = bytes(4 * PIECE)
    head = b"POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % len(body)
    connection.sendall(head + body + HEALTH)
    assert answer(connection).startswith(b"HTTP/1.1 404")
    assert answer(connection).startswith(b"HTTP/1.1 200")


def test_a_client_is_charged_for_what_it_sends_after_a_refusal(
    service: Service, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    charged: list[tuple[str, float]] = []
    pacer = service.app.state.pacer
    monkeypatch.setattr(pacer, "_charge", lambda client, seconds: charged.append((client, seconds)))
    connection = connect()
    body = bytes(16 * PIECE)
    head = b"POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % len(body)
    connection.sendall(head)
    assert answer(connection).startswith(b"HTTP/1.1 404")
    charged.clear()
    connection.sendall(body + HEALTH)
    assert answer(connection).startswith(b"HTTP/1.1 200")
    of_bytes = sum(seconds for _, seconds in charged)
    assert of_bytes >= len(body) * BYTE_SECONDS
    assert {client for client, _ in charged} == {pacer._clients["127.0.0.1"]}
