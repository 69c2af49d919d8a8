"""Ratios between figures of one run, which hold on other machines too."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.results import LITSERVE, EngineSample, Results

# Batches are compared at the largest size that a server uses on a CPU by default.
BATCH_SIZE = 8
CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Spread:
    """The median, the lowest and the highest of several samples."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """One ratio. `value` is None where it was not measured.

    target: the lower limit, or the upper one where `at_most`; None without a target.
    """

    name: str
    value: Spread | None
    target: float | None = None
    at_most: bool = False
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target; None where either is missing."""
        if self.value is None or self.target is None:
            return None
        median = self.value.median
        return median <= self.target if self.at_most else median >= self.target


def spread(values: Iterable[float]) -> Spread | None:
    found = list(values)
    if not found:
        return None
    return Spread(statistics.median(found), min(found), max(found))


def ratios(results: Results) -> list[Ratio]:
    """Every ratio with a target, measured or not, then those without a target."""
    http = f"HTTP at {CONNECTIONS} connections"
    alone = f"engine alone at batch {BATCH_SIZE}"
    proof = [
        Ratio(f"bfloat16 / float32, {alone}", _engines(results, "bfloat16", "float32"), 1.8),
        Ratio(f"int8 / float32, {alone}", _engines(results, "int8", "float32"), 3.4),
        Ratio(f"int8 at batch 1 / at batch {BATCH_SIZE}", _batches(results, "int8"), 0.85),
        Ratio(f"int8, {http} / {alone}", _over_http(results, "int8"), 0.82),
        Ratio(f"int8 / {LITSERVE}, {http}", _servers(results, "int8", LITSERVE), 6.5),
        Ratio(
            "int8, median at 1 connection / engine's time at batch 1",
            _latency(results, "int8"),
            1.5,
            at_most=True,
        ),
        Ratio("int8 top-1 below float32's", _lost(results, "int8"), 1.0, True, " points"),
        Ratio("bfloat16 top-1 below float32's", _lost(results, "bfloat16"), 0.5, True, " points"),
        Ratio("int8, start to ready", _start(results, "int8"), 1.5, True, " s"),
        Ratio("int8, memory when ready", _memory(results, "int8"), 300, True, " MB"),
    ]
    others = [precision for precision in results.precisions if precision != "int8"]
    for precision in results.precisions:
        if precision != "float32":
            name = f"{precision} / float32, by the CPU's time an image takes"
            proof.append(Ratio(name, _thrift(results, precision, "float32")))
    for precision in others:
        proof += [
            Ratio(f"{precision}, start to ready", _start(results, precision), 8, True, " s"),
            Ratio(f"{precision}, {http} / {alone}", _over_http(results, precision)),
            Ratio(f"{precision} / {LITSERVE}, {http}", _servers(results, precision, LITSERVE)),
            Ratio(
                f"{precision}, median at 1 connection / engine's time at batch 1",
                _latency(results, precision),
            ),
        ]
    return proof


def _engines(results: Results, above: str, below: str) -> Spread | None:
    """The ratio of two precisions, each pair from the same sweep."""
    return _by_sweep(
        results, (above, BATCH_SIZE), (below, BATCH_SIZE), lambda sample: sample.images_per_second
    )


def _thrift(results: Results, above: str, below: str) -> Spread | None:
    """The ratio of the CPU time of two precisions."""
    return _by_sweep(
        results, (below, BATCH_SIZE), (above, BATCH_SIZE), lambda sample: sample.cpu_ms
    )


def _batches(results: Results, precision: str) -> Spread | None:
    return _by_sweep(
        results,
        (precision, 1),
        (precision, BATCH_SIZE),
        lambda sample: sample.images_per_second,
    )


def _by_sweep(
    results: Results,
    above: tuple[str, int],
    below: tuple[str, int],
    figure: Callable[[EngineSample], float],
) -> Spread | None:
    """above, below: a precision and a batch size."""
    over, under = (
        {
            sample.sweep: figure(sample)
            for sample in results.engine
            if sample.sweep is not None and (sample.precision, sample.batch_size) == wanted
        }
        for wanted in (above, below)
    )
    return spread(over[sweep] / under[sweep] for sweep in over.keys() & under.keys())


def _over_http(results: Results, precision: str) -> Spread | None:
    """A server's throughput over that of its engine alone just before and after."""
    return spread(
        sample.load.requests_per_second / rate
        for sample in results.loads
        if (sample.server, sample.connections) == (precision, CONNECTIONS)
        and (rate := _beside(results, precision, sample.round, CONNECTIONS))
    )


def _latency(results: Results, precision: str) -> Spread | None:
    return spread(
        sample.load.p50_ms / 1e3 * rate
        for sample in results.loads
        if (sample.server, sample.connections) == (precision, 1)
        and (rate := _beside(results, precision, sample.round, 1))
    )


def _beside(results: Results, precision: str, number: int, connections: int) -> float | None:
    rates = [
        sample.images_per_second
        for sample in results.engine
        if (sample.precision, sample.round, sample.beside) == (precision, number, connections)
    ]
    return statistics.mean(rates) if rates else None


def _servers(results: Results, above: str, below: str) -> Spread | None:
    """The ratio of two servers, each pair from the same round."""
    rates = {
        (sample.server, sample.round): sample.load.requests_per_second
        for sample in results.loads
        if sample.connections == CONNECTIONS
    }
    return spread(
        rates[above, number] / rates[below, number]
        for number in range(results.rounds)
        if (above, number) in rates and rates.get((below, number))
    )


def _lost(results: Results, precision: str) -> Spread | None:
    top1 = {accuracy.precision: accuracy.top1_percent for accuracy in results.accuracies}
    if not {"float32", precision} <= top1.keys():
        return None
    return spread([top1["float32"] - top1[precision]])


def _start(results: Results, server: str) -> Spread | None:
    return spread(sample.seconds for sample in results.starts if sample.server == server)


def _memory(results: Results, server: str) -> Spread | None:
    return spread(sample.ready_bytes / 1e6 for sample in results.starts if sample.server == server)
