"""The command `resnet score`: its statuses and what it prints."""

from __future__ import annotations

import io
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from service.cli.commands import score as command
from service.cli.main import main
from service.scoring import plan as planned
from service.scoring.errors import OutputMismatch, ScoringStopped
from service.scoring.plan import Plan
from service.scoring.sinks.sink import KeptRow
from service.scoring.summary import Summary

CarryOut = Callable[[Plan, object, Event], Summary]


@pytest.fixture
def score(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command with a stand-in for the job."""
    monkeypatch.setattr(command, "configure_logging", lambda *_: None)

    def run(carry_out: CarryOut, *arguments: str) -> Result:
        monkeypatch.setattr(planned, "carry_out", carry_out)
        return CliRunner().invoke(main, ["score", *arguments])

    return run


def summary(*rows: tuple[str | None, float | None, str | None]) -> CarryOut:
    made = Summary()
    for row in rows:
        made.add(KeptRow("x", *row), now=True)
    return lambda *_: made


def fails(error: Exception) -> CarryOut:
    def carry_out(*_: object) -> Summary:
        raise error

    return carry_out


def test_options_make_a_plan(score: Callable[..., Result]) -> None:
    plans: list[Plan] = []

    def carry_out(plan: Plan, settings: Any, stop: Event) -> Summary:
        assert settings.model.default == "resnet18"
        assert not stop.is_set()
        plans.append(plan)
        return Summary()

    done = score(
        *(carry_out, "in", "out", "--outputs", "predictions, logits", "--top-k=3", "--limit=9"),
        *("--sample=0.5", "--shard=2/3", "--on=ray", "--workers=4", "--input-format=list", "-0"),
        *("--column=file", "--model=resnet18"),
    )
    assert done.exit_code == 0, done.output
    assert plans == [
        Plan(
            "in",
            "out",
            ("predictions", "logits"),
            top_k=3,
            limit=9,
            sample=0.5,
            shard="2/3",
            on="ray",
            workers=4,
            input_format="list",
            column="file",
            separator=b"\0",
        )
    ]


def test_the_summary_is_a_table_or_json(score: Callable[..., Result]) -> None:
    rows = [("[/b] tulip", 0.75, None), ("rose", 0.25, None), (None, None, "invalid_image")]
    table = score(summary(*rows), "in", "out")
    assert table.exit_code == 0
    assert "[/b] tulip" in table.output
    assert "invalid_image" in table.output
    figures = json.loads(score(summary(*rows), "in", "out", "--json").output)
    assert figures["images"] == figures["scored_now"] == 3
    assert figures["errors"] == {"invalid_image": 1}
    assert figures["classes"] == {"[/b] tulip": 1, "rose": 1}
    assert figures["confidence"] == {"p10": 0.26, "median": 0.26, "p90": 0.76}


def test_statuses(score: Callable[..., Result]) -> None:
    assert score(summary((None, None, "invalid_image")), "in", "out").exit_code == 1
    refused = score(fails(OutputMismatch("it differs")), "in", "out")
    assert refused.exit_code == 2
    assert "in can't be scored. it differs" in refused.output
    assert score(fails(ScoringStopped("no more")), "in", "out").exit_code == 3
    alone = score(summary(), "in", "out", "--workers=2")
    assert alone.exit_code == 2
    assert "--workers is for --on ray" in alone.output


def test_an_input_that_is_not_there_is_refused_before_a_model_is_loaded() -> None:
    done = CliRunner().invoke(main, ["score", "/absent", "out"])
    assert done.exit_code == 2
    assert "/absent can't be scored. There is no /absent" in done.output


def test_a_signal_stops_the_job_and_is_its_status(score: Callable[..., Result]) -> None:
    def carry_out(_: Plan, __: object, stop: Event) -> Summary:
        # The handler alone: a real signal would end the tests where another library caught it.
        handler = signal.getsignal(signal.SIGTERM)
        assert callable(handler)
        handler(signal.SIGTERM, None)
        assert stop.is_set()
        return Summary()

    handler = signal.getsignal(signal.SIGTERM)
    done = score(carry_out, "in", "out")
    assert done.exit_code == 128 + signal.SIGTERM
    assert "Stopped by SIGTERM; the same command continues." in done.output
    assert signal.getsignal(signal.SIGTERM) == handler


def test_without_its_packages_it_says_what_to_install(
    score: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    done = score(summary(), "in", "out")
    assert done.exit_code == 2
    assert "pip install 'resnet-server[score]'" in done.output


def test_progress_is_logged_with_rate_and_time_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.scoring import progress as module

    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    caplog.set_level("INFO")
    total = module.Total(lambda: 50)
    for _ in range(1000):
        if total.images is not None:
            break
        time.sleep(0.01)
    figures = Summary()
    for _ in range(20):
        figures.add(KeptRow("x", "rose", 0.5, None), now=True)
    figures.add(KeptRow("x", None, None, "invalid_image"), now=False)
    with module.progress("Scoring", total) as observe:
        observe(figures)
        now[0] += 10
        observe(figures)
        observe(figures)
    assert caplog.messages == ["Scoring: 21 images of 50, 14 s left, 2.0 a second, 1 bad"]


def test_a_terminal_has_a_bar_with_rate_and_bad_images(monkeypatch: pytest.MonkeyPatch) -> None:
    from service.scoring import progress as module

    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    monkeypatch.setattr(module, "Console", lambda **_: console)
    figures = Summary()
    figures.add(KeptRow("x", None, None, "invalid_image"), now=True)
    total = module.Total(lambda: 4)
    for _ in range(1000):
        if total.images is not None:
            break
        time.sleep(0.01)
    with module.progress("Scoring [b]photos", total) as observe:
        observe(figures)
    shown = written.getvalue()
    assert "Scoring [b]photos" in shown
    assert "1/4" in shown
    assert "1 bad" in shown
    assert "/s" in shown


def test_what_can_not_be_counted_has_no_total(tmp_path: Path) -> None:
    from service.scoring.progress import Total

    def count() -> int:
        raise OSError(str(tmp_path))

    total = Total(count)
    assert total.images is None
