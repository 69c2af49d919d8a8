"""What the parser accepts in a request's header, and the service does not."""

from __future__ import annotations

from service.http.connection.refusal import RawHeaders, malformed

# An upgrade is never taken.
UPGRADE = frozenset({b"upgrade", b"http2-settings"})


def check_header(version: str, method: bytes, headers: RawHeaders) -> int:
    """The length of the body in bytes, 0 where the header does not state one. Raises Refusal.

    version: as in "1.1". headers: names in lower case; the parser has checked the length.
    """
    if version not in ("1.1", "1.0"):
        raise malformed(f"HTTP/1.1 and HTTP/1.0 are spoken here. Received: HTTP/{version}")
    if method == b"CONNECT":
        raise malformed("This is no proxy. Received: CONNECT")
    hosts = length = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            length = int(value)
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise malformed(f"A request has one Host. Received: {hosts}")
    return length


def without_upgrade(request_line: bytes, headers: RawHeaders) -> bytes:
    """The header as a client would send it that asks for no upgrade."""
    lines = [request_line]
    for name, value in headers:
        if name == b"connection":
            options = (option.strip() for option in value.split(b","))
            value = b", ".join(option for option in options if option.lower() not in UPGRADE)
        if name not in UPGRADE:
            lines.append(name + b": " + value + b"\r\n")
    return b"".join(lines) + b"\r\n"
