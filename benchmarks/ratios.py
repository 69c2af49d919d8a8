"""Ratios between figures of one run, which hold on other machines too."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from benchmarks.peer_servers import LITSERVE, LITSERVE_FLOAT32
from benchmarks.results import EngineSample, Results

# Batches are compared at the largest size that a server uses on a CPU by default.
BATCH_SIZE = 8
CONNECTIONS = 16
VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}
BFLOAT16 = {"avx512_bf16", "amx_bf16"}
MAX_MEGABYTES = {"int8": 250, "float32": 450}
# Over the best peer with the same precision, at CONNECTIONS and at one.
BEST_PEER = {"int8": (1.25, 1.2)}


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
    """Every ratio with a target, measured or not, then those without one. Peers come last."""
    http = f"HTTP at {CONNECTIONS} connections"
    alone = f"engine alone at batch {BATCH_SIZE}"
    features = set(results.machine.features)
    vnni, bfloat16 = bool(features & VNNI), bool(features & BFLOAT16)
    ours = results.served
    found = [
        Ratio(f"float32 / sgemm's rate, {alone}", _of_sgemm(results, ours.get("float32")), 0.9),
        Ratio(
            f"int8 / float32, {alone}",
            _engines(results, ours.get("int8"), ours.get("float32")),
            3.4 if vnni else 1.8,
        ),
    ]
    if bfloat16:
        pair = ours.get("bfloat16"), ours.get("float32")
        found.append(Ratio(f"bfloat16 / float32, {alone}", _engines(results, *pair), 1.8))
    for precision, server in ours.items():
        memory = MAX_MEGABYTES.get(precision)
        found += [
            Ratio(f"{precision}, {http} / {alone}", _over_http(results, server), 0.85),
            Ratio(
                f"{precision}, median at 1 connection / engine's time at batch 1",
                _latency(results, server),
                1.25,
                at_most=True,
            ),
            Ratio(f"{precision}, start to ready", _start(results, server), 1.5, True, " s"),
            Ratio(f"{precision}, memory when ready", _memory(results, server), memory, True, " MB"),
        ]
    for precision in ("int8", "bfloat16"):
        if precision in ours:
            lost = _lost(results, precision)
            found.append(Ratio(f"{precision} top-1 below float32's", lost, 0.5, True, " points"))
    for engine in results.engines:
        same = [one for one in ours.values() if one.split()[-1] == engine.split()[-1]]
        if engine not in same:
            found += [
                Ratio(f"{one} / {engine}, {alone}", _engines(results, one, engine)) for one in same
            ]
    return found + _to_peers(results, http, 6.5 if vnni else 3.5)


def _to_peers(results: Results, http: str, over_eager: float) -> list[Ratio]:
    found = []
    for precision, server in results.served.items():
        eager = over_eager if precision == "int8" else None
        name = f"{precision} / {LITSERVE.name}, {http}"
        found.append(Ratio(name, _servers(results, server, (LITSERVE.name,), CONNECTIONS), eager))
    if float32 := results.served.get("float32"):
        pair = _servers(results, float32, (LITSERVE_FLOAT32.name,), CONNECTIONS)
        found.append(Ratio(f"float32 / {LITSERVE_FLOAT32.name}, {http}", pair, 1.15))
    for precision, server in results.served.items():
        peers = [name for name, served in results.peers.items() if served == precision]
        at_16, at_1 = BEST_PEER.get(precision, (None, None))
        if peers:
            best = f"{precision} / best peer in {precision}"
            found += [
                Ratio(f"{best}, HTTP at 1 connection", _servers(results, server, peers, 1), at_1),
                Ratio(f"{best}, {http}", _servers(results, server, peers, CONNECTIONS), at_16),
            ]
    return found


def _engines(results: Results, above: str | None, below: str | None) -> Spread | None:
    """The ratio of two engines, each pair from the same sweep."""
    if above is None or below is None:
        return None
    return _by_sweep(
        results, (above, BATCH_SIZE), (below, BATCH_SIZE), lambda sample: sample.images_per_second
    )


def _of_sgemm(results: Results, engine: str | None) -> Spread | None:
    """The part of sgemm's rate that an engine reaches in the same sweep."""
    flops = 2 * results.macs
    sgemm = {sample.sweep: 1e9 * sample.gflops for sample in results.sgemm}
    return spread(
        sample.images_per_second * flops / sgemm[sample.sweep]
        for sample in results.engine
        if (sample.engine, sample.batch_size) == (engine, BATCH_SIZE) and sample.sweep in sgemm
    )


def _by_sweep(
    results: Results,
    above: tuple[str, int],
    below: tuple[str, int],
    figure: Callable[[EngineSample], float],
) -> Spread | None:
    """above, below: an engine and a batch size."""
    over, under = (
        {
            sample.sweep: figure(sample)
            for sample in results.engine
            if sample.sweep is not None and (sample.engine, sample.batch_size) == wanted
        }
        for wanted in (above, below)
    )
    return spread(over[sweep] / under[sweep] for sweep in over.keys() & under.keys())


def _over_http(results: Results, server: str) -> Spread | None:
    """A server's throughput over that of its engine alone just before and after."""
    return spread(
        sample.load.requests_per_second / rate
        for sample in results.loads
        if (sample.server, sample.connections) == (server, CONNECTIONS)
        and (rate := _beside(results, server, sample.round, CONNECTIONS))
    )


def _latency(results: Results, server: str) -> Spread | None:
    return spread(
        sample.load.p50_ms / 1e3 * rate
        for sample in results.loads
        if (sample.server, sample.connections) == (server, 1)
        and (rate := _beside(results, server, sample.round, 1))
    )


def _beside(results: Results, engine: str, number: int, connections: int) -> float | None:
    rates = [
        sample.images_per_second
        for sample in results.engine
        if (sample.engine, sample.round, sample.beside) == (engine, number, connections)
    ]
    return statistics.mean(rates) if rates else None


def _servers(
    results: Results, above: str, below: Collection[str], connections: int
) -> Spread | None:
    """A server over the fastest of others in the same round."""
    rates = {
        (sample.server, sample.round): sample.load.requests_per_second
        for sample in results.loads
        if sample.connections == connections
    }
    best = {
        number: max((rates.get((name, number), 0.0) for name in below), default=0.0)
        for number in range(results.rounds)
    }
    return spread(
        rates[above, number] / rate
        for number, rate in best.items()
        if rate and (above, number) in rates
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
