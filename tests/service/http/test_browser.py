"""A page of another origin, in a real browser, with the JavaScript client of docs/clients.md."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

from service.auth.api_keys import hash_of
from service.errors import QueueFull, Unavailable
from service.http.middleware.load_shedding import LoadSheddingMiddleware
from tests.service.conftest import MODEL_NAME, Serve, listening
from tests.service.images import plain

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

CLIENT = Path(__file__).parents[3] / "examples" / "clients" / "classify.mjs"
BROWSER_SECONDS = 60.0
PROTOCOLS = ["predict", "v2", "v1"]
PAGE = """<!doctype html><script type="module">
import { PROTOCOLS, headers } from "/classify.mjs";
const found = {};
try {
  if (KEY) headers.Authorization = `Bearer ${KEY}`;
  const photo = await (await fetch("/photo.png")).blob();
  for (const name of NAMES) found[name] = (await PROTOCOLS[name](URL, MODEL, photo)).label;
} catch (error) { found.error = String(error); }
await fetch("/found", { method: "POST", body: JSON.stringify(found) });
</script>"""


@contextmanager
def pages(files: dict[str, tuple[str, bytes]]) -> Iterator[tuple[str, Queue[dict[str, Any]]]]:
    """The address of a server of these files, and what its page posts."""
    posted: Queue[dict[str, Any]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            media_type, content = files.get(self.path, ("text/plain", b""))
            self.send_response(200)
            self.send_header("Content-Type", media_type)
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            posted.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="pages")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", posted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def found_by_page(address: str, posted: Queue[dict[str, Any]], profile: Path) -> dict[str, Any]:
    """What the page found, opened in the browser."""
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
    assert CHROMIUM is not None
    browser = subprocess.Popen(
        [CHROMIUM, *options, f"--user-data-dir={profile}", f"{address}/"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return posted.get(timeout=BROWSER_SECONDS)
    except Empty:
        pytest.fail("the page posted nothing")
    finally:
        browser.kill()
        browser.wait()


def files_of(**constants: object) -> dict[str, tuple[str, bytes]]:
    page = PAGE
    for name, value in constants.items():
        page = page.replace(name, json.dumps(value))
    return {
        "/": ("text/html", page.encode()),
        "/classify.mjs": ("text/javascript", CLIENT.read_bytes()),
        "/photo.png": ("image/png", plain("green")),
    }


def test_a_page_of_a_named_origin_is_served_also_after_a_refusal(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key, which makes the browser ask first, and by every protocol."""
    arrived: list[float] = []

    def full(_self: object, _scope: object, _target: object, now: float) -> Unavailable | None:
        arrived.append(now)
        early = now < arrived[0] + 1
        return QueueFull("full", retry_after_seconds=1) if early else None

    (tmp_path / "keys").write_text(f"{hash_of('alpha')} shop\n")
    files: dict[str, tuple[str, bytes]] = {}
    with pages(files) as (address, posted):
        service = serve(cors_origins=address, api_keys_file=tmp_path / "keys")
        monkeypatch.setattr(LoadSheddingMiddleware, "_error", full)
        with listening(service.app) as port:
            url = f"http://127.0.0.1:{port}"
            files |= files_of(URL=url, MODEL=MODEL_NAME, KEY="alpha", NAMES=PROTOCOLS)
            found = found_by_page(address, posted, tmp_path / "profile")
    assert found == dict.fromkeys(PROTOCOLS, "green")
    # It could read Retry-After: it was refused once.
    assert len(arrived) == len(PROTOCOLS) + 1


def test_a_page_of_another_origin_is_not(serve: Serve, tmp_path: Path) -> None:
    client = CLIENT.read_bytes()
    impatient = client.replace(b"GIVE_UP_SECONDS = 120", b"GIVE_UP_SECONDS = 0")
    assert impatient != client
    service = serve(cors_origins="https://shop.example")
    files: dict[str, tuple[str, bytes]] = {}
    with pages(files) as (address, posted), listening(service.app) as port:
        url = f"http://127.0.0.1:{port}"
        files |= files_of(URL=url, MODEL=MODEL_NAME, KEY="", NAMES=["v2"])
        files["/classify.mjs"] = ("text/javascript", impatient)
        found = found_by_page(address, posted, tmp_path / "profile")
    assert found == {"error": "TypeError: Failed to fetch"}
