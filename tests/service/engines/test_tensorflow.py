"""The TensorFlow engine on a real network: depth 18, random weights, images of 64 x 64."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest

from model_builder.artifact.head import Head, softmax
from model_builder.artifact.labels import Label
from model_builder.artifact.manifest import Artifact, Manifest, Precision, Provenance
from model_builder.artifact.preprocessing import Preprocessing
from model_builder.artifact.store_format import read_artifact, write_artifact
from model_builder.errors import BuilderError
from model_builder.networks.config import ResNetConfig
from service.engines.base import Hardware
from service.engines.registry import choose_precision, load_engines
from service.engines.tensorflow import fastest_precision, load
from service.engines.tensorflow_cpu import MAX_BATCH_SIZE, CpuEngine
from service.engines.tensorflow_gpu import GpuEngine
from service.http.app import create_app
from service.inference.outputs import logits
from service.observability.metrics import Metrics
from service.settings import Settings
from service.system.cpu import has_bfloat16
from tests.service.conftest import TestClient
from tests.service.fakes import eventually
from tests.service.images import encoded

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

NAME = "resnet18.random"
SIZE = 64
CLASSES = 7
BATCH_SIZES = (1, 2, 3)
CPU = "/device:CPU:0"
HARDWARE = Hardware(device="cpu", cpu_threads=2)
# As in the Keras checkpoints: BGR, and means that bfloat16 can't represent.
PREPROCESSING = Preprocessing(72, SIZE, "bilinear", "BGR", (103.939, 116.779, 123.68), (58.0,) * 3)


@dataclass(frozen=True)
class Built:
    """One network as an artifact of each precision, and Keras's results for `pixels`."""

    artifacts: dict[Precision, Artifact]
    pixels: Pixels
    features: Array
    probabilities: Array


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    import keras

    from model_builder.build.builder import golden
    from model_builder.exporters.tensorflow import write_saved_model
    from model_builder.networks.fuse_batch_norm import fuse_batch_norm
    from tests.model_builder.random_networks import random_network
    from tests.model_builder.reference import random_images

    architecture = ResNetConfig.of("resnet18", classes=CLASSES)
    network = random_network(architecture, input_size=SIZE)
    kernel, bias = network.get_layer("fc").get_weights()
    head = Head(np.asarray(kernel), np.asarray(bias))
    provenance = Provenance(NAME, "made by the tests", "none", "Apache-2.0", "none", None, None)
    labels = [Label(f"class {index}") for index in range(CLASSES)]

    def artifact(precision: Precision) -> Artifact:
        folder = tmp_path_factory.mktemp("artifacts") / precision
        inference = fuse_batch_norm(network, architecture, PREPROCESSING, dtype=precision)
        manifest = Manifest(
            name=NAME,
            architecture=architecture,
            preprocessing=PREPROCESSING,
            provenance=provenance,
            engine="tensorflow",
            precision=precision,
            versions={},
            files={},
        )
        write_artifact(
            folder,
            manifest,
            labels,
            head,
            golden(network, PREPROCESSING),
            lambda path: write_saved_model(inference, path),
        )
        return read_artifact(folder)

    pixels = random_images(3, size=SIZE, seed=5)
    normalized = (pixels[..., ::-1] - np.array(PREPROCESSING.mean)) / np.array(PREPROCESSING.std)
    whole = keras.Model(network.input, [network.get_layer("avgpool").input, network.output])
    features, scores = whole(normalized.astype(np.float32), training=False)
    return Built(
        {"float32": artifact("float32"), "bfloat16": artifact("bfloat16")},
        pixels,
        np.asarray(features),
        softmax(np.asarray(scores)),
    )


@pytest.fixture(scope="module")
def engine(built: Built) -> CpuEngine:
    return CpuEngine(built.artifacts["float32"], threads=2)


def assert_close(received: Array, expected: Array, tolerance: float) -> None:
    """tolerance: in units of the expected values' standard deviation."""
    assert received.shape == expected.shape
    assert float(np.abs(received - expected).max()) < tolerance * float(expected.std())


def test_its_properties(engine: CpuEngine) -> None:
    assert engine.device == "cpu:0"
    assert engine.max_batch_size == MAX_BATCH_SIZE


@pytest.mark.parametrize("count", BATCH_SIZES)
def test_features_are_the_keras_networks(built: Built, engine: CpuEngine, count: int) -> None:
    features = engine.run(built.pixels[:count])
    assert features.dtype == np.float32
    assert features.shape == (count, 2, 2, 512)
    assert_close(features, built.features[:count], 1e-4)


