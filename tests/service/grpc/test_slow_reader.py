"""A client that takes nothing of its answer, in HTTP/2 by hand: gRPC's clients always take it."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.service.conftest import Serve
from tests.service.fakes import eventually
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


def test_a_call_whose_answer_is_not_taken_gives_its_place_back(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.grpc.server.MAX_CALLS", 2)
    service = serve(grpc_port=0, write_timeout_seconds=0.3)

    def timed_out() -> float:
        return service.sample("resnet_connections_timed_out_total", phase="write")

    with socket.create_connection(("127.0.0.1", service.app.state.grpc_port)) as connection:
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))
            + request(1)
            + request(3)
        )
        eventually(lambda: timed_out() == 2)
        assert service.sample("resnet_grpc_requests_total", method=INFER, status="CANCELLED") == 2
        with client_of(service) as client:
            assert floats(client.call(INFER, infer_request(RED))).argmax() == 0
        assert timed_out() == 2
