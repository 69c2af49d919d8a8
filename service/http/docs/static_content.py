"""Files of a folder that does not change, answered from memory.

From the disk each piece of each answer would take a thread, which waits for the interpreter's lock:
hundreds of clients that ask at once would hold others.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from mimetypes import guess_type
from pathlib import Path

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from service.http.outputs.pieces import send_in_pieces
from service.http.paths import DOCS_STATIC


def serve_docs_from_memory(app: FastAPI) -> None:
    """In place of the scripts and styles of /docs on the disk."""
    for route in app.routes:
        if isinstance(route, Mount) and route.path == DOCS_STATIC:
            route.app = StaticContent(Path(str(files("fastapi_offline") / "static")))


class StaticContent:
    """An ASGI application. A file is read when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._paths = {path.name: path for path in folder.iterdir() if path.is_file()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        path = self._paths.get(scope["path"].removeprefix(scope["root_path"]).removeprefix("/"))
        if path is None:
            raise HTTPException(404)
        content, tag = _read(path)
        headers = {"ETag": tag}
        response: Response
        if tag in Headers(scope=scope).get("If-None-Match", ""):
            response = Response(status_code=304, headers=headers)
        else:
            response = _InPieces(content, media_type=guess_type(path.name)[0], headers=headers)
        await response(scope, receive, send)


class _InPieces(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send_in_pieces(self, send)


@lru_cache
def _read(path: Path) -> tuple[bytes, str]:
    """The content and its entity tag."""
    content = path.read_bytes()
    return content, f'"{sha256(content).hexdigest()[:32]}"'
