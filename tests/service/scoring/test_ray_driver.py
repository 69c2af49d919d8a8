"""What the driver for Ray does where there is no cluster, and to the process's signals."""

from __future__ import annotations

import signal
import sys
from threading import Event
from typing import Any

import pytest

from service.scoring.errors import ScoringStopped
from service.scoring.scorer import Scorer
from service.settings import Settings

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")


def test_a_job_keeps_its_handler_of_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    from service.scoring.ray_data import RayDriver

    def init(**_: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2}}])
    before = signal.getsignal(signal.SIGTERM)
    RayDriver(Scorer(Settings()), 1, Event())
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("error", [Exception("timed out during startup"), OSError("no port")])
def test_a_cluster_that_does_not_start_is_said(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    from service.scoring.ray_data import RayDriver

    def init(**_: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ScoringStopped, match=f"Ray can't be used: {error}"):
        RayDriver(Scorer(Settings()), 1, Event())
