"""A server on 127.0.0.1 that serves files like storage servers and the hub, with given faults."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE_SECONDS = 60
CHUNK_BYTES = 4096
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Fault:
    """The server's behavior for one request, in place of serving the file.

    status, headers: of the response. body: in place of the file's content. sends: the share of the
    body that is sent before the connection is closed, or left open where `silent`. trickles:
    seconds between chunks. announced: whether the response has a Content-Length. garbage: the
    response is not HTTP.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    sends: float = 1.0
    silent: bool = False
    trickles: float | None = None
    announced: bool = True
    garbage: bool = False


@dataclass(frozen=True)
class Asked:
    """One received request. `range`, `if_range`, `token`: headers, or None."""

    method: str
    path: str
    range: str | None
    if_range: str | None
    token: str | None


@dataclass(frozen=True)
class Redirect:
    location: str
    headers: Mapping[str, str] = field(default_factory=dict)


class FaultyServer(ThreadingHTTPServer):
    """files: content by path. redirects: by path. faults: for the next GETs, one each.

    faults_at: for the next requests of that method and path, before `faults`.

    ranges: whether the server supports ranges. etags: whether responses have an ETag.
    stopped: set while a response has stopped before its end; `go_on` ends every such stop.
    """

    daemon_threads = True

    def __init__(self, *, ranges: bool = True, etags: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ranges = ranges
        self.etags = etags
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, Redirect] = {}
        self.faults: deque[Fault] = deque()
        self.faults_at: dict[tuple[str, str], deque[Fault]] = {}
        self.asked: list[Asked] = []
        self.stopped = threading.Event()
        self.go_on = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self.go_on.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def ranges_asked(self) -> list[str | None]:
        """The Range of every GET."""
        return [asked.range for asked in self.asked if asked.method == "GET"]

    def next_fault(self, method: str, path: str) -> Fault:
        queue = self.faults_at.get((method, path)) or (self.faults if method == "GET" else None)
        return queue.popleft() if queue else Fault()

    def handle_error(self, request: object, client_address: object) -> None:
        """Logs nothing: tests kill clients while they are served."""


class _Handler(BaseHTTPRequestHandler):
    server: FaultyServer

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.server.asked.append(
            Asked(
                self.command,
                self.path,
                self.headers["Range"],
                self.headers["If-Range"],
                self.headers["Authorization"],
            )
        )
        fault = self.server.next_fault(self.command, self.path)
        if fault.garbage:
            self.wfile.write(b"220 mail.example.org ESMTP\r\n\r\n")
        elif fault.status is not None:
            self._send(fault.status, dict(fault.headers), fault.body or b"", fault)
        elif redirect := self.server.redirects.get(self.path):
            self._send(302, {"Location": redirect.location, **redirect.headers}, b"", fault)
        elif self.path in self.server.files:
            self._send_file(self.server.files[self.path], fault)
        else:
            self._send(404, {}, b"", fault)

    def _send_file(self, content: bytes, fault: Fault) -> None:
        headers = {}
        etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        if self.server.etags:
            headers["ETag"] = etag
        if self.server.ranges:
            headers["Accept-Ranges"] = "bytes"
        headers.update(fault.headers)
        first = self._first_byte(etag)
        if first is None:
            self._send(200, headers, content if fault.body is None else fault.body, fault)
        elif first >= len(content):
            self._send(416, headers | {"Content-Range": f"bytes */{len(content)}"}, b"", fault)
        else:
            span = f"bytes {first}-{len(content) - 1}/{len(content)}"
            body = content[first:] if fault.body is None else fault.body
            self._send(206, {"Content-Range": span, **headers}, body, fault)

    def _first_byte(self, etag: str) -> int | None:
        if not self.server.ranges or self.headers["Range"] is None:
            return None
        if self.headers["If-Range"] not in (None, etag):
            return None
        return int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if fault.announced:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = body[: round(len(body) * fault.sends)]
        if fault.trickles is None:
            self.wfile.write(sent)
        else:
            for start in range(0, len(sent), CHUNK_BYTES):
                self.wfile.write(sent[start : start + CHUNK_BYTES])
                self.server.go_on.wait(fault.trickles)
        if len(sent) < len(body):
            self.wfile.flush()
            self.server.stopped.set()
            if fault.silent:
                self.server.go_on.wait(PATIENCE_SECONDS)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: the requests are in `asked`."""


def publish_on_hub(
    hub: FaultyServer,
    cdn: FaultyServer,
    content: bytes,
    *,
    repository: str = "someone/resnet18.test_in1k",
    file: str = "model.safetensors",
) -> tuple[str, str]:
    """Publishes a large file like the hub: its metadata at `resolve`, its bytes at the CDN.

    Returns the two paths, the first that of the revision "main".
    """
    digest = hashlib.sha256(content).hexdigest()
    stored = f"/lfs/{repository}/{digest}"
    cdn.files[stored] = content
    facts = {
        "X-Repo-Commit": COMMIT,
        "X-Linked-ETag": f'"{digest}"',
        "X-Linked-Size": str(len(content)),
    }
    main, pinned = (f"/{repository}/resolve/{revision}/{file}" for revision in ("main", COMMIT))
    hub.redirects[main] = hub.redirects[pinned] = Redirect(f"{cdn.url}{stored}", facts)
    return main, stored
