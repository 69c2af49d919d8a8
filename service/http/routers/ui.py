"""GET /: a page to try the service with, and the two files that it is made of."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

from service.http.paths import PAGE, PAGE_SCRIPT, PAGE_STYLE

router = APIRouter(include_in_schema=False)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


@router.get(PAGE)
async def index() -> Response:
    return _file("index.html", "text/html")


@router.get(PAGE_STYLE)
async def style() -> Response:
    return _file("page.css", "text/css")


@router.get(PAGE_SCRIPT)
async def script() -> Response:
    return _file("page.js", "text/javascript")


def _file(name: str, media_type: str) -> Response:
    content = files("service.http").joinpath("static").joinpath(name).read_bytes()
    return Response(content, media_type=media_type, headers=HEADERS)
