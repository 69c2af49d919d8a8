"""The event loops that a server may have."""

from __future__ import annotations

import pytest

from tests.service.conftest import Loop


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> Loop:
    """The image without TensorFlow has no uvloop."""
    name: Loop = request.param
    return name
