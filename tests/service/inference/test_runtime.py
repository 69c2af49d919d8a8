"""What a Runtime makes of the settings."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from service.inference import runtime
from service.inference.runtime import Runtime
from service.settings import Settings

MEGABYTE = 2**20


@pytest.mark.parametrize(
    ("memory_limit", "given", "expected"),
    [
        (2048 * MEGABYTE, {}, 256 * MEGABYTE),
        (2048 * MEGABYTE, {"max_pending_bytes": 100 * MEGABYTE}, 100 * MEGABYTE),
        # Room for two bodies of the largest size, whatever is set.
        (64 * MEGABYTE, {}, 40 * MEGABYTE),
        (64 * MEGABYTE, {"max_body_bytes": MEGABYTE}, 8 * MEGABYTE),
        (2048 * MEGABYTE, {"max_pending_bytes": 1, "max_body_bytes": MEGABYTE}, 2 * MEGABYTE),
    ],
)
def test_the_byte_budget(
    monkeypatch: pytest.MonkeyPatch, memory_limit: int, given: dict[str, Any], expected: int
) -> None:
    monkeypatch.setattr(runtime, "memory_limit", lambda: memory_limit)
    made = Runtime(Settings.of(**given), load=lambda _: pytest.fail("nothing is to be loaded"))
    assert made.service.budget.limit_bytes == expected
    registry = made.metrics.registry
    assert registry.get_sample_value("resnet_pending_bytes_limit") == expected
    assert registry.get_sample_value("resnet_pending_bytes") == 0


def test_threads_wait_a_short_time_for_the_interpreters_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_seconds: list[float] = []
    monkeypatch.setattr(sys, "setswitchinterval", set_seconds.append)
    made = Runtime(Settings.of(), names=(), load=lambda _: pytest.fail("nothing is to be loaded"))
    made.start()
    made.stop()
    assert set_seconds == [runtime.SWITCH_SECONDS]
