"""Which clients' bodies the service begins to read."""

from __future__ import annotations

import pytest

from service.http.request.body import Bodies, Body


def opened_bodies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From now on; grows by a client's name with each body."""
    opened: list[str] = []
    open_body = Bodies.open

    def open_counted(bodies: Bodies, client: str) -> Body:
        opened.append(client)
        return open_body(bodies, client)

    monkeypatch.setattr(Bodies, "open", open_counted)
    return opened
