"""The table's rows, two of them run over a fake engine."""

from __future__ import annotations

import asyncio
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.attacks.__main__ import PHOTO, selected
from tests.attacks.attack import EIGHT, PLACES, Attack
from tests.attacks.attackers.process import attacker_processes
from tests.attacks.catalog import ATTACKS
from tests.attacks.runner import Row, Setting, run


def test_rows_are_selected_by_name_and_place() -> None:
    assert len(selected([], list(PLACES))) == sum(len(one.places) for one in ATTACKS.values())
    names = {name for name, _, _ in selected(["uploads_*", "hosts"], ["nginx"])}
    assert names == {"uploads_raw", "uploads_chunked", "uploads_form", "hosts"}
    assert selected(["no such row"], list(PLACES)) == []


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_can_be_handed_to_another_process(name: str) -> None:
    attack = ATTACKS[name]
    assert pickle.loads(pickle.dumps(attack.attacker)) is attack.attacker
    assert attack.attacker is not None or attack.disturbance is not None
    assert len(attack.sources) <= len(EIGHT)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(
        environment={"RESNET_HOME": str(tmp_path), "RESNET_HOST": "127.0.0.1"},
        photo=PHOTO.read_bytes(),
        images=tmp_path,
        promised_bytes=10**10,
        most_bytes=10**10,
        # One second for each step.
        scale=0.0,
        command=(sys.executable, "-m", "tests.attacks.server.fake_replica"),
    )


def seen_of(attack: Attack, setting: Setting) -> tuple[Row, list[str]]:
    steps: list[str] = []
    with attacker_processes(len(attack.sources), niceness=0) as executor:
        row = asyncio.run(run(attack, "alone", setting, executor, steps.append))
    return row, steps


def test_a_flood_is_answered_and_leaves_nothing_open(setting: Setting) -> None:
    row, steps = seen_of(ATTACKS["flood_404"], setting)
    assert set(row.seen.found.statuses) == {404}
    assert set(row.seen.before.statuses) == set(row.seen.during.statuses) == {200}
    assert set(row.seen.live.statuses) == set(row.seen.ready.statuses) == {200}
    assert row.seen.left is not None
    assert (row.seen.left.connections, row.seen.left.queue, row.seen.errors) == (0, 0, 0)
    assert 0 < row.seen.memory.before <= row.seen.memory.peak
    assert set(row.seen.control.statuses) == {200}
    *first, control = steps
    assert first == ["starting", "the honest client alone", "attacked for 1 s", "what is left"]
    assert control.startswith("beside a program with ")


def test_held_connections_are_counted_and_their_release_is_awaited(setting: Setting) -> None:
    """The header timeout is ten seconds; the attack takes four."""
    row, _ = seen_of(replace(ATTACKS["header_drip"], least_seconds=4.0), setting)
    assert 0 < row.seen.held <= row.seen.found.counts["opened"]
    assert "held" in {check.name for check in row.checks if not check.holds}
    assert row.seen.left is not None
    assert row.seen.left.connections == 0
