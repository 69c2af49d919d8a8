"""Calls of gRPC by hand, from any address of this machine: grpcio's clients can't select theirs."""

from __future__ import annotations

import socket
import struct

from tests.service.fakes import WAIT_SECONDS

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    """A connection with HTTP/2 on which no call is made yet."""
    connection = socket.create_connection(
        ("127.0.0.1", port), WAIT_SECONDS, source_address=(source, 0)
    )
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0, b""))
    return connection


def call(connection: socket.socket, method: str, message: bytes, stream: int = 1) -> None:
    """Sends one whole call, of at most 16 KiB."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/{method}",
        ":authority": "test",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    # Each as a literal that is not to be indexed.
    head = b"".join(b"\0" + literal(name) + literal(value) for name, value in fields.items())
    body = b"\0" + struct.pack(">I", len(message)) + message
    connection.sendall(
        frame(HEADERS, END_HEADERS, stream, head) + frame(DATA, END_STREAM, stream, body)
    )


def has_answered(connection: socket.socket, message: bytes) -> bool:
    """Whether this message arrives."""
    wanted = b"\0" + struct.pack(">I", len(message)) + message
    got = b""
    while wanted not in got:
        read = connection.recv(65536)
        if not read:
            return False
        got += read
    return True


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
