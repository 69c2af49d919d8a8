"""Requests as bytes."""

from __future__ import annotations

BOUNDARY = b"b"
FORM = b"multipart/form-data; boundary=" + BOUNDARY
END = b"--" + BOUNDARY + b"--\r\n"
DISPOSITION = b'Content-Disposition: form-data; name="file"; filename="a"'


def get(path: str, *headers: bytes) -> bytes:
    lines = [f"GET {path} HTTP/1.1".encode(), b"Host: test", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def head_of(length: int | None, media_type: bytes, *headers: bytes, query: str = "") -> bytes:
    """The header of POST /predict. length: of the body; None for chunked transfer coding."""
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    lines = [
        f"POST /predict{query} HTTP/1.1".encode(),
        b"Host: test",
        b"Content-Type: " + media_type,
        framing,
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def post(body: bytes, media_type: bytes, *headers: bytes, query: str = "") -> bytes:
    return head_of(len(body), media_type, *headers, query=query) + body


def part_of(content: bytes, headers: bytes = DISPOSITION) -> bytes:
    return b"--" + BOUNDARY + b"\r\n" + headers + b"\r\n\r\n" + content + b"\r\n"


def form_of(content: bytes, count: int) -> bytes:
    """The body of a form with `count` parts of the same content."""
    return part_of(content) * count + END


def parts_that_fit(content: bytes, body_bytes: int, most: int) -> int:
    """How many parts with this content fit into a form of `body_bytes`; at most `most`."""
    return max(1, min(most, (body_bytes - len(END)) // len(part_of(content))))