def test_images_differ_and_keep_their_place(built: Built, engine: CpuEngine) -> None:
    """Otherwise the comparisons here would prove little."""
    forward, backward = engine.run(built.pixels), engine.run(built.pixels[::-1].copy())
    assert_close(backward[::-1], forward, 1e-4)
    assert float(np.abs(forward[0] - forward[1]).mean()) > 0.1 * float(forward.std())


def test_with_the_head_behind_it_probabilities_are_the_keras_networks(
    built: Built, engine: CpuEngine
) -> None:
    head = built.artifacts["float32"].head
    found = softmax(logits(engine.run(built.pixels), head))
    np.testing.assert_allclose(found, built.probabilities, atol=1e-4)


def mean_error(received: Array, expected: Array) -> float:
    """In units of the expected values' standard deviation."""
    assert received.dtype == np.float32
    assert received.shape == expected.shape
    return float(np.abs(received - expected).mean() / expected.std())


def test_bfloat16_is_close_and_not_the_same(built: Built) -> None:
    half = CpuEngine(built.artifacts["bfloat16"], threads=2)
    assert 1e-4 < mean_error(half.run(built.pixels), built.features) < 0.05


def test_xla_computes_the_same_for_every_batch_size(built: Built, engine: CpuEngine) -> None:
    compiled = GpuEngine(built.artifacts["float32"], CPU)
    for size in (1, 3):
        assert_close(compiled.run(built.pixels[:size]), engine.run(built.pixels[:size]), 1e-4)


def test_xla_in_bfloat16_is_as_close_as_without(built: Built) -> None:
    """Not equal where the CPU has bfloat16: XLA rounds in other places, which also shows
    that it is another program.
    """
    plain = CpuEngine(built.artifacts["bfloat16"], threads=2)
    compiled = GpuEngine(built.artifacts["bfloat16"], CPU)
    for size in (1, 3):
        found = compiled.run(built.pixels[:size])
        assert 1e-4 < mean_error(found, built.features[:size]) < 0.05
        assert not has_bfloat16() or not np.array_equal(found, plain.run(built.pixels[:size]))


def test_load_on_this_machine(built: Built) -> None:
    (engine,) = load(built.artifacts["float32"], HARDWARE)
    assert engine.device == "cpu:0"
    (chosen,) = load_engines(built.artifacts["float32"], Hardware(device="cpu", cpu_threads=2))
    assert type(chosen) is CpuEngine
    assert chosen.max_batch_size == MAX_BATCH_SIZE


def test_a_network_that_was_saved_as_functions(
    built: Built, engine: CpuEngine, tmp_path: Path
) -> None:
    """As `tf.saved_model.save` writes it, and as in artifacts of earlier versions."""
    import tensorflow as tf

    artifact = built.artifacts["float32"]
    network = tf.saved_model.load(str(artifact.network)).signatures["serving_default"]
    pixels = tf.TensorSpec([None, SIZE, SIZE, 3], tf.uint8, name="pixels")
    function = tf.function(lambda pixels: network(pixels=pixels), input_signature=[pixels])
    tf.saved_model.save(
        tf.Module(), str(tmp_path / "network"), signatures={"serving_default": function}
    )
    older = CpuEngine(replace(artifact, folder=tmp_path), threads=2)
    for size in (1, 3):
        assert_close(older.run(built.pixels[:size]), engine.run(built.pixels[:size]), 1e-4)


def test_a_missing_gpu_is_an_error(built: Built) -> None:
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(BuilderError, match="sees no GPU"):
        load(built.artifacts["float32"], Hardware("gpu", cpu_threads=1))


