"""The path prefix under which a proxy serves this application."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.paths import DOCS, OPENAPI, PAGE, REDOC

# Their links begin with the prefix.
LINKING: Final = frozenset({PAGE, DOCS, REDOC, OPENAPI})


class RootPathMiddleware:
    """ASGI middleware, the outermost: whatever is inside sees paths without the prefix.

    A proxy may strip the prefix or leave it. The prefix of the ASGI server (`--root-path`) takes
    precedence over that of the settings.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        """root_path: "" or a path that begins with a slash and ends without one."""
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            root = scope.get("root_path", "").rstrip("/") or self._root_path
            if root:
                path: str = scope["path"]
                if path == root or path.startswith(root + "/"):
                    path = scope["path"] = path[len(root) :] or PAGE
                # A mount would compare its path with it.
                scope["root_path"] = root if path in LINKING else ""
        await self._app(scope, receive, send)
