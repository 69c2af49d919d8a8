"""The benchmarks' figures from samples, and the counts of their client."""

from __future__ import annotations

import http.server
import io
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.__main__ import LAST_RUN, PAGE
from benchmarks.images import OURS, as_form, of_folder, random_crops, write_requests
from benchmarks.load import Client, Target, load, wait_until_idle
from benchmarks.plot import draw
from benchmarks.ratios import Ratio, ratios
from benchmarks.results import (
    LITSERVE,
    Accuracy,
    EngineSample,
    Images,
    Load,
    LoadSample,
    Machine,
    Results,
    StartSample,
    read_results,
    write_results,
)
from benchmarks.run import PRECISIONS
from benchmarks.tables import markdown

REFUSED_EVERY = 5


def a_load(requests_per_second: float, p50_ms: float) -> Load:
    return Load(
        seconds=10,
        requests=round(10 * requests_per_second),
        errors=0,
        p50_ms=p50_ms,
        p95_ms=2 * p50_ms,
        p99_ms=3 * p50_ms,
        client_cpu_seconds=0.1,
    )


@pytest.fixture
def results() -> Results:
    """A machine that is twice as fast in its second round as in its first."""
    found = Results(
        date="2026-01-02",
        model="resnet50",
        quick=False,
        rounds=2,
        seconds=600,
        client="wrk",
        machine=Machine("a CPU", 2, 2**34, ("avx2",), "Linux", 0.1, "abc", {"x": "1"}),
        images=Images("made", 64, 500, 375, 50_000),
        precisions=["float32", "int8"],
    )
    for number, factor in enumerate((1.0, 2.0)):
        for precision, rate in (("float32", 25.0), ("int8", 100.0)):
            for size in (1, 8):
                sample = EngineSample(
                    number, number, None, precision, size, factor * rate, 40 / rate
                )
                found.engine.append(sample)
                for beside in (1, 16):
                    found.engine.append(replace(sample, sweep=None, beside=beside))
            found.loads.append(
                LoadSample(number, precision, 1, a_load(factor * rate / 2, 20 / factor))
            )
            found.loads.append(LoadSample(number, precision, 16, a_load(0.9 * factor * rate, 99)))
            found.starts.append(StartSample(number, precision, 1.4, 1.0, 2 * 10**8, 3 * 10**8))
        found.loads.append(LoadSample(number, LITSERVE, 16, a_load(factor * 10, 99)))
        found.starts.append(StartSample(number, LITSERVE, 5.0, 2.0, 10**9, 10**9))
    found.accuracies = [
        Accuracy("float32", 200, 92.5, 98.5, 100.0),
        Accuracy("int8", 200, 91.0, 98.5, 98.0),
    ]
    return found


def named(found: list[Ratio], beginning: str) -> Ratio:
    return next(ratio for ratio in found if ratio.name.startswith(beginning))


@pytest.mark.parametrize(
    ("beginning", "value", "met"),
    [
        ("int8 / float32, engine", 4.0, True),
        ("int8 at batch 1", 1.0, True),
        ("int8, HTTP at 16", 0.9, True),
        ("int8 / LitServe", 9.0, True),
        ("int8, median at 1", 2.0, False),
        ("int8 top-1", 1.5, False),
        ("int8, start to ready", 1.4, True),
        ("int8, memory", 200.0, True),
    ],
)
def test_ratios_hold_while_the_machine_changes_its_speed(
    results: Results, beginning: str, value: float, met: bool
) -> None:
    ratio = named(ratios(results), beginning)
    assert ratio.value is not None
    assert (ratio.value.low, ratio.value.high) == pytest.approx((value, value))
    assert ratio.met is met


def test_what_was_not_measured_is_not_met(results: Results) -> None:
    ratio = named(ratios(results), "bfloat16 / float32, engine")
    assert ratio.value is None
    assert ratio.met is None


def test_results_are_read_as_they_were_written_and_shown(results: Results, tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", results)
    read = read_results(tmp_path / "results.json")
    assert read == results
    page = markdown(read)
    assert "| int8, 16 | 135 (90.0 to 180) | 99 | 198 | 297 | 2700 | 0 |" in page
    assert "| bfloat16 / float32, engine alone at batch 8 | not measured | at least 1.8 |" in page
    draw(read, tmp_path / "plot.svg")
    assert "LitServe" in (tmp_path / "plot.svg").read_text(encoding="utf-8")


def test_the_page_has_one_place_for_the_last_run() -> None:
    assert len(LAST_RUN.findall(PAGE.read_text(encoding="utf-8"))) == 1


def test_every_precision_of_a_cpu_is_measured() -> None:
    assert PRECISIONS == ("float32", "bfloat16", "int8")


class Picky(http.server.BaseHTTPRequestHandler):
    """Refuses every fifth image, and a body that is not a form with a JPEG of the right size."""

    protocol_version = "HTTP/1.1"
    seen = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        start, end = body.index(b"\xff\xd8\xff"), body.rindex(b"\r\n--")
        size = Image.open(io.BytesIO(body[start:end])).size
        Picky.seen += 1
        refused = size != (500, 375) or Picky.seen % REFUSED_EVERY == 0
        answer = json.dumps({"size": size}).encode()
        self.send_response(503 if refused else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    crops = random_crops(of_folder(OURS), count=6)
    assert len(set(crops)) == 6
    write_requests(tmp_path, [as_form(crop) for crop in crops])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Picky) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Target(server.server_address[1], tmp_path)
        server.shutdown()


@pytest.mark.parametrize(
    "client",
    [
        "asyncio",
        pytest.param(
            "wrk", marks=pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not here")
        ),
    ],
)
def test_a_client_counts_answers_and_refusals_apart(client: Client, target: Target) -> None:
    Picky.seen = 0
    wait_until_idle(target)
    found = load(client, target, connections=3, seconds=1)
    assert found.requests > 0
    # Requests that were open at the end are in neither.
    assert Picky.seen - 1 - 3 <= found.requests + found.errors <= Picky.seen - 1
    assert found.errors == pytest.approx(Picky.seen / REFUSED_EVERY, abs=2)
    assert 0 < found.p50_ms <= found.p95_ms <= found.p99_ms <= 1000
