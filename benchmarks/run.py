"""One run: several rounds of all measurements in turn, so that ratios hold on a noisy machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from benchmarks.accuracy import evaluate
from benchmarks.engine import LARGEST_BATCH_SIZE, EngineProcess, Speed
from benchmarks.images import as_form, as_json, write_requests
from benchmarks.load import Client, Target, load, wait_until_idle
from benchmarks.results import LITSERVE, EngineSample, LoadSample, Results, StartSample
from benchmarks.server import Server, ServerFailed, litserve_server, our_server
from model_builder.artifact.manifest import Precision
from service.settings import Settings

# float16 is for GPUs.
PRECISIONS: tuple[Precision, ...] = tuple(p for p in get_args(Precision) if p != "float16")
BATCH_SIZES = (1, 2, 4, 8, 16, LARGEST_BATCH_SIZE)
CONNECTIONS = (1, 4, 16, 64)
# The engine is measured once more just before and after these loads, which are compared with it.
BESIDE = {1: 1, 16: 8}
# Responses that each connection of a load should get: at first all send at the same time.
ANSWERS_PER_CONNECTION = 3


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
    seconds=720,
    sweep_seconds=20,
    visit_seconds=0.3,
    load_seconds=5,
    load_answers=150,
    longest_load_seconds=20,
    warm_up_seconds=1,
)
QUICK = Plan(
    rounds=1,
    seconds=120,
    sweep_seconds=1,
    visit_seconds=0.2,
    load_seconds=2,
    load_answers=30,
    longest_load_seconds=6,
    warm_up_seconds=1,
)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One run. litserve_python: of the environment that has LitServe; None without it.

    labeled: a folder of images whose classes are known. folder: for requests and logs.
    """

    plan: Plan
    settings: Settings
    precisions: tuple[Precision, ...]
    jpegs: Sequence[bytes]
    labeled: Path | None
    litserve_python: Path | None
    client: Client
    folder: Path

    def steps(self) -> int:
        servers = len(self.precisions) + (self.litserve_python is not None)
        a_round = 1 + servers * len(CONNECTIONS)
        return len(self.precisions) + self.plan.rounds * a_round + (self.labeled is not None)

    def into(self, results: Results, begin: Callable[[str], None]) -> None:
        """Adds every sample to the results, and calls `begin` at each step."""
        write_requests(self.folder / "service", [as_form(jpeg) for jpeg in self.jpegs])
        write_requests(self.folder / LITSERVE, [as_json(jpeg) for jpeg in self.jpegs])
        started = time.monotonic()
        with ExitStack() as stack:
            engines: dict[Precision, EngineProcess] = {}
            for precision in self.precisions:
                begin(f"loading the {precision} engine; the first time it is built")
                engine = stack.enter_context(EngineProcess(self.settings, precision, self.jpegs))
                engine.load(BATCH_SIZES)
                engines[precision] = engine
            for number in range(self.plan.rounds):
                round_started = time.monotonic()
                self._round(number, engines, results, begin)
                results.rounds = number + 1
                now = time.monotonic()
                if now - started + (now - round_started) > self.plan.seconds:
                    break
        if self.labeled is not None:
            begin(f"accuracy on {self.labeled.name}")
            try:
                results.accuracies += evaluate(
                    self.settings.model.default, self.labeled, self.precisions
                )
            except ValueError as error:
                results.skipped["accuracy"] = str(error)
        results.seconds = time.monotonic() - started

    def _round(
        self,
        number: int,
        engines: dict[Precision, EngineProcess],
        results: Results,
        begin: Callable[[str], None],
    ) -> None:
        begin(f"round {number + 1}: the engines alone")
        results.engine.extend(self._sweeps(number, list(engines.values()), results))
        for precision in self.precisions:
            log = self.folder / f"{precision}-{number}.log"
            with our_server(self.settings.model.default, precision, log) as server:
                target = Target(server.port, self.folder / "service")
                with self._recording_start(number, precision, server, results):
                    self._loads(number, precision, target, engines[precision], results, begin)
        if self.litserve_python is None:
            return
        log = self.folder / f"{LITSERVE}-{number}.log"
        try:
            with litserve_server(self.litserve_python, log) as server:
                target = Target(server.port, self.folder / LITSERVE)
                with self._recording_start(number, LITSERVE, server, results):
                    self._loads(number, LITSERVE, target, None, results, begin)
        except ServerFailed as error:
            results.skipped[LITSERVE] = str(error)

    def _sweeps(
        self, number: int, engines: Sequence[EngineProcess], results: Results
    ) -> Iterator[EngineSample]:
        """Every engine and batch size in turn, repeated until the time is over."""
        sweep = 1 + max((sample.sweep or 0 for sample in results.engine), default=0)
        started = time.monotonic()
        while True:
            for size in BATCH_SIZES:
                for engine in engines:
                    speed = engine.speed(size, self.plan.visit_seconds)
                    yield _sample(speed, number, sweep, None, engine.precision, size)
            if time.monotonic() - started > self.plan.sweep_seconds:
                return
            sweep += 1

    @contextmanager
    def _recording_start(
        self, number: int, name: str, server: Server, results: Results
    ) -> Iterator[None]:
        ready_bytes = server.resident_bytes()
        yield
        loaded_bytes = server.resident_bytes()
        results.starts.append(
            StartSample(
                number,
                name,
                server.start_seconds,
                server.start_cpu_seconds,
                ready_bytes,
                loaded_bytes,
            )
        )

    def _loads(
        self,
        number: int,
        name: str,
        target: Target,
        engine: EngineProcess | None,
        results: Results,
        begin: Callable[[str], None],
    ) -> None:
        seconds = self.plan.load_seconds
        for connections in CONNECTIONS:
            begin(f"round {number + 1}: {name} at {connections} connections")
            load(self.client, target, connections, self.plan.warm_up_seconds)
            wait_until_idle(target)
            self._beside(number, connections, engine, results)
            measured = load(self.client, target, connections, seconds)
            results.loads.append(LoadSample(number, name, connections, measured))
            wait_until_idle(target)
            self._beside(number, connections, engine, results)
            # The next has four times the connections, and a slow server needs its time.
            answers = max(self.plan.load_answers, ANSWERS_PER_CONNECTION * 4 * connections)
            expected = answers / max(measured.requests_per_second, 0.1)
            seconds = min(max(self.plan.load_seconds, expected), self.plan.longest_load_seconds)

    def _beside(
        self, number: int, connections: int, engine: EngineProcess | None, results: Results
    ) -> None:
        size = BESIDE.get(connections)
        if engine is None or size is None:
            return
        speed = engine.speed(size, 3 * self.plan.visit_seconds)
        results.engine.append(_sample(speed, number, None, connections, engine.precision, size))


def _sample(
    speed: Speed, number: int, sweep: int | None, beside: int | None, precision: str, size: int
) -> EngineSample:
    return EngineSample(
        number, sweep, beside, precision, size, speed.images_per_second, speed.cpu_ms
    )
