"""One run: several rounds of all measurements in turn, so that ratios hold on a noisy machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from benchmarks.accuracy import evaluate
from benchmarks.config import BenchmarkConfig
from benchmarks.engine import LARGEST_BATCH_SIZE, EngineProcess
from benchmarks.images import as_form, write_requests
from benchmarks.over_http import CONNECTIONS, PEER_CONNECTIONS, OverHttp, sample_of
from benchmarks.results import Results, SgemmSample
from benchmarks.sgemm import Sgemm
from benchmarks.variants import Variant, served_of

# Whose artifacts the peers serve.
PEERS_ENGINE = "openvino"
BATCH_SIZES = (1, 2, 4, 8, 16, LARGEST_BATCH_SIZE)


def count_steps(config: BenchmarkConfig) -> int:
    """How often `run` calls `begin` at most."""
    loads = len(served_of(config.variants)) * len(CONNECTIONS)
    a_round = 1 + loads + len(config.peers) * len(PEER_CONNECTIONS)
    return len(config.variants) + config.plan.rounds * a_round + (config.labeled is not None)


def run(config: BenchmarkConfig, results: Results, begin: Callable[[str], None]) -> None:
    """Adds every sample to the results, and calls `begin` at each step."""
    write_requests(config.folder / "service", [as_form(jpeg) for jpeg in config.jpegs])
    for peer in config.peers:
        write_requests(config.folder / peer.name, [peer.as_request(jpeg) for jpeg in config.jpegs])
    started = time.monotonic()
    with ExitStack() as stack:
        engines: dict[Variant, EngineProcess] = {}
        artifacts = dict(config.peer_artifacts)
        for variant in config.variants:
            begin(f"loading {variant.name}; the first time it is built")
            engine = stack.enter_context(EngineProcess(config.settings, variant, config.jpegs))
            loaded = engine.load(BATCH_SIZES)
            results.macs = loaded.macs
            if variant.engine == PEERS_ENGINE:
                artifacts.setdefault(variant.precision, loaded.folder)
            engines[variant] = engine
        sgemm = stack.enter_context(Sgemm())
        http = OverHttp(config, engines, artifacts, results, begin)
        for number in range(config.plan.rounds):
            round_started = time.monotonic()
            begin(f"round {number + 1}: the engines alone")
            _sweeps(config, number, list(engines.values()), sgemm, results)
            http.round(number)
            results.rounds = number + 1
            now = time.monotonic()
            if now - started + (now - round_started) > config.plan.seconds:
                break
    if config.labeled is not None:
        begin(f"accuracy on {config.labeled.name}")
        try:
            results.accuracies += evaluate(
                config.settings.model.default, config.labeled, list(served_of(config.variants))
            )
        except ValueError as error:
            results.skipped["accuracy"] = str(error)
    results.seconds = time.monotonic() - started


def _sweeps(
    config: BenchmarkConfig,
    number: int,
    engines: Sequence[EngineProcess],
    sgemm: Sgemm,
    results: Results,
) -> None:
    """Every engine and batch size in turn, repeated until the time is over."""
    sweep = 1 + max((sample.sweep for sample in results.sgemm), default=0)
    started = time.monotonic()
    while True:
        gflops = sgemm.gflops(config.plan.visit_seconds)
        results.sgemm.append(SgemmSample(number, sweep, gflops))
        for size in BATCH_SIZES:
            for engine in engines:
                speed = engine.speed(size, config.plan.visit_seconds)
                name = engine.variant.name
                results.engine.append(sample_of(speed, number, sweep, None, name, size))
        if time.monotonic() - started > config.plan.sweep_seconds:
            return
        sweep += 1
