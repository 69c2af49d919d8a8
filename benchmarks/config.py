"""What a run measures, and how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Client
from benchmarks.peer_servers import PEERS, Peer
from benchmarks.variants import Variant
from model_builder.artifact.manifest import Precision
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """The durations of measurements. seconds: no round begins that would end later.

    load_answers: responses before a load ends; its end cuts off a last batch of up to 8.
    """

    rounds: int
    seconds: float
    sweep_seconds: float
    visit_seconds: float
    load_seconds: float
    load_answers: int
    longest_load_seconds: float
    warm_up_seconds: float


FULL = Plan(
    rounds=3,
    seconds=900,
    sweep_seconds=20,
    visit_seconds=0.3,
    load_seconds=5,
    load_answers=150,
    longest_load_seconds=20,
    warm_up_seconds=1,
)
QUICK = Plan(
    rounds=1,
    seconds=150,
    sweep_seconds=1,
    visit_seconds=0.2,
    load_seconds=2,
    load_answers=30,
    longest_load_seconds=6,
    warm_up_seconds=1,
)


@dataclass(frozen=True, slots=True)
class BenchmarkConfig:
    """One run. peer_python: of the environment that has the peers; None without them.

    peer_artifacts: folders of OpenVINO artifacts for the peers, in place of the service's own.
    labeled: a folder of images whose classes are known. folder: for requests and logs.
    """

    plan: Plan
    settings: Settings
    variants: Sequence[Variant]
    jpegs: Sequence[bytes]
    labeled: Path | None
    peer_python: Path | None
    peer_artifacts: Mapping[Precision, Path]
    client: Client
    folder: Path

    @property
    def peers(self) -> Sequence[Peer]:
        return PEERS if self.peer_python is not None else ()