def cpuinfo(folder: Path, flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(f"flags\t\t: {flags}\n")
    return path


@pytest.mark.parametrize(
    ("flags", "precision"), [("avx2 avx512_bf16", "bfloat16"), ("avx2", "float32")]
)
def test_the_fastest_precision_of_a_cpu(tmp_path: Path, flags: str, precision: str) -> None:
    assert fastest_precision(HARDWARE, cpuinfo(tmp_path, flags)) == precision


@pytest.mark.parametrize("wanted", get_args(Precision))
def test_a_requested_precision_is_kept(wanted: Precision) -> None:
    assert choose_precision(wanted, HARDWARE) == wanted


def test_auto_is_the_fastest() -> None:
    assert choose_precision("auto", HARDWARE) == fastest_precision(HARDWARE)


TWO_DEVICES = """
import json, sys, threading
from pathlib import Path
import numpy as np
from model_builder.artifact.store_format import read_artifact
from model_builder.system.tensorflow_import import import_tensorflow
tf = import_tensorflow()
(cpu,) = tf.config.list_physical_devices("CPU")
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [half, half])

from service.batching.batch_sizes import BatchSizes
from service.batching.batcher import Batcher
from service.engines.tensorflow_gpu import GpuEngine
from tests.service.fakes import WAIT_SECONDS, Recorder

artifact = read_artifact(Path(sys.argv[1]))
pixels = np.load(sys.argv[2])
engines = [GpuEngine(artifact, device.name) for device in tf.config.list_logical_devices()]
both = threading.Barrier(2)
batches = {engine.device: 0 for engine in engines}

def run_on(engine):
    def run(one, outputs):
        both.wait(WAIT_SECONDS)  # passes only when both devices have a batch
        batches[engine.device] += 1
        return engine.run(one)
    return run

batcher = Batcher(
    [run_on(engine) for engine in engines],
    batch_sizes=BatchSizes({1: 1.0}),
    observer=Recorder(),
)
batcher.start()
futures = [batcher.submit(pixels[index % 2], deadline=float("inf")) for index in range(4)]
outputs = [future.result(WAIT_SECONDS).output for future in futures]
batcher.close(WAIT_SECONDS)
np.save(sys.argv[3], np.stack(outputs))
print(json.dumps({
    "devices": [engine.device for engine in engines],
    "computed_on": [engine.features(pixels[:1]).device for engine in engines],
    "batches": batches,
}))
"""


def test_two_devices_each_compute_on_their_own(built: Built, tmp_path: Path) -> None:
    """Two logical CPUs in a new process: a process configures its devices once."""
    np.save(tmp_path / "pixels.npy", built.pixels)
    files = [built.artifacts["float32"].folder, tmp_path / "pixels.npy", tmp_path / "outputs.npy"]
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, *map(str, files)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["devices"] == ["cpu:0", "cpu:1"]
    assert [name.rpartition("/")[2] for name in said["computed_on"]] == [
        "device:CPU:0",
        "device:CPU:1",
    ]
    assert said["batches"] == {"cpu:0": 2, "cpu:1": 2}
    expected = built.features[[0, 1, 0, 1]]
    assert_close(np.load(tmp_path / "outputs.npy"), expected, 1e-4)


@pytest.fixture
def served(built: Built, tmp_path: Path) -> Callable[[], tuple[TestClient, Metrics]]:
    """The whole service on the artifact's folder, without fakes."""

    def serve() -> tuple[TestClient, Metrics]:
        settings = Settings.of(
            model=str(built.artifacts["float32"].folder),
            device="cpu",
            home=tmp_path,
            max_batch_size=2,
            log_level="error",
        )
        metrics = Metrics()
        return TestClient(create_app(settings, metrics=metrics)), metrics

    return serve


def test_an_image_through_the_whole_service(
    built: Built, served: Callable[[], tuple[TestClient, Metrics]]
) -> None:
    from PIL import Image

    image = Image.fromarray(built.pixels[0]).resize((72, 72), Image.Resampling.NEAREST)
    client, metrics = served()
    with client:
        eventually(lambda: client.get("/health/ready").status_code == 200)
        response = client.post(
            "/predict?top_k=7",
            content=encoded(image),
            headers={"Content-Type": "image/png"},
        )
        body: dict[str, Any] = response.json()
        assert response.status_code == 200, body
        (model,) = (one for one in client.get("/models").json()["models"] if one["depth"] == 18)

    pixels = np.asarray(image)[4:68, 4:68]
    engine = CpuEngine(built.artifacts["float32"], threads=2)
    expected = softmax(logits(engine.run(pixels[None]), built.artifacts["float32"].head))[0]
    found = {one["class_id"]: one["probability"] for one in body["predictions"]}
    np.testing.assert_allclose([found[index] for index in range(CLASSES)], expected, atol=1e-5)
    assert body["model"] == {"name": NAME, "checkpoint": NAME, "precision": "float32"}
    (checkpoint,) = (one for one in model["checkpoints"] if one["state"] == "ready")
    assert checkpoint["served"]["batch_sizes"] == [1, 2]
    info = {
        "model": NAME,
        "checkpoint": NAME,
        "digest": "none",
        "precision": "float32",
        "engine": "tensorflow",
        "devices": "cpu:0",
    }
    assert metrics.registry.get_sample_value("resnet_model_info", info) == 1
    assert metrics.registry.get_sample_value("resnet_queue_depth", {"model": NAME}) == 0
