"""The servers of a round: the service with each of its engines, and the peers, in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.answers import WrongAnswers, check_same, classes, of_peer, of_service
from benchmarks.config import BenchmarkConfig
from benchmarks.engine import EngineProcess, Speed
from benchmarks.load import Target, load, wait_until_idle
from benchmarks.peer_servers import Peer, peer_server
from benchmarks.results import AnswerCheck, EngineSample, LoadSample, Results, StartSample
from benchmarks.server import Server, ServerFailed, our_server
from benchmarks.variants import Variant, served_of
from model_builder.artifact.manifest import Precision

CONNECTIONS = (1, 4, 16, 64)
# Those at which the service is compared with its peers.
PEER_CONNECTIONS = (1, 16)
# The engine is measured once more just before and after these loads, which are compared with it.
BESIDE = {1: 1, 16: 8}
# Responses that each connection of a load should get: at first all send at the same time.
ANSWERS_PER_CONNECTION = 3


class OverHttp:
    """Adds the samples of every server to the results. artifacts: what the peers serve."""

    def __init__(
        self,
        config: BenchmarkConfig,
        engines: Mapping[Variant, EngineProcess],
        artifacts: Mapping[Precision, Path],
        results: Results,
        begin: Callable[[str], None],
    ) -> None:
        self._config = config
        self._engines = engines
        self._artifacts = artifacts
        self._results = results
        self._begin = begin
        # The classes that the service names, by precision.
        self._expected: dict[Precision, list[int]] = {}

    def round(self, number: int) -> None:
        folder = self._config.folder
        for variant in served_of(self._config.variants).values():
            log = folder / f"{variant.name}-{number}.log"
            with our_server(self._config.settings.model.default, variant, log) as server:
                target = Target(server.port, folder / "service")
                with self._recording_start(number, variant.name, server):
                    if variant.precision not in self._expected:
                        self._expected[variant.precision] = classes(
                            target.port, target.requests, of_service
                        )
                    engine = self._engines[variant]
                    self._loads(number, variant.name, target, CONNECTIONS, engine)
        if self._config.peer_python is None:
            return
        for peer in self._config.peers:
            if peer.name not in self._results.skipped:
                try:
                    self._peer(number, peer, self._config.peer_python)
                except (ServerFailed, WrongAnswers, ValueError) as error:
                    self._results.skipped[peer.name] = str(error)

    def _peer(self, number: int, peer: Peer, python: Path) -> None:
        """Raises ServerFailed, WrongAnswers or ValueError."""
        artifact = None
        if peer.precision is not None and peer.precision not in self._expected:
            raise ServerFailed(f"The service was not measured in {peer.precision}.")
        if peer.precision is not None and (artifact := self._artifacts.get(peer.precision)) is None:
            raise ServerFailed(f"There is no artifact of OpenVINO in {peer.precision}.")
        folder = self._config.folder
        log = folder / f"{peer.name}-{number}.log"
        with peer_server(peer, python, artifact, log) as server:
            target = Target(server.port, folder / peer.name)
            with self._recording_start(number, peer.name, server):
                if peer.precision is not None and number == 0:
                    expected = self._expected[peer.precision]
                    given = classes(target.port, target.requests, of_peer)
                    same = check_same(peer.name, given, expected)
                    self._results.answers.append(AnswerCheck(peer.name, len(given), same))
                self._loads(number, peer.name, target, PEER_CONNECTIONS, None)

    @contextmanager
    def _recording_start(self, number: int, name: str, server: Server) -> Iterator[None]:
        ready_bytes = server.resident_bytes()
        yield
        loaded_bytes = server.resident_bytes()
        self._results.starts.append(
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
        connection_counts: Sequence[int],
        engine: EngineProcess | None,
    ) -> None:
        plan, client = self._config.plan, self._config.client
        seconds = plan.load_seconds
        for connections in connection_counts:
            self._begin(f"round {number + 1}: {name} at {connections} connections")
            load(client, target, connections, plan.warm_up_seconds)
            wait_until_idle(target)
            self._beside(number, connections, engine)
            measured = load(client, target, connections, seconds)
            self._results.loads.append(LoadSample(number, name, connections, measured))
            wait_until_idle(target)
            self._beside(number, connections, engine)
            # The next has four times the connections, and a slow server needs its time.
            answers = max(plan.load_answers, ANSWERS_PER_CONNECTION * 4 * connections)
            expected = answers / max(measured.requests_per_second, 0.1)
            seconds = min(max(plan.load_seconds, expected), plan.longest_load_seconds)

    def _beside(self, number: int, connections: int, engine: EngineProcess | None) -> None:
        size = BESIDE.get(connections)
        if engine is None or size is None:
            return
        speed = engine.speed(size, 3 * self._config.plan.visit_seconds)
        self._results.engine.append(
            sample_of(speed, number, None, connections, engine.variant.name, size)
        )


def sample_of(
    speed: Speed, number: int, sweep: int | None, beside: int | None, engine: str, size: int
) -> EngineSample:
    return EngineSample(number, sweep, beside, engine, size, speed.images_per_second, speed.cpu_ms)
