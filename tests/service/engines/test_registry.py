"""The table of engines, and a second int8 engine: a row, an engine file and an exporter file."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model_builder.artifact.labels import Label
from model_builder.artifact.store_format import read_artifact
from model_builder.build.cache import ArtifactCache
from model_builder.build.subprocess import BuildRequest
from model_builder.checkpoints.custom import CustomCheckpoint
from model_builder.errors import BuilderError, InvalidArtifact
from service.engines import registry
from service.engines.base import Hardware
from service.engines.registry import (
    ENGINES,
    choose_precision,
    engine_called,
    engine_for,
    find_device,
    load_engines,
)
from service.inference.artifacts import check_agreement, obtain_artifact
from service.inference.loader import warm_model
from service.inference.request import InferenceRequest
from service.inference.runtime import Runtime
from service.observability.metrics import Metrics
from service.settings import Settings
from tests.model_builder.random_networks import tensors_of
from tests.model_builder.world import NAME, PREPROCESSING, SIZE, World, make_world
from tests.service.engines.toy_engine import SPEC
from tests.service.fakes import WAIT_SECONDS, Array
from tests.service.images import plain

CPU = Hardware("cpu", 1)
WITH_TOY = (SPEC, *ENGINES)
LABELS = tuple(Label(f"class {index}") for index in range(1000))


@pytest.mark.parametrize(
    ("precision", "device", "name"),
    [
        ("float32", "cpu", "openvino"),
        ("bfloat16", "auto", "openvino"),
        ("bfloat16", "gpu", "tensorflow"),
        ("float16", "gpu", "tensorflow"),
        ("int8", "cpu", "openvino"),
        ("int8", "auto", "openvino"),
    ],
)
def test_which_engine_serves(precision: Any, device: Any, name: str) -> None:
    assert engine_for(precision, Hardware(device, 1)).name == name


def test_a_precision_that_a_device_does_not_have_is_refused() -> None:
    with pytest.raises(BuilderError, match=r"int8 is served on cpu\. Received: gpu"):
        engine_for("int8", Hardware("gpu", 1))


def test_an_engine_can_be_asked_for() -> None:
    assert engine_for("float32", CPU, engine="tensorflow").name == "tensorflow"
    assert choose_precision("auto", CPU, engine="litert") == "int8"
    assert engine_for("int8", CPU, engine="openvino").name == "openvino"
    with pytest.raises(
        BuilderError, match=r"^openvino has float32, bfloat16, int8\. Received: float16$"
    ):
        engine_for("float16", CPU, engine="openvino")
    with pytest.raises(BuilderError, match=r"^litert serves on cpu\. Received: device gpu$"):
        engine_for("int8", Hardware("gpu", 1), engine="litert")


def test_without_a_driver_no_framework_is_asked_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise AssertionError("a framework is imported")

    monkeypatch.setattr(registry, "import_module", refuse)
    monkeypatch.setattr(registry, "has_gpu_driver", lambda: False)
    assert find_device("auto") == "cpu"
    assert find_device("gpu") == "gpu"


def test_with_a_driver_the_engine_for_gpus_says_whether_it_sees_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "has_gpu_driver", lambda: True)
    for seen in (True, False):
        module = SimpleNamespace(sees_gpu=lambda seen=seen: seen)
        monkeypatch.setattr(registry, "import_module", lambda _, module=module: module)
        assert find_device("auto") == ("gpu" if seen else "cpu")
    assert find_device("cpu") == "cpu"


def test_an_unknown_engine_is_named() -> None:
    known = ", ".join(spec.name for spec in ENGINES)
    with pytest.raises(InvalidArtifact, match=rf"{known}\. Received: unknown$"):
        engine_called("unknown")


def test_a_new_engine_in_front_leaves_the_choice_of_precision_as_it_is() -> None:
    assert choose_precision("auto", CPU, WITH_TOY) == choose_precision("auto", CPU)


def test_names_have_no_separator_of_folder_names() -> None:
    assert not [spec.name for spec in ENGINES if "-" in spec.name]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("published"))


@pytest.fixture
def cache(world: World, tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path, find=world.find, build=BuildRequest.run)


def test_litert_and_the_toy_are_built_and_run_side_by_side(
    world: World, cache: ArtifactCache
) -> None:
    """The same checkpoint in the same precision, from one cache."""
    pixels = np.full((1, SIZE, SIZE, 3), 9, np.uint8)
    features = {}
    for spec in (SPEC, engine_called("litert")):
        built = cache.obtain(NAME, spec.target("int8"), checkpoint_file=world.file)
        (engine,) = load_engines(read_artifact(built.folder), CPU, WITH_TOY)
        features[built.manifest.engine] = engine.run(pixels)
    assert sorted(path.name for path in (cache.home / "artifacts").glob("*int8")) == [
        f"{NAME}-litert-int8",
        f"{NAME}-toy-int8",
    ]
    assert features["toy"].std() == 0 < features["litert"].std()


def test_a_second_int8_engine_becomes_a_model(world: World, cache: ArtifactCache) -> None:
    toy = cache.obtain(
        NAME, engine_for("int8", CPU, WITH_TOY).target("int8"), checkpoint_file=world.file
    )
    float32 = cache.obtain(
        NAME, engine_for("float32", CPU, WITH_TOY).target("float32"), checkpoint_file=world.file
    )
    litert = engine_called("litert").target("int8")
    assert (toy.manifest.engine, toy.manifest.precision) == ("toy", "int8")
    assert toy.folder != cache.artifact_folder(cache.checkpoint(NAME), litert)
    assert sorted(path.name for path in (cache.home / "artifacts").glob("*int8")) == [
        f"{NAME}-toy-int8"
    ]
    check_agreement(toy, 75.0)
    settings = Settings.of(home=cache.home, device="cpu", max_batch_size=2)
    (engine,) = load_engines(toy, CPU, WITH_TOY)
    size = toy.manifest.preprocessing.crop_size
    features = engine.run(np.full((1, size, size, 3), 9, np.uint8))
    assert features.shape == (1, 1, 1, toy.head.kernel.shape[0])
    assert float(features.max()) == 9
    with pytest.raises(InvalidArtifact, match="Received: toy"):
        warm_model(toy, settings, CPU, Metrics())
    model = warm_model(toy, settings, CPU, Metrics(), WITH_TOY)
    model.start()
    nine = np.full((size, size, 3), 9, np.uint8)
    row = model.submit(nine, outputs=(), deadline=math.inf).result(WAIT_SECONDS).output
    assert set(row.pooled.tolist()) == {9.0}
    assert model.close(WAIT_SECONDS)
    assert {path.name for path in cache.remove(NAME)} >= {toy.folder.name, float32.folder.name}


def test_the_toy_and_litert_answer_requests_from_one_process(
    world: World, cache: ArtifactCache
) -> None:
    """The same weights under two names: one found by its name, one by its artifact's folder."""
    for name in ("for-toy", "for-litert"):
        cache.add(
            CustomCheckpoint(name, world.row.architecture, PREPROCESSING, LABELS, "a test", "none"),
            tensors_of(world.network),
        )
    cache.obtain("for-toy", engine_for("int8", CPU, WITH_TOY).target("int8"))
    litert = cache.obtain("for-litert", engine_called("litert").target("int8"))
    settings = Settings.of(
        home=cache.home, device="cpu", precision="int8", max_batch_size=2, min_agreement_percent=0
    )
    ready, failures = threading.Event(), list[str]()
    runtime = Runtime(
        settings,
        names=("for-toy", str(litert.folder)),
        engines=WITH_TOY,
        on_ready=ready.set,
        on_failure=failures.append,
    )

    async def infer(model: str) -> Array:
        deadline = time.monotonic() + WAIT_SECONDS
        request = InferenceRequest((plain("red"),), deadline, ("embedding",), model=model)
        return (await runtime.service.infer_one(request)).outputs["embedding"]

    async def both() -> tuple[Array, Array]:
        return await asyncio.gather(infer("for-toy"), infer("for-litert"))

    runtime.start()
    try:
        assert ready.wait(10 * WAIT_SECONDS), failures
        served = {model.name: model.artifact.manifest for model in runtime.repository.models}
        assert {name: (one.engine, one.precision) for name, one in served.items()} == {
            "for-toy": ("toy", "int8"),
            "for-litert": ("litert", "int8"),
        }
        toy, measured = asyncio.run(both())
    finally:
        runtime.stop()
    # The mean of red pixels, which is what the toy gives for every feature.
    assert set(toy.tolist()) == {85.0}
    red = np.broadcast_to(np.array([255, 0, 0], np.uint8), (1, SIZE, SIZE, 3))
    (engine,) = load_engines(litert, CPU)
    assert measured.tolist() == engine.run(np.ascontiguousarray(red)).mean(axis=(1, 2))[0].tolist()


def test_the_folder_of_an_artifact_decides_engine_and_precision(
    world: World, cache: ArtifactCache
) -> None:
    toy = cache.obtain(NAME, SPEC.target("int8"), checkpoint_file=world.file)
    settings = Settings.of(home=cache.home / "other")
    found = obtain_artifact(str(toy.folder), settings, CPU)
    assert found.manifest == read_artifact(toy.folder).manifest
    contradicting = Settings.of(home=cache.home / "other", precision="float32")
    with pytest.raises(BuilderError, match=r"is an artifact in int8\. Received: float32"):
        obtain_artifact(str(toy.folder), contradicting, CPU)


def test_the_folder_of_an_int8_artifact_needs_no_tensorflow(
    world: World, cache: ArtifactCache
) -> None:
    """In an interpreter that has none, with the precision left at "auto"."""
    toy = cache.obtain(NAME, SPEC.target("int8"), checkpoint_file=world.file)
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from service.engines.base import Hardware\n"
        "from service.inference.artifacts import obtain_artifact\n"
        "from service.settings import Settings\n"
        "found = obtain_artifact(sys.argv[1], Settings(), Hardware('auto', 1))\n"
        "print(found.manifest.engine)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(toy.folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "toy\n"
