"""GET /: a page to try the service with, and the two files that it is made of.

Browsers ask for HTML by name. Others get the liveness of KServe's v1 protocol there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html import escape
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from service.http.paths import PAGE, PAGE_SCRIPT, PAGE_STYLE

HTML = "text/html"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


FILES = {
    PAGE: ("index.html", HTML),
    PAGE_STYLE: ("page.css", "text/css"),
    PAGE_SCRIPT: ("page.js", "text/javascript"),
}
ALIVE = {"status": "alive"}
# In the page, whose addresses are relative to it.
BASE = b'<base href="%s/">'


def make_router() -> APIRouter:
    """Reads the files once."""
    router = APIRouter(include_in_schema=False)
    folder = files("service.http").joinpath("static")
    read = {path: folder.joinpath(name).read_bytes() for path, (name, _) in FILES.items()}

    @router.get(PAGE)
    async def page(request: Request) -> Response:
        headers = {**HEADERS, "Vary": "Accept"}
        if HTML not in request.headers.get("Accept", ""):
            return JSONResponse(ALIVE, headers=headers)
        root: str = escape(request.scope.get("root_path", ""))
        content = read[PAGE].replace(BASE % b"", BASE % root.encode(), 1)
        return Response(content, media_type=HTML, headers=headers)

    for path in (PAGE_STYLE, PAGE_SCRIPT):
        router.get(path)(_serve(read[path], FILES[path][1]))
    return router


def _serve(content: bytes, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def serve() -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)

    return serve
