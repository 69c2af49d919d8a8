"""The progress of a transfer, in the log and on a terminal."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from model_builder.system import progress
from model_builder.system.progress import transfer

ROOT = Path(__file__).parents[3]


def test_the_log_has_size_and_speed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "LOG_EVERY_SECONDS", 0.0)
    caplog.set_level(logging.INFO, "model_builder")
    with transfer("Fetching weights", 100_000_000, 20_000_000) as advance:
        advance(30_000_000)
    first, second = caplog.messages
    assert first == "Fetching weights (100.0 MB), 20.0 MB received earlier"
    assert re.fullmatch(r"Fetching weights: 50\.0 MB of 100\.0, \d+\.\d\d MB/s", second)


def test_lines_in_the_log_are_limited(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "model_builder")
    with transfer("Fetching weights", None) as advance:
        for _ in range(100):
            advance(1)
    assert caplog.messages == ["Fetching weights"]


def drawn(code: str) -> str:
    """What a terminal gets of it."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stderr=theirs, timeout=60
    )
    os.close(theirs)
    text = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert process.returncode == 0, text
    return text


def test_a_terminal_gets_a_bar_with_size_and_speed() -> None:
    text = drawn(
        "from model_builder.system.progress import transfer\n"
        "with transfer('Fetching weights', 100_000_000) as advance:\n"
        "    for _ in range(10): advance(10_000_000)"
    )
    assert "Fetching weights" in text
    assert "100.0/100.0 MB" in text
    assert re.search(r"[\d.]+ [kMGT]B/s", text)


@pytest.mark.parametrize("call", ["step({0})", "counted({0}, 1)", "transfer({0}, 1)"])
def test_a_name_in_it_is_data(call: str) -> None:
    """Neither Rich's markup nor a terminal's commands."""
    name = r"'[/b][red]tulip\x1b]0;owned\x07'"
    text = drawn(
        "from model_builder.system.progress import counted, step, transfer\n"
        f"with {call.format(name)}: pass"
    )
    assert r"[/b][red]tulip\x1b]0;owned\x07" in text
    assert "\x1b]0" not in text
