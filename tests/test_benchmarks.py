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
from benchmarks.answers import WrongAnswers, check_same
from benchmarks.images import OURS, as_form, of_folder, random_crops, write_requests
from benchmarks.load import Client, Target, load, wait_until_idle
from benchmarks.peer_servers import LITSERVE, LITSERVE_FLOAT32, PEERS, SCRIPTS
from benchmarks.plot import draw
from benchmarks.ratios import Ratio, ratios
from benchmarks.results import (
    Accuracy,
    AnswerCheck,
    EngineSample,
    Images,
    Load,
    LoadSample,
    Machine,
    Results,
    SgemmSample,
    StartSample,
    read_results,
    write_results,
)
from benchmarks.tables import markdown
from benchmarks.variants import Variant, find_variants, served_of

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
        engines=["openvino float32", "openvino int8", "litert int8"],
        served={"float32": "openvino float32", "int8": "openvino int8"},
        peers={peer.name: peer.precision for peer in PEERS},
        macs=10**9,
    )
    for number, factor in enumerate((1.0, 2.0)):
        found.sgemm.append(SgemmSample(number, number, factor * 62.5))
        for name, rate in (("openvino float32", 25.0), ("openvino int8", 100.0)):
            for size in (1, 8):
                sample = EngineSample(number, number, None, name, size, factor * rate, 40 / rate)
                found.engine.append(sample)
                for beside in (1, 16):
                    found.engine.append(replace(sample, sweep=None, beside=beside))
            found.loads.append(LoadSample(number, name, 1, a_load(factor * rate / 2, 20 / factor)))
            found.loads.append(LoadSample(number, name, 16, a_load(0.9 * factor * rate, 99)))
            found.starts.append(StartSample(number, name, 1.4, 1.0, 2 * 10**8, 3 * 10**8))
        found.engine.append(EngineSample(number, number, None, "litert int8", 8, factor * 50, 1.0))
        for peer, rate in zip(PEERS, (10, 18, 60, 15, 45), strict=True):
            for connections in (1, 16):
                # Another is the fastest in each round.
                faster = 1.5 if peer.name.startswith("Mosec") and number else 1.0
                found.loads.append(
                    LoadSample(number, peer.name, connections, a_load(factor * faster * rate, 99))
                )
            found.starts.append(StartSample(number, peer.name, 5.0, 2.0, 10**9, 10**9))
    found.answers = [AnswerCheck(LITSERVE_FLOAT32.name, 32, 32)]
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
        ("float32 / sgemm", 0.8, False),
        ("int8 / float32, engine", 4.0, True),
        ("openvino int8 / litert int8, engine", 2.0, None),
        ("int8, HTTP at 16", 0.9, True),
        ("int8 / LitServe, PyTorch", 9.0, True),
        ("float32 / LitServe, OpenVINO float32", 1.25, True),
        ("int8, median at 1", 2.0, False),
        ("int8 top-1", 1.5, False),
        ("int8, start to ready", 1.4, True),
        ("int8, memory", 200.0, True),
    ],
)
def test_ratios_hold_while_the_machine_changes_its_speed(
    results: Results, beginning: str, value: float, met: bool | None
) -> None:
    ratio = named(ratios(results), beginning)
    assert ratio.value is not None
    assert (ratio.value.low, ratio.value.high) == pytest.approx((value, value))
    assert ratio.met is met


def test_the_best_peer_is_the_fastest_of_its_precision_in_the_same_round(
    results: Results,
) -> None:
    ratio = named(ratios(results), "int8 / best peer in int8, HTTP at 16")
    assert ratio.value is not None
    # 90 to 60, and 180 to 135 where Mosec is the faster.
    assert (ratio.value.low, ratio.value.high) == pytest.approx((180 / 135, 90 / 60))
    assert ratio.met
    assert ratios(results)[-1].name.startswith("int8 / best peer")


def test_what_a_cpu_lacks_has_no_ratio_and_other_targets(results: Results) -> None:
    assert not [one for one in ratios(results) if one.name.startswith("bfloat16")]
    assert named(ratios(results), "int8 / float32, engine").target == 1.8
    results.machine = replace(results.machine, features=("avx512_vnni", "avx512_bf16"))
    assert named(ratios(results), "int8 / float32, engine").target == 3.4
    assert named(ratios(results), "bfloat16 / float32, engine").target == 1.8


def test_what_was_not_measured_is_not_met(results: Results) -> None:
    results.loads = [sample for sample in results.loads if sample.server != LITSERVE.name]
    ratio = named(ratios(results), "int8 / LitServe, PyTorch")
    assert ratio.value is None
    assert ratio.met is None


def test_results_are_read_as_they_were_written_and_shown(results: Results, tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", results)
    read = read_results(tmp_path / "results.json")
    assert read == results
    page = markdown(read)
    assert "| openvino int8, 16 | 135 (90.0 to 180) | 99 | 198 | 297 | 2700 | 0 |" in page
    assert "| sgemm | 93.8 (62.5 to 125) | 46.9 (31.2 to 62.5) |" in page
    assert "LitServe, OpenVINO float32 32 of 32" in page
    draw(read, tmp_path / "plot.svg")
    assert "LitServe" in (tmp_path / "plot.svg").read_text(encoding="utf-8")


def test_the_page_has_one_place_for_the_last_run() -> None:
    assert len(LAST_RUN.findall(PAGE.read_text(encoding="utf-8"))) == 1


def test_every_engine_for_a_cpu_is_measured_and_one_a_precision_is_served() -> None:
    variants = find_variants(["float32", "bfloat16", "int8", "float16"])
    assert Variant("tensorflow", "float32") in variants
    assert Variant("openvino", "float32") in variants
    assert Variant("litert", "int8") in variants
    assert not [one for one in variants if one.precision == "float16"]
    served = served_of(variants)
    assert set(served) == {"float32", "bfloat16", "int8"}
    assert served["float32"] == Variant("openvino", "float32")


def test_every_peer_has_its_script_and_its_packages() -> None:
    required = (SCRIPTS.parents[1] / "requirements" / "bench.txt").read_text(encoding="utf-8")
    for peer in PEERS:
        assert (SCRIPTS / peer.script).is_file()
        assert f"\n{peer.name.split(',')[0].lower()}==" in required


def test_a_peer_that_names_other_classes_is_refused() -> None:
    expected = list(range(20))
    assert check_same("a peer", [*expected[:19], 0], expected) == 19
    with pytest.raises(WrongAnswers, match="18 of 20"):
        check_same("a peer", [*expected[:18], 0, 0], expected)


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
