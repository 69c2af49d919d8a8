"""What a run measures, sample by sample, as `results.json` holds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

LITSERVE = "LitServe"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it ran. `features`: what the CPU has that low precision needs."""

    cpu_model: str
    cores: int
    memory_bytes: int
    features: tuple[str, ...]
    system: str
    load_average: float
    commit: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Images:
    """What was posted. Width, height and bytes are medians."""

    source: str
    count: int
    width: int
    height: int
    jpeg_bytes: int


@dataclass(frozen=True, slots=True)
class EngineSample:
    """The engine alone for a moment.

    sweep: counts the visits of the whole table, so that samples with the same one lie seconds
        apart; None for a visit just before or after a load of `beside` connections.
    cpu_ms: CPU time an image, of all threads. Unlike the rate it hardly changes when other
        programs want the CPU too.
    """

    round: int
    sweep: int | None
    beside: int | None
    precision: str
    batch_size: int
    images_per_second: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Load:
    """A server under one number of connections, each of which always has one request under way.

    requests: those answered with 200. client_cpu_seconds: what the load cost the client itself,
    its start included where that is wrk's.
    """

    seconds: float
    requests: int
    errors: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    client_cpu_seconds: float

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class LoadSample:
    """server: a precision, or LITSERVE."""

    round: int
    server: str
    connections: int
    load: Load

    @property
    def settled(self) -> bool:
        """Whether latencies mean something: else only the luckiest were answered in time."""
        return self.load.requests >= 2 * self.connections


@dataclass(frozen=True, slots=True)
class StartSample:
    """One start from cached artifacts: process start to ready, and resident memory.

    cpu_seconds: of the CPU's time, that its main process took until then. ready_bytes: when
    it said ready, every batch size warm. loaded_bytes: after all loads.
    """

    round: int
    server: str
    seconds: float
    cpu_seconds: float
    ready_bytes: int
    loaded_bytes: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Through the service's decoder, the engine and the head; agreement with float32."""

    precision: str
    images: int
    top1_percent: float
    top5_percent: float
    agreement_percent: float


@dataclass(slots=True)
class Results:
    """A whole run. `skipped`: what was not measured, each with why."""

    date: str
    model: str
    quick: bool
    rounds: int
    seconds: float
    client: str
    machine: Machine
    images: Images
    precisions: list[str]
    engine: list[EngineSample] = field(default_factory=list)
    loads: list[LoadSample] = field(default_factory=list)
    starts: list[StartSample] = field(default_factory=list)
    accuracies: list[Accuracy] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def servers(self) -> list[str]:
        """Those that were loaded, in the order of their first load."""
        return list(dict.fromkeys(sample.server for sample in self.loads))


_ADAPTER = TypeAdapter(Results)


def write_results(path: Path, results: Results) -> None:
    path.write_bytes(_ADAPTER.dump_json(results, indent=1))


def read_results(path: Path) -> Results:
    return _ADAPTER.validate_json(path.read_bytes())
