"""OpenVINO on a CPU: the same features as the Keras network, in every batch size, alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from model_builder.artifact.head import Head
from model_builder.artifact.manifest import OPENVINO_MODEL, Artifact, Precision
from model_builder.artifact.preprocessing import CAFFE
from model_builder.artifact.store_format import read_artifact, write_artifact
from model_builder.build.builder import golden
from model_builder.build.calibration import calibration_set
from model_builder.errors import BuilderError, InvalidArtifact
from model_builder.exporters.openvino import convert, save, write_openvino
from model_builder.exporters.openvino_int8 import quantize
from model_builder.networks.config import ResNetConfig
from model_builder.networks.fuse_batch_norm import fuse_batch_norm
from model_builder.system.openvino_import import import_openvino
from service.engines import openvino
from service.engines.base import Array, Hardware, Pixels
from service.engines.compiled_graph import compiled_graph
from service.engines.openvino import (
    MAX_BATCH_SIZE,
    MAX_STREAMS,
    OpenVINOEngine,
    fastest_precision,
)
from service.engines.registry import load_divided, load_engines
from service.evaluation.verify import verify
from tests.model_builder.random_networks import random_network
from tests.model_builder.reference import random_images
from tests.model_builder.tiny_artifact import LABELS, MANIFEST
from tests.service.fakes import WAIT_SECONDS

SIZE = 64
PREPROCESSING = replace(CAFFE, resize_edge=72, crop_size=SIZE)
HARDWARE = Hardware("cpu", cpu_threads=2)
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
# In a process that may open no socket: what is imported of frameworks, and whether it answers.
ALONE = """
import socket, sys
from pathlib import Path
import numpy as np

class Refused(socket.socket):
    def __init__(self, *given, **options):
        raise AssertionError("a socket is opened")

