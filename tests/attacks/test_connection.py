"""What the attackers' connections read and send, against a server that says what it is told."""

from __future__ import annotations

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.attacks.attackers import grpc_calls
from tests.attacks.attackers.config import AttackerConfig, Link, run_until_end
from tests.attacks.attackers.connection import Connection
from tests.attacks.attackers.requests import form_of, parts_that_fit
from tests.nginx import free_port

Handler = Callable[[StreamReader, StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
REFUSAL = b"HTTP/1.1 503 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def config_of(port: int, seconds: float = 60.0) -> AttackerConfig:
    ends = time.monotonic() + seconds
    return AttackerConfig(port, "127.0.0.2", ends, b"", Path(), 1000, 1e6)


def with_server(handler: Handler, client: Callable[[Connection], Awaitable[None]]) -> None:
    """Runs the client on a connection that the handler serves."""

    async def both() -> None:
        served = asyncio.Event()

        async def serve_one(reader: StreamReader, writer: StreamWriter) -> None:
            await handler(reader, writer)
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            served.set()

        async with await asyncio.start_server(serve_one, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with await Connection.open(config_of(port)) as connection:
                await asyncio.wait_for(client(connection), 60)
            await served.wait()

    asyncio.run(both())


def says(*parts: bytes) -> Handler:
    async def handler(_: StreamReader, writer: StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return handler


def test_responses_are_told_apart_however_they_come() -> None:
    async def client(connection: Connection) -> None:
        responses = [await connection.response() for _ in range(4)]
        assert [one.status for one in responses] == [200, 200, 200, 503]
        assert [one.body for one in responses] == [b"ok", b"ok", b"ok", b""]
        assert [one.closes for one in responses] == [False, False, False, True]
        with pytest.raises(EOFError):
            await connection.response()

    with_server(says(CONTINUE + OK + OK[:10], OK[10:-1], OK[-1:] + OK, REFUSAL), client)


def test_a_response_that_breaks_off_is_none() -> None:
    async def client(connection: Connection) -> None:
        with pytest.raises(EOFError):
            await connection.response()

    with_server(says(OK[:-1]), client)


def test_a_response_before_the_end_of_the_request_ends_the_exchange() -> None:
    """The server reads nothing of the body."""

    async def client(connection: Connection) -> None:
        response = await connection.exchange(bytes(50 * 2**20))
        assert (response.status, response.closes) == (200, True)

    async def handler(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.read(1)
        writer.write(OK)

    with_server(handler, client)


def test_half_of_a_connection_is_closed() -> None:
    async def client(connection: Connection) -> None:
        await connection.send(b"all")
        connection.half_close()
        assert await connection.received(60) == b"all"

    async def handler(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(await reader.read())

    with_server(handler, client)


def test_clients_end_with_the_attack_even_if_a_cancellation_is_lost() -> None:
    lost = []

    async def client() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.append(True)
        await asyncio.Event().wait()

    asyncio.run(run_until_end(config_of(1, seconds=0.0), client(), client()))
    assert lost == [True, True]


def test_what_a_client_raises_is_raised() -> None:
    async def client() -> None:
        raise KeyError("a mistake of this script")

    with pytest.raises(KeyError):
        asyncio.run(run_until_end(config_of(1), client()))


def test_a_link_carries_no_more_than_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def send() -> None:
        link = Link(1000.0)
        monkeypatch.setattr(time, "monotonic", lambda: 50.0)
        monkeypatch.setattr(asyncio, "sleep", sleep)
        for _ in range(3):
            await link.carry(500)

    asyncio.run(send())
    assert slept == [0.5, 1.0, 1.5]


def test_what_is_sent_goes_over_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    carried = []

    async def carry(_: Link, size: int) -> None:
        carried.append(size)

    async def answer_at_the_end(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readexactly(150_000)
        writer.write(OK)

    async def client(connection: Connection) -> None:
        await connection.send(bytes(150_000))
        await connection.response()

    monkeypatch.setattr(Link, "carry", carry)
    with_server(answer_at_the_end, client)
    assert carried == [65536, 65536, 18928]


def test_so_do_calls_of_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    carried = []

    async def carry(_: Link, size: int) -> None:
        carried.append(size)
        await asyncio.sleep(config.seconds_left)

    monkeypatch.setattr(Link, "carry", carry)
    config = replace(config_of(1, seconds=1.0), grpc_port=free_port())
    asyncio.run(grpc_calls.photos(config))
    assert set(carried) == {len(grpc_calls._infer([config.photo] * 32))}


@pytest.mark.parametrize(("size", "count"), [(100, 5), (10, 9), (5000, 1)])
def test_a_form_has_as_many_images_as_fit(size: int, count: int) -> None:
    content = bytes(size)
    assert parts_that_fit(content, 1000, 9) == count
    assert len(form_of(content, count)) <= 1000 or count == 1
    assert count == 9 or len(form_of(content, count + 1)) > 1000
