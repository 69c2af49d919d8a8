"""The samples of a run, as in `results.json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of a run. features: the CPU's instructions for low precision."""

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
    """The posted images. Width, height and bytes are medians."""

    source: str
    count: int
    width: int
    height: int
    jpeg_bytes: int


@dataclass(frozen=True, slots=True)
class EngineSample:
    """One short measurement of the engine alone. engine: a variant's name.

    sweep: the number of the pass over the whole table; samples of one sweep are seconds
        apart; None for a visit just before or after a load of `beside` connections.
    cpu_ms: CPU time of all threads for one image. Unlike the rate it hardly changes when other
        programs want the CPU too.
    """

    round: int
    sweep: int | None
    beside: int | None
    engine: str
    batch_size: int
    images_per_second: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Load:
    """A server under load by a number of connections, each of which always has one open request.

    requests: those answered with 200. client_cpu_seconds: CPU time of the client,
    including its start in the case of wrk.
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
    """server: a variant's name, of the service with that engine, or a peer's."""

    round: int
    server: str
    connections: int
    load: Load

    @property
    def settled(self) -> bool:
        """Whether latencies are meaningful: otherwise only the fastest responses were counted."""
        return self.load.requests >= 2 * self.connections


@dataclass(frozen=True, slots=True)
class StartSample:
    """One start from cached artifacts: process start to ready, and resident memory.

    cpu_seconds: CPU time of the main process until then. ready_bytes: when
    it was ready, with every batch size warm. loaded_bytes: after all loads.
    """

    round: int
    server: str
    seconds: float
    cpu_seconds: float
    ready_bytes: int
    loaded_bytes: int


@dataclass(frozen=True, slots=True)
class SgemmSample:
    """gflops: 10^9 operations a second of a product of matrices. sweep: see EngineSample."""

    round: int
    sweep: int
    gflops: float


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    """Of so many images a peer names the class that the service names for `same`."""

    server: str
    images: int
    same: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Accuracy and agreement with float32, through the service's decoder, engine and head."""

    precision: str
    images: int
    top1_percent: float
    top5_percent: float
    agreement_percent: float


@dataclass(slots=True)
class Results:
    """A whole run. skipped: what was not measured, with the reason.

    engines: names of the variants. served: of those, the one over HTTP for each precision. peers:
    the precision of each peer, None for one with random weights. macs: of one forward pass.
    """

    date: str
    model: str
    quick: bool
    rounds: int
    seconds: float
    client: str
    machine: Machine
    images: Images
    engines: list[str]
    served: dict[str, str]
    peers: dict[str, str | None] = field(default_factory=dict)
    macs: int = 0
    engine: list[EngineSample] = field(default_factory=list)
    loads: list[LoadSample] = field(default_factory=list)
    starts: list[StartSample] = field(default_factory=list)
    sgemm: list[SgemmSample] = field(default_factory=list)
    answers: list[AnswerCheck] = field(default_factory=list)
    accuracies: list[Accuracy] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def servers(self) -> list[str]:
        """The servers under load, in the order of their first load."""
        return list(dict.fromkeys(sample.server for sample in self.loads))


_ADAPTER = TypeAdapter(Results)


def write_results(path: Path, results: Results) -> None:
    path.write_bytes(_ADAPTER.dump_json(results, indent=1))


def read_results(path: Path) -> Results:
    return _ADAPTER.validate_json(path.read_bytes())
