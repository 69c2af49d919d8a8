"""GET /: a page to try the service with, and the two files that it is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html import escape
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from service.http.paths import PAGE, PAGE_SCRIPT, PAGE_STYLE

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


FILES = {
    PAGE: ("index.html", "text/html"),
    PAGE_STYLE: ("page.css", "text/css"),
    PAGE_SCRIPT: ("page.js", "text/javascript"),
}
# In the page, whose addresses are relative to it.
BASE = b'<base href="%s/">'


def make_router() -> APIRouter:
    """Reads the files once."""
    router = APIRouter(include_in_schema=False)
    folder = files("service.http").joinpath("static")
    for path, (name, media_type) in FILES.items():
        router.get(path, name=name)(_serve(folder.joinpath(name).read_bytes(), media_type))
    return router


def _serve(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        root: str = escape(request.scope.get("root_path", ""))
        served = content.replace(BASE % b"", BASE % root.encode(), 1) if root else content
        return Response(served, media_type=media_type, headers=HEADERS)

    return serve
