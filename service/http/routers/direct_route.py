"""A route that FastAPI describes, and whose parameters it solves where a request gives any."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class DirectRoute(APIRoute):
    """A request without any of the parameters goes to the endpoint directly.

    To find out that nine parameters are not there takes FastAPI a third of the Python calls that
    such a request costs. The endpoint takes the request and, each with a default, parameters of the
    query and of the header. What else it depends on may only describe it, as schemes of API keys.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI's documentation has it for classes of routes."""
        solve = super().get_route_handler()
        names = frozenset(field.alias.lower().encode() for field in self.dependant.header_params)

        async def handle(request: Request) -> Response:
            scope = request.scope
            if scope["query_string"] or not names.isdisjoint(dict(scope["headers"])):
                return await solve(request)
            response: Response = await self.endpoint(request)
            return response

        return handle
