"""The running estimate of a batch's seconds."""

from __future__ import annotations

import pytest

from service.pace import Pace


def test_it_knows_nothing_at_first() -> None:
    assert Pace((1, 8)).seconds(100) == 0


def test_what_waits_takes_full_batches_and_a_rest() -> None:
    pace = Pace((1, 2, 4, 8))
    pace.observe(8, 0.4)
    pace.observe(4, 0.3)
    assert pace.seconds(16) == pytest.approx(0.8)
    assert pace.seconds(19) == pytest.approx(0.8 + 0.3)
    # A size that never ran: as much a picture as the nearest that did.
    assert pace.seconds(1) == pytest.approx(0.3 / 4)


def test_it_follows_a_device_that_changes_its_speed() -> None:
    pace = Pace((1,))
    pace.observe(1, 0.1)
    pace.observe(1, 0.2)
    assert pace.batch_seconds(1) == pytest.approx(0.12)
    for _ in range(30):
        pace.observe(1, 0.2)
    assert pace.batch_seconds(1) == pytest.approx(0.2, rel=0.01)