socket.socket = Refused
from model_builder.artifact.store_format import read_artifact
from service.engines.base import Hardware
from service.engines.registry import load_engines
(engine,) = load_engines(read_artifact(Path(sys.argv[1])), Hardware("cpu", 1))
print(engine.run(np.zeros((1, 64, 64, 3), np.uint8)).shape)
frameworks = ("tensorflow", "keras", "openvino_telemetry", "openvino.tools.ovc", "nncf", "torch")
print(sorted(name for name in frameworks if sys.modules.get(name)))
"""


@dataclass(frozen=True)
class Built:
    """features: of the Keras network in float32, for `pixels`."""

    artifacts: dict[Precision, Artifact]
    pixels: npt.NDArray[np.uint8]
    features: npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    architecture = ResNetConfig.of("resnet18", classes=len(LABELS))
    network = random_network(architecture, input_size=SIZE)
    inference = fuse_batch_norm(network, architecture, PREPROCESSING, pixels_dtype="uint8")
    kernel, bias = network.get_layer("fc").get_weights()

    def write(precision: Precision, path: Path) -> None:
        if precision == "int8":
            crops = calibration_set(None, PREPROCESSING).crops[:24]
            save(quantize(convert(inference), crops, lambda _: None), path)
        else:
            write_openvino(inference, path)

    def artifact(precision: Precision) -> Artifact:
        folder = tmp_path_factory.mktemp("artifacts") / precision
        manifest = replace(
            MANIFEST,
            architecture=architecture,
            preprocessing=PREPROCESSING,
            engine="openvino",
            precision=precision,
        )
        write_artifact(
            folder,
            manifest,
            LABELS,
            Head(kernel, bias),
            golden(network, PREPROCESSING),
            lambda path: write(precision, path),
        )
        return read_artifact(folder)

    pixels = random_images(5, size=SIZE, seed=6)
    return Built(
        {precision: artifact(precision) for precision in PRECISIONS},
        pixels,
        np.asarray(inference(pixels, training=False), np.float32),
    )


@pytest.fixture(scope="module")
def engine(built: Built) -> OpenVINOEngine:
    (engine,) = load_divided(built.artifacts["float32"], HARDWARE)
    assert isinstance(engine, OpenVINOEngine)
    return engine


@pytest.mark.parametrize(("threads", "streams"), [(1, 1), (2, 2), (16, MAX_STREAMS)])
def test_it_runs_as_many_batches_at_the_same_time_as_there_are_threads(
    built: Built, threads: int, streams: int
) -> None:
    (engine,) = load_engines(built.artifacts["float32"], replace(HARDWARE, cpu_threads=threads))
    assert (engine.device, engine.max_batch_size) == ("cpu:0", MAX_BATCH_SIZE)
    assert engine.concurrency == streams
    assert (engine.alone is not None) == (streams > 1)
    assert engine.divided == (streams == 1)
    engine.divide()
    assert engine.divided


@pytest.mark.parametrize("precision", PRECISIONS)
def test_batches_at_the_same_time_have_the_features_of_one_that_is_alone(
    built: Built, precision: Precision
) -> None:
    (engine,) = load_divided(built.artifacts[precision], HARDWARE)
    assert engine.alone is not None
    batches = [built.pixels[:size] for size in (1, 2, 3, 4, 1, 2, 3, 4)]
    with ThreadPoolExecutor(engine.concurrency) as threads:
        found = list(threads.map(engine.run, batches))
    for features, pixels in zip(found, batches, strict=True):
        np.testing.assert_array_equal(features, engine.alone(pixels))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_features_before_it_is_divided_meanwhile_and_after_are_equal(
    built: Built, precision: Precision
) -> None:
    (engine,) = load_engines(built.artifacts[precision], HARDWARE)
    sizes = (1, 2, 3, 4) * 3
    before = [engine.run(built.pixels[:size]) for size in sizes]
    with ThreadPoolExecutor(engine.concurrency + 1) as threads:
        dividing = threads.submit(engine.divide)
        meanwhile = list(threads.map(engine.run, [built.pixels[:size] for size in sizes]))
        dividing.result(WAIT_SECONDS)
    assert engine.divided
    after = [engine.run(built.pixels[:size]) for size in sizes]
    for expected, *found in zip(before, meanwhile, after, strict=True):
        for features in found:
            np.testing.assert_array_equal(features, expected)


def test_one_that_can_t_be_divided_runs_on(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no memory for the streams")

    (engine,) = load_engines(built.artifacts["float32"], HARDWARE)
    before = engine.run(built.pixels[:4])
    with monkeypatch.context() as patched:
        patched.setattr(OpenVINOEngine, "_import", fails)
        with pytest.raises(InvalidArtifact, match="in streams: no memory for the streams"):
            engine.divide()
    assert not engine.divided
    with ThreadPoolExecutor(engine.concurrency) as threads:
        for features in threads.map(engine.run, [built.pixels[:4]] * 6):
            np.testing.assert_array_equal(features, before)
    engine.divide()
    assert engine.divided


@pytest.mark.parametrize(("cpus", "pinned"), [(2, [False, True]), (3, [False, False])])
def test_threads_of_streams_are_pinned_where_the_engine_has_every_cpu(
    built: Built, monkeypatch: pytest.MonkeyPatch, cpus: int, pinned: list[bool]
) -> None:
    found: list[bool] = []
    requests = OpenVINOEngine._requests

    def noted(self: OpenVINOEngine, compiled: Any, streams: int) -> list[Any]:
        found.append(compiled.get_property("ENABLE_CPU_PINNING"))
        return requests(self, compiled, streams)

    monkeypatch.setattr(openvino, "affine_cpus", lambda: cpus)
    monkeypatch.setattr(OpenVINOEngine, "_requests", noted)
    load_divided(built.artifacts["float32"], HARDWARE)
    assert found == pinned


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_next_start_has_the_compiled_graph(
    built: Built, tmp_path: Path, precision: Precision
) -> None:
    artifact, hardware = built.artifacts[precision], replace(HARDWARE, cache=tmp_path / "compiled")
    (first,) = load_engines(artifact, hardware)
    # Without what it is compiled from.
    without = replace(artifact, folder=tmp_path)
    shutil.copytree(artifact.network, without.network)
    (without.network / OPENVINO_MODEL).unlink()
    (second,) = load_divided(without, hardware)
    assert second.alone is not None
    for size in (1, 2, 3, 4):
        expected = first.run(built.pixels[:size])
        np.testing.assert_array_equal(second.run(built.pixels[:size]), expected)
        np.testing.assert_array_equal(second.alone(built.pixels[:size]), expected)


@pytest.mark.parametrize("graph", [b"", b"no graph"])
def test_a_graph_that_can_t_be_run_is_compiled_again(
    built: Built, tmp_path: Path, graph: bytes
) -> None:
    artifact, hardware = built.artifacts["float32"], replace(HARDWARE, cache=tmp_path)
    (engine,) = load_engines(artifact, HARDWARE)
    assert isinstance(engine, OpenVINOEngine)
    properties = engine._properties(1)
    kept = compiled_graph(artifact, tmp_path, openvino_version=version(), properties=properties)
    kept.write(graph)
    (engine,) = load_engines(artifact, hardware)
    np.testing.assert_allclose(engine.run(built.pixels), built.features, rtol=1e-3, atol=1e-3)
    assert kept.read() not in (None, graph)


def test_a_batch_that_hangs_with_the_whole_cpu_leaves_the_streams_at_work(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    (engine,) = load_divided(built.artifacts["float32"], HARDWARE)
    assert engine.alone is not None
    expected = engine.alone(built.pixels[:1])
    infer, hangs, ends = openvino._infer, threading.Event(), threading.Event()
    taken: list[Any] = []

    def hanging_first(request: Any, pixels: Pixels) -> Array:
        if request in taken:
            raise RuntimeError("Infer Request is busy")
        if not taken:
            taken.append(request)
            hangs.set()
            assert ends.wait(WAIT_SECONDS)
        return infer(request, pixels)

    monkeypatch.setattr(openvino, "_infer", hanging_first)
    with ThreadPoolExecutor(1) as threads:
        hung = threads.submit(engine.alone, built.pixels[:1])
        assert hangs.wait(WAIT_SECONDS)
        try:
            for _ in range(2 * engine.concurrency):
                np.testing.assert_array_equal(engine.alone(built.pixels[:1]), expected)
        finally:
            ends.set()
        np.testing.assert_array_equal(hung.result(WAIT_SECONDS), expected)


def version() -> str:
    found: str = import_openvino().__version__
    return found


def test_the_first_inference_is_over_before_two_can_begin(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that are the first of a process have deadlocked in OpenVINO's Python."""
    threads: list[int] = []
    infer = openvino._infer

    def noted(request: Any, pixels: Pixels) -> Array:
        threads.append(threading.get_ident())
        return infer(request, pixels)

    monkeypatch.setattr(openvino, "_infer", noted)
    load_divided(built.artifacts["float32"], HARDWARE)
    # Alone, and then each stream.
    assert threads == [threading.get_ident()] * 3


