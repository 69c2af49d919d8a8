"""What loading leaves behind: a model that runs, its figures, and a plan for the next start."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from model_builder.artifact.manifest import Artifact
from service.batching.batch_sizes import BatchSizes
from service.engines.base import Engine
from service.inference import artifacts
from service.inference import loader as loading
from service.inference.artifacts import make_hardware
from service.inference.loader import load_model, make_decoder_pool
from service.inference.model import Model
from service.observability.metrics import Metrics
from service.settings import Settings
from tests.service.fakes import WAIT_SECONDS, FakeEngine

PLAN = BatchSizes({1: 0.02, 2: 0.03})
MEGABYTE = 10**6


class Machine:
    """An engine, and a cache that has the artifact; how it was asked, and what memory there is."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.metrics = Metrics()
        self.resident_bytes = [300 * MEGABYTE, 500 * MEGABYTE]
        self.checkpoint_files: list[Path | None] = []
        # What warming up was told: the shape, the largest batch, the plan of an earlier start.
        self.warmed: list[tuple[tuple[int, ...], int | None, BatchSizes | None]] = []

    def given_artifact(self, _: str) -> None:
        return None

    def has(self, *_: object) -> bool:
        return True

    def obtain(self, *_: object, checkpoint_file: Path | None) -> Artifact:
        self.checkpoint_files.append(checkpoint_file)
        return self.artifact

    def autotune(
        self,
        _: Sequence[Engine],
        shape: tuple[int, ...],
        max_batch_size: int | None,
        known: BatchSizes | None,
    ) -> BatchSizes:
        self.warmed.append((shape, max_batch_size, known))
        return PLAN

    def sample(self, name: str, **labels: str) -> float | None:
        labels = {"model": self.artifact.manifest.name, **labels}
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def machine(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(artifact)
    monkeypatch.setattr(artifacts, "make_artifact_cache", lambda _: machine)
    monkeypatch.setattr(loading, "load_engines", lambda *_: (FakeEngine(),))
    monkeypatch.setattr(loading, "autotune", machine.autotune)
    monkeypatch.setattr(loading, "resident_bytes", lambda: machine.resident_bytes.pop(0))
    return machine


@pytest.fixture
def load(machine: Machine) -> Iterator[Callable[..., Model]]:
    loaded: list[Model] = []

    def load(name: str = machine.artifact.manifest.name, **given: Any) -> Model:
        settings = Settings.of(
            **{"model": machine.artifact.manifest.name, "precision": "float32", **given}
        )
        loaded.append(load_model(name, settings, machine.metrics))
        loaded[-1].start()
        return loaded[-1]

    yield load
    for model in loaded:
        model.close(WAIT_SECONDS)


def test_a_loaded_model_runs_and_its_figures_are_told(
    load: Callable[..., Model], machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    started = time.monotonic()
    model = load()
    assert model.alive
    assert model.batch_sizes == PLAN
    assert 0 < model.load_seconds < time.monotonic() - started
    assert machine.sample("resnet_model_load_seconds") == model.load_seconds
    assert machine.sample("resnet_model_memory_bytes") == model.memory_bytes == 200 * MEGABYTE
    assert machine.sample("resnet_queue_depth") == 0
    assert machine.sample("resnet_queue_expected_wait_seconds") == model.wait_seconds
    assert re.search(
        r"resnet18\.colors is ready: float32 on cpu:0, batches up to 2, "
        r"after \d+\.\d s and 200 MB more",
        caplog.text,
    )


@pytest.mark.parametrize("divided", [True, False])
def test_engines_are_divided_where_they_are_not_to_serve_yet(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, divided: bool
) -> None:
    engine = FakeEngine()
    engine.divided = False
    monkeypatch.setattr(loading, "load_engines", lambda *_: (engine,))
    settings = Settings.of(home=machine.artifact.folder.parent / "none")
    loading.warm_model(
        machine.artifact, settings, make_hardware(settings), machine.metrics, divided=divided
    )
    assert engine.divided == divided


def test_a_model_that_fits_where_something_was_given_back_takes_nothing(
    load: Callable[..., Model], machine: Machine
) -> None:
    machine.resident_bytes.reverse()
    assert load().memory_bytes == 0


def test_a_plan_that_was_measured_is_known_at_the_next_start(
    load: Callable[..., Model], machine: Machine
) -> None:
    load()
    machine.resident_bytes = [0, 0]
    load()
    assert machine.warmed == [((32, 32, 3), None, None), ((32, 32, 3), None, PLAN)]


def test_a_plan_of_a_size_that_was_set_is_not_kept(
    load: Callable[..., Model], machine: Machine, tmp_path: Path
) -> None:
    load(max_batch_size=2)
    assert machine.warmed == [((32, 32, 3), 2, None)]
    assert not list(tmp_path.rglob("*.json"))


def test_a_file_of_ones_own_is_the_default_models(
    load: Callable[..., Model], machine: Machine, tmp_path: Path
) -> None:
    load(checkpoint_file=tmp_path / "own")
    machine.resident_bytes = [0, 0]
    load("another", checkpoint_file=tmp_path / "own")
    assert machine.checkpoint_files == [tmp_path / "own", None]


def test_what_is_set_for_decoding_reaches_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(loading, "DecoderPool", given.update)
    monkeypatch.setattr(loading, "cpu_limit", lambda: 5)
    metrics = Metrics()
    settings = Settings.of(
        decode_workers=3,
        max_image_pixels=1000,
        max_image_frames=4,
        decode_timeout_seconds=2.5,
    )
    make_decoder_pool(settings, metrics)
    observe_failure = cast(Callable[[str], None], given.pop("observe_failure"))
    observe_failure("ended")
    failures = metrics.registry.get_sample_value
    assert failures("resnet_decoder_failures_total", {"reason": "ended"}) == 1
    assert given == {
        "threads": 3,
        "max_pixels": 1000,
        "max_frames": 4,
        "timeout_seconds": 2.5,
        "observe": metrics.decode_seconds.observe,
    }
    make_decoder_pool(Settings(), metrics)
    assert given["threads"] == 5


def test_the_network_has_the_processors_that_were_set_or_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(artifacts, "cpu_limit", lambda: 5)
    assert make_hardware(Settings.of(cpu_threads=3)).cpu_threads == 3
    assert make_hardware(Settings()).cpu_threads == 5
