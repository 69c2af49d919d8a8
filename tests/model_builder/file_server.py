"""A web server on this machine that serves one file, with or without faults."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 8192
WRONG = b"<html>please log in</html>"
WAIT_SECONDS = 60


class FileServer(ThreadingHTTPServer):
    """Serves CONTENT with the behavior that the path names, and records the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FileHandler)
        self.requests: list[str] = []
        self.asked = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class FileHandler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.server.asked.set()
        self.server.go_on.wait(WAIT_SECONDS)
        kind = self.path.split("/")[1]
        if kind.isdigit():
            self.send_error(int(kind))
            return
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", "/good/weights.h5")
            self.end_headers()
            return
        body = WRONG if kind == "wrong" else CONTENT
        self.send_response(200)
        if kind != "unannounced":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if kind in ("cut", "unannounced") else body)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: the requests are in `requests`."""