def test_a_warm_engine_gives_the_pages_of_its_weights_back(built: Built) -> None:
    artifact = built.artifacts["float32"]
    weights = (artifact.network / OPENVINO_MODEL).with_suffix(".bin").resolve()
    (engine,) = load_engines(artifact, HARDWARE)
    before = engine.run(built.pixels[:1])
    assert resident_pages(weights) > 0
    engine.retain_sizes((1, 2, 4))
    assert resident_pages(weights) == 0
    engine.divide()
    assert resident_pages(weights) == 0
    np.testing.assert_array_equal(engine.run(built.pixels[:1]), before)


def resident_pages(path: Path) -> int:
    """Kilobytes of a mapped file that are in this process's memory."""
    total, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            inside = line.endswith(str(path))
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total


def test_it_gives_the_features_of_the_keras_network(engine: OpenVINOEngine, built: Built) -> None:
    features = engine.run(built.pixels)
    assert features.dtype == np.float32
    assert features.shape == built.features.shape
    np.testing.assert_allclose(features, built.features, rtol=1e-3, atol=1e-3)


def test_an_image_gets_the_same_features_in_a_batch_of_any_size(
    engine: OpenVINOEngine, built: Built
) -> None:
    whole = engine.run(built.pixels)
    engine.retain_sizes((1, 2))
    for size in (1, 2, 3):
        np.testing.assert_allclose(
            engine.run(built.pixels[:size]), whole[:size], rtol=1e-4, atol=1e-4
        )


def test_int8_gives_an_image_the_same_features_in_a_batch_of_any_size(built: Built) -> None:
    (engine,) = load_engines(built.artifacts["int8"], HARDWARE)
    alone = np.concatenate([engine.run(pixels[None]) for pixels in built.pixels])
    np.testing.assert_allclose(engine.run(built.pixels), alone, rtol=1e-4, atol=1e-4)
    assert alone.dtype == np.float32
    pooled, right = alone.mean(axis=(1, 2)), built.features.mean(axis=(1, 2))
    # Close, and not float32 itself.
    assert 1e-3 < np.abs(pooled - right).mean() / right.std() < 0.15


def test_a_result_is_not_overwritten_by_the_next(engine: OpenVINOEngine, built: Built) -> None:
    first = engine.run(built.pixels[:1])
    kept = first.copy()
    engine.run(built.pixels[1:2])
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_golden_logits(built: Built, precision: Precision) -> None:
    artifact = built.artifacts[precision]
    (engine,) = load_divided(artifact, HARDWARE)
    assert verify(artifact, engine).passed


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_nothing_else_is_imported_and_nothing_is_sent(built: Built, precision: Precision) -> None:
    folder = str(built.artifacts[precision].folder)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, folder], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["(1, 2, 2, 512)", "[]"]


def test_a_network_that_is_none(built: Built, tmp_path: Path) -> None:
    network = tmp_path / "network"
    network.mkdir()
    (network / OPENVINO_MODEL).write_text("<net/>")
    with pytest.raises(InvalidArtifact, match=r"model\.xml can't be run: "):
        OpenVINOEngine(replace(built.artifacts["float32"], folder=tmp_path), 1)


def test_a_gpu_is_refused(built: Built) -> None:
    with pytest.raises(BuilderError, match="Received: gpu"):
        load_engines(built.artifacts["float32"], Hardware("gpu", 1))


@pytest.mark.parametrize(
    ("flags", "precision"), [("avx2", "float32"), ("avx512f avx512_bf16", "bfloat16")]
)
def test_the_fastest_precision(tmp_path: Path, flags: str, precision: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"flags\t: fpu {flags}\n")
    assert fastest_precision(HARDWARE, cpuinfo) == precision
