"""A quick run of what `python -m tests.e2e.faults` does at length."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from tests.e2e.conftest import Server
from tests.e2e.faults.cases import (
    Case,
    Row,
    Setting,
    a_kill,
    a_rolling_restart,
    a_worker_that_raises,
    explained,
)
from tests.e2e.faults.overload import ten_times_the_load
from tests.e2e.faults.stack import ROOT, Stack
from tests.nginx import NGINX

pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)"),
]

IMAGE = ROOT / "tests" / "photos" / "chelsea_cat.jpg"
# Enough to find faults in what is done; for figures there is the whole run.
SCALE = 0.1
REQUESTS_A_SECOND = 1.0
STRICT: tuple[Case, ...] = (a_kill, a_rolling_restart, a_worker_that_raises)


def test_clients_see_no_more_than_they_may(int8_server: Server) -> None:
    """One replica is enough for all of the load, so only 200 will do."""
    assert int8_server.url

    async def do() -> list[Row]:
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            environment = {
                "RESNET_PRECISION": "int8",
                "RESNET_CPU_THREADS": "1",
                "RESNET_OFFLINE": "true",
                "RESNET_DRAIN_SECONDS": "1",
            }
            async with Stack(Path(folder), environment) as stack:
                image = IMAGE.read_bytes()
                setting = Setting(stack, image, Path(folder), SCALE, REQUESTS_A_SECOND)
                rows = [await case(setting) for case in STRICT]
                return [*rows, await ten_times_the_load(setting)]

    *strict, overload = asyncio.run(do())
    for row in strict:
        assert row.held, f"{row.fault}: {row.note}, {dict(row.report.reasons)}"
    # The whole run measures speed; this one checks the reasons of refusals.
    assert explained(overload.report), dict(overload.report.reasons)
    assert overload.report.statuses[503]
