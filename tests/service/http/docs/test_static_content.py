"""The scripts and styles of /docs, from memory and in pieces."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from pathlib import Path

import pytest
from starlette.types import Message

from service.fairness.answer_budget import PIECE_BYTES
from service.http.docs.static_content import StaticContent
from service.http.paths import DOCS_STATIC
from tests.service.conftest import Service

FOLDER = Path(str(files("fastapi_offline") / "static"))
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_file())
TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}


@pytest.mark.parametrize("name", NAMES)
def test_each_file(service: Service, name: str) -> None:
    response = service.client.get(f"{DOCS_STATIC}/{name}")
    content = (FOLDER / name).read_bytes()
    assert (response.status_code, response.content) == (200, content)
    assert response.headers["Content-Type"].partition(";")[0] == TYPES[Path(name).suffix]
    assert response.headers["Content-Length"] == str(len(content))


def test_what_a_client_has_is_not_sent_again(service: Service) -> None:
    path = f"{DOCS_STATIC}/{NAMES[0]}"
    tag = service.client.get(path).headers["ETag"]
    response = service.client.get(path, headers={"If-None-Match": f'"other", {tag}'})
    assert (response.status_code, response.content) == (304, b"")
    assert service.client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing.js", 404),
        ("GET", "/", 404),
        ("GET", "/../core.py", 404),
        ("POST", f"/{NAMES[0]}", 405),
        ("HEAD", f"/{NAMES[0]}", 200),
    ],
)
def test_other_requests(service: Service, method: str, path: str, status: int) -> None:
    assert service.client.request(method, DOCS_STATIC + path).status_code == status


def test_a_client_that_reads_nothing_is_sent_one_piece(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_bytes(bytes(10 * PIECE_BYTES + 1))
    sent: list[Message] = []

    async def main() -> None:
        goes_on = asyncio.Event()

        async def send(message: Message) -> None:
            sent.append(message)
            if len(sent) == 2:
                await goes_on.wait()

        async def receive() -> Message:
            raise AssertionError

        scope = {"type": "http", "method": "GET", "path": "/a.js", "headers": [], "root_path": ""}
        answering = asyncio.ensure_future(StaticContent(tmp_path)(scope, receive, send))
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(sent) == 2
        goes_on.set()
        await answering

    asyncio.run(main())
    bodies = [message["body"] for message in sent[1:]]
    assert [len(body) for body in bodies] == [PIECE_BYTES] * 10 + [1]
    assert [message["more_body"] for message in sent[1:]] == [True] * 10 + [False]
