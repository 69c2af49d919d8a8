"""Of two engines for one precision the faster on this machine, measured once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_builder.artifact.manifest import Artifact, artifact_name
from model_builder.artifact.report import Measurement
from model_builder.errors import BuilderError
from model_builder.exporters.base import BuildTarget
from service.engines import choice as measuring
from service.engines.base import Hardware
from service.engines.choice import ROUNDS, Speed, fastest
from service.engines.registry import EngineSpec
from service.inference.speed import choice as module
from service.inference.speed.choice import choose_artifact
from service.settings import Settings
from tests.service.fakes import Array, Pixels

CPU = Hardware("cpu", 2)
AGREES = (Measurement("photos", 200, 98.0),)


def spec(name: str, **given: Any) -> EngineSpec:
    return EngineSpec(name, name, name, ("int8",), ("cpu",), "numpy", **given)


ENGINES = (spec("first"), spec("second", rivals=("int8",)), spec("third"))


class Clock:
    """One of both kinds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cpu = 0.0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.cpu


class Machine:
    """A cache with int8 artifacts, and what the engines take there for an image."""

    def __init__(self, artifact: Artifact, clock: Clock) -> None:
        self.seconds = {"first": 0.02, "second": 0.01, "third": 0.001}
        # Of an image, where that is not what it takes in all.
        self.cpu_seconds: dict[str, float] = {}
        self.present_engines = {"first", "second", "third"}
        self.loaded: list[str] = []
        self.runs: list[tuple[str, int]] = []
        self.clock = clock
        self._artifact = artifact

    def artifact(self, engine: str) -> Artifact:
        manifest = replace(self._artifact.manifest, engine=engine, precision="int8")
        name = artifact_name(manifest.name, engine, "int8")
        folder = self._artifact.folder.with_name(name)
        return replace(self._artifact, folder=folder, manifest=manifest, report=AGREES)

    def given_artifact(self, name: str) -> Artifact | None:
        return self.artifact("first") if "/" in name else None

    def has(self, _: str, target: BuildTarget) -> bool:
        return target.engine in self.present_engines

    def present(self, _: str, target: BuildTarget) -> Artifact:
        return self.artifact(target.engine)

    def load(self, artifact: Artifact, *_: object) -> tuple[Engine]:
        engine = artifact.manifest.engine
        if engine not in self.seconds:
            raise BuilderError(f"no {engine} here")
        self.loaded.append(engine)
        return (Engine(self, engine),)


class Engine:
    concurrency, alone = 1, None

    def __init__(self, machine: Machine, name: str) -> None:
        self._machine = machine
        self._name = name

    def run(self, pixels: Pixels) -> Array:
        self._machine.runs.append((self._name, len(pixels)))
        seconds = self._machine.seconds[self._name] * len(pixels)
        self._machine.clock.now += seconds
        self._machine.clock.cpu += self._machine.cpu_seconds.get(self._name, seconds) * len(pixels)
        return np.zeros((len(pixels), 1, 1, 1), np.float32)


@pytest.fixture
def machine(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> Machine:
    clock = Clock()
    machine = Machine(artifact, clock)
    monkeypatch.setattr(measuring, "time", clock)
    monkeypatch.setattr(module, "make_artifact_cache", lambda _: machine)
    monkeypatch.setattr(module, "load_divided", machine.load)
    return machine


def chosen(machine: Machine, home: Path, name: str = "resnet18", **given: Any) -> str:
    settings = Settings.of(home=home, **{"precision": "int8", **given})
    artifact = choose_artifact(name, machine.artifact("first"), settings, CPU, ENGINES)
    return artifact.manifest.engine


def test_the_faster_is_measured_once(machine: Machine, tmp_path: Path) -> None:
    assert chosen(machine, tmp_path) == "second"
    # The third is no rival, however fast it is.
    assert machine.loaded == ["first", "second"]
    assert len(machine.runs) == 2 * 2 * (1 + ROUNDS)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [
        "resnet18.colors-auto-int8.json"
    ]
    machine.seconds["second"] = 9.0
    assert chosen(machine, tmp_path) == "second"
    assert machine.loaded == ["first", "second"]


def test_it_takes_about_a_second_on_a_slow_machine(machine: Machine, tmp_path: Path) -> None:
    machine.seconds = {"first": 1.0, "second": 2.0}
    assert chosen(machine, tmp_path) == "first"
    assert len(machine.runs) == 2 * 2 * (1 + 1)


def test_another_number_of_threads_is_another_machine(machine: Machine, tmp_path: Path) -> None:
    chosen(machine, tmp_path)
    settings = Settings.of(home=tmp_path, precision="int8")
    machine.seconds["second"] = 9.0
    for threads, engine in ((2, "second"), (4, "first")):
        found = choose_artifact(
            "resnet18", machine.artifact("first"), settings, Hardware("cpu", threads), ENGINES
        )
        assert found.manifest.engine == engine


@pytest.mark.parametrize("given", [{"engine": "first"}, {"name": "/folder"}])
def test_what_was_asked_for_is_not_measured(
    machine: Machine, tmp_path: Path, given: dict[str, str]
) -> None:
    assert chosen(machine, tmp_path, **given) == "first"
    assert not machine.runs


def test_what_is_not_there_is_not_measured(machine: Machine, tmp_path: Path) -> None:
    machine.present_engines = {"first"}
    assert chosen(machine, tmp_path) == "first"
    assert not machine.runs
    machine.present_engines = {"first", "second"}
    assert chosen(machine, tmp_path) == "second"


def test_one_that_can_t_be_loaded_or_disagrees_is_not_taken(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    del machine.seconds["second"]
    assert chosen(machine, tmp_path / "a") == "first"
    assert "resnet18.colors-second-int8 is not measured: no second here" in caplog.text
    machine.seconds["second"] = 0.01
    assert chosen(machine, tmp_path / "b", min_agreement_percent=99.0) == "first"
    assert not machine.runs
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_damaged_file_is_measured_again(machine: Machine, tmp_path: Path) -> None:
    chosen(machine, tmp_path)
    (file,) = tmp_path.rglob("*.json")
    file.write_text(file.read_text()[:40])
    machine.seconds["second"] = 9.0
    assert chosen(machine, tmp_path) == "first"


def test_a_folder_that_can_t_be_written_to_is_no_obstacle(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "plans").write_text("")
    assert chosen(machine, tmp_path) == "second"


def test_one_that_takes_more_of_the_cpus_was_only_less_disturbed(
    machine: Machine, tmp_path: Path
) -> None:
    machine.cpu_seconds = {"first": 0.03, "second": 0.031}
    assert chosen(machine, tmp_path / "a") == "first"
    machine.cpu_seconds = {"first": 0.03, "second": 0.029}
    assert chosen(machine, tmp_path / "b") == "second"


def test_a_difference_within_noise_is_none() -> None:
    other = Speed(1.0, 1.0)
    assert fastest({"first": Speed(1.02, 1.02), "second": other}) == "first"
    assert fastest({"first": Speed(1.05, 1.05), "second": other}) == "second"
    assert fastest({"first": Speed(1.05, 0.9), "second": other}) == "first"
