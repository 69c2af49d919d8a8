"""What the connection takes from inside uvicorn is there, and is used as it is thought to be.

The rest is public: asyncio's Protocol, httptools' callbacks, uvicorn's settings. Each behavior has
a test over a socket as well; these say what has changed in uvicorn.
"""

from __future__ import annotations

import asyncio
import inspect

import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.http.connection.protocol import BoundedHttpProtocol
from service.http.connection.received import HeldFlow

OVERRIDDEN = [
    name
    for name, value in vars(BoundedHttpProtocol).items()
    if inspect.isfunction(value) and not name.startswith("_") and name not in ("check", "turn_away")
]


async def _app(_scope: object, _receive: object, _send: object) -> None:
    raise AssertionError("not called")


def test_what_is_overridden_is_there_to_be_overridden() -> None:
    assert len(OVERRIDDEN) == 10
    for name in OVERRIDDEN:
        assert hasattr(HttpToolsProtocol, name), name


@pytest.mark.parametrize("name", ["timeout_keep_alive_handler", "on_response_complete"])
def test_uvicorn_calls_what_is_overridden(name: str) -> None:
    """asyncio and httptools call the others."""
    assert f"self.{name}" in inspect.getsource(HttpToolsProtocol)


def test_the_fields_that_are_read_are_there() -> None:
    async def fields() -> set[str]:
        config = uvicorn.Config(_app, ws="none", lifespan="off", log_config=None)
        config.load()
        return set(vars(HttpToolsProtocol(config, ServerState(), {})))

    of_uvicorn = asyncio.run(fields())
    ours = {"transport", "loop", "client", "cycle", "scope", "parser", "headers", "flow"}
    assert ours | {"server_state"} <= of_uvicorn
    assert "url" in HttpToolsProtocol.on_message_begin.__code__.co_names
    assert isinstance(ServerState().default_headers, list)


def test_the_fields_of_a_request_are_there() -> None:
    names = RequestResponseCycle.__init__.__code__.co_names
    assert {"response_started", "response_complete", "disconnected", "keep_alive"} <= set(names)
    assert "message_event" in names
    # Both are looked at when a response begins and when it is complete.
    assert "self.keep_alive" in inspect.getsource(RequestResponseCycle.send)
    assert "self.disconnected" in inspect.getsource(RequestResponseCycle.receive)


def test_uvicorn_pauses_and_resumes_by_the_flow_that_it_is_given() -> None:
    assert issubclass(HeldFlow, FlowControl)
    source = inspect.getsource(httptools_impl)
    assert source.count("self.flow = FlowControl(") == 1
    assert "_transport.resume_reading" not in source
    assert "transport.resume_reading" not in source.replace("_transport.resume_reading", "")
