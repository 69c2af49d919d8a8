"""What the driver for Ray does without a cluster: to the process's signals, and to its output."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from service.scoring.errors import ScoringStopped
from service.scoring.scorer import Scorer
from service.scoring.sources.item import Item
from service.scoring.summary import Summary
from service.scoring.worker import ModelDescription
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


@pytest.mark.parametrize("gpus", [0, 1])
def test_a_cluster_without_the_gpu_that_is_asked_for_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, gpus: int
) -> None:
    from service.scoring.ray_data import RayDriver

    nodes = [{"Alive": True, "Resources": {"CPU": 2, "GPU": gpus}}]
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    RayDriver(Scorer(Settings.of(device="gpu")), 1, Event())
    assert ("No node of the cluster has a GPU: waiting up to" in caplog.text) == (gpus == 0)


class LoudDriver:
    """Prints while it scores, as Ray does of a worker that it lost."""

    def __init__(self, scorer: Scorer, workers: int, stop: Event) -> None:  # noqa: ARG002
        self._scorer = scorer
        sys.stdout.write("(raylet) connected\n")

    def describe(self) -> ModelDescription:
        return self._scorer.describe()

    def score(self, items: Iterator[Item]) -> Iterator[Any]:
        for item in items:
            sys.stdout.write("(raylet) A worker died or was killed\n")
            yield self._scorer.table([self._scorer.submit(item).result()])

    def close(self) -> None:
        sys.stdout.write("(raylet) left\n")


def test_rays_messages_are_not_among_the_rows(
    monkeypatch: pytest.MonkeyPatch,
    photos: Callable[[int], Path],
    score: Callable[..., Summary],
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.setattr("service.scoring.ray_data.RayDriver", LoudDriver)
    assert score(photos(2), "-", on="ray").scored_now == 2
    out, err = capfdbinary.readouterr()
    labels = [json.loads(line)["predictions"][0]["label"] for line in out.splitlines()]
    assert labels == ["red", "green"]
    assert err.count(b"(raylet)") == 4


@pytest.mark.parametrize("connected", [False, True])
def test_only_a_connection_of_its_own_is_closed(
    monkeypatch: pytest.MonkeyPatch, connected: bool
) -> None:
    from service.scoring.ray_data import RayDriver

    closed: list[bool] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: connected)
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2}}])
    monkeypatch.setattr(ray, "shutdown", lambda: closed.append(True))
    RayDriver(Scorer(Settings()), 1, Event()).close()
    assert closed == ([] if connected else [True])
