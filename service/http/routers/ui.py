"""GET /: a page to try the service with, and below /page/ the files that it is made of.

Browsers ask for HTML by name. Others get the liveness of KServe's v1 protocol there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.http.paths import PAGE, PAGE_FILES

HTML = "text/html"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Of another version of the service none of them is used: they belong together.
    "Cache-Control": "no-cache",
}
MEDIA_TYPES = {".html": HTML, ".css": "text/css", ".js": "text/javascript", ".jpg": "image/jpeg"}
INDEX = "index.html"
ALIVE = {"status": "alive"}
# In the page, whose addresses are relative to it.
BASE = b'<base href="%s/">'


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    etag: str


def make_router() -> APIRouter:
    """Reads the files once."""
    router = APIRouter(include_in_schema=False)
    read = _read()

    @router.get(PAGE)
    async def page(request: Request) -> Response:
        headers = {**HEADERS, "Vary": "Accept"}
        if HTML not in request.headers.get("Accept", ""):
            return JSONResponse(ALIVE, headers=headers)
        root: str = escape(request.scope.get("root_path", ""))
        content = read[INDEX].content.replace(BASE % b"", BASE % root.encode(), 1)
        return Response(content, media_type=HTML, headers=headers)

    @router.get(PAGE_FILES + "/{name}")
    async def file(name: str, request: Request) -> Response:
        found = read.get(name)
        if found is None or name == INDEX:
            raise HTTPException(404)
        headers = {**HEADERS, "ETag": found.etag}
        if request.headers.get("If-None-Match") == found.etag:
            return Response(status_code=304, headers=headers)
        return Response(found.content, media_type=found.media_type, headers=headers)

    return router


def _read() -> dict[str, _File]:
    """The files by their names."""
    read = {}
    for path in files("service.http").joinpath("static").iterdir():
        media_type = MEDIA_TYPES.get(path.name[path.name.rfind(".") :])
        if media_type is not None:
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            read[path.name] = _File(content, media_type, etag)
    return read
