"""Large answers are counted while they are sent, and sent as fast as their client reads."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi import FastAPI, Response

from service.fairness.answer_budget import PIECE_BYTES
from service.http.outputs.held_response import HeldResponse
from tests.service.conftest import Loop, Serve, Service, listening
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.http.connection.conftest import HASTY, answer
from tests.service.http.connection.test_pipelining import of_the_server, reader_of_nothing

MEGABYTE = 2**20
BUDGET = 16 * MEGABYTE
# Two and not three of them fit into the part for answers, seven eighths of a half.
LARGE = bytes(3 * MEGABYTE)
ANSWERS = {"/large": LARGE, "/small": bytes(PIECE_BYTES), "/odd": bytes(range(256)) * 1000 + b"!"}
PATIENT = replace(HASTY, write_timeout=WAIT_SECONDS, header_timeout=WAIT_SECONDS)


def get(path: str, version: str = "1.1") -> bytes:
    return f"GET {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def add_answers(app: FastAPI) -> None:
    def add(path: str, body: bytes) -> None:
        async def respond() -> Response:
            return HeldResponse(body, media_type="application/octet-stream")

        app.add_api_route(path, respond, include_in_schema=False)

    for path, body in ANSWERS.items():
        add(path, body)


@pytest.fixture
def service(serve: Serve) -> Service:
    service = serve(max_pending_bytes=BUDGET, max_body_bytes=MEGABYTE)
    add_answers(service.app)
    return service


@pytest.fixture
def port(service: Service, loop: Loop) -> Iterator[int]:
    with listening(service.app, PATIENT, loop) as port:
        yield port


def held(service: Service) -> tuple[int, int]:
    """Bytes of answers, and of all that requests hold."""
    state = service.app.state
    return state.answers.used_bytes, state.runtime.service.budget.used_bytes


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_answer_that_nobody_reads_is_counted_and_not_buffered(
    service: Service, port: int, version: str
) -> None:
    with reader_of_nothing(port) as reader:
        reader.sendall(get("/large", version))
        eventually(lambda: held(service) == (len(LARGE), len(LARGE)))
        connection = of_the_server()
        eventually(lambda: connection.flow.write_paused)
        assert connection.transport.get_write_buffer_size() <= 3 * PIECE_BYTES
    eventually(lambda: held(service) == (0, 0))


def test_what_has_no_room_is_refused_with_the_reason(service: Service, port: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            reader = stack.enter_context(reader_of_nothing(port))
            reader.sendall(get("/large"))
        eventually(lambda: held(service)[0] == 2 * len(LARGE))
        other = stack.enter_context(connect(port))
        other.sendall(get("/large"))
        refused = answer(other)
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"retry-after" in refused
        assert b"no room for 3145728 bytes" in refused
        # What is not counted is answered, and bodies have the other half.
        other.sendall(get("/small"))
        assert answer(other).endswith(b"\r\n\r\n" + ANSWERS["/small"])
        assert service.app.state.runtime.service.budget.room("127.0.0.1") > 6 * MEGABYTE
    eventually(lambda: held(service) == (0, 0))


@pytest.mark.parametrize("path", ANSWERS)
def test_every_byte_arrives(service: Service, port: int, path: str) -> None:
    with connect(port) as reader:
        for _ in range(2):
            reader.sendall(get(path))
            head, _, body = answer(reader).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert body == ANSWERS[path]
    # The last byte arrives before they are given back.
    eventually(lambda: held(service) == (0, 0))
