"""A client that takes nothing of its answer, in HTTP/2 by hand: gRPC's clients always take it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.service.conftest import Serve, Service
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.grpc.client import INFER, client_of, floats, infer_request
from tests.service.images import plain

RED = plain("red")
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
    return head + struct.pack(">I", stream) + payload


def headers(**fields: str) -> bytes:
    """Each literally, without an index."""
    block = b""
    for name, value in fields.items():
        key = name.replace("__", ":").replace("_", "-").encode()
        block += b"\0" + bytes([len(key)]) + key + bytes([len(value)]) + value.encode()
    return block


def request(stream: int) -> bytes:
    message = infer_request(RED).SerializeToString()
    block = headers(
        __method="POST",
        __scheme="http",
        __path=f"/{INFER}",
        __authority="test",
        te="trailers",
        content_type="application/grpc",
    )
    data = b"\0" + struct.pack(">I", len(message)) + message
    return frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, data)


@contextmanager
def reader_of_nothing(service: Service, *streams: int) -> Iterator[socket.socket]:
    """Makes a call on each of the streams, and takes no byte of an answer."""
    with socket.create_connection(("127.0.0.1", service.app.state.grpc_port)) as connection:
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))
            + b"".join(map(request, streams))
        )
        yield connection


def test_a_call_whose_answer_is_not_taken_gives_its_place_back(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.grpc.server.MAX_CALLS", 2)
    service = serve(grpc_port=0, write_timeout_seconds=0.3)

    def timed_out() -> float:
        return service.sample("resnet_connections_timed_out_total", phase="write")

    with reader_of_nothing(service, 1, 3):
        eventually(lambda: timed_out() == 2)
        assert service.sample("resnet_grpc_requests_total", method=INFER, status="CANCELLED") == 2
        with client_of(service) as client:
            assert floats(client.call(INFER, infer_request(RED))).argmax() == 0
        assert timed_out() == 2


@pytest.fixture
def counting(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Counts answers of any size, and waits for those who take none."""
    monkeypatch.setattr("service.fairness.answer_budget.PIECE_BYTES", 1)
    return serve(grpc_port=0, write_timeout_seconds=WAIT_SECONDS)


def test_an_answer_is_counted_until_it_is_taken(counting: Service) -> None:
    answers, budget = counting.app.state.answers, counting.app.state.runtime.service.budget
    with reader_of_nothing(counting, 1):
        eventually(lambda: answers.used_bytes > 0)
        one = answers.used_bytes
        eventually(lambda: budget.used_bytes == one)
        with reader_of_nothing(counting, 1):
            eventually(lambda: answers.used_bytes == 2 * one)
        eventually(lambda: answers.used_bytes == one)
    eventually(lambda: (answers.used_bytes, budget.used_bytes) == (0, 0))


def test_an_answer_without_room_is_a_refusal(counting: Service) -> None:
    answers, budget = counting.app.state.answers, counting.app.state.runtime.service.budget
    # All that one client may have of the half that answers may take.
    with (
        client_of(counting) as client,
        answers.sending("127.0.0.1", budget.limit_bytes // 2 * 7 // 8),
    ):
        status, text = client.refusal(INFER, infer_request(RED))
    assert status == "UNAVAILABLE"
    assert "There is no room for" in text
    with client_of(counting) as client:
        assert floats(client.call(INFER, infer_request(RED))).argmax() == 0
