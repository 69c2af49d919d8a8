"""Files of keras.applications' networks in each of Keras's formats, compared with Keras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from model_builder.artifact.preprocessing import CAFFE
from model_builder.checkpoints.loader import assign, read_checkpoint
from model_builder.checkpoints.published import PublishedTensors
from model_builder.networks.config import ResNetConfig, name_of_depth
from model_builder.networks.resnet import build_resnet
from tests.model_builder.keras_layout import keras_name
from tests.model_builder.published import (
    SIZE,
    TOLERANCE,
    converted,
    keras_application,
    keras_weights,
    save_tfjs,
    served_logits,
)
from tests.model_builder.random_networks import relative_difference
from tests.model_builder.reference import random_images, random_reference

Array = npt.NDArray[np.float32]

# Keras's HDF5 writer raises this with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

IMAGES = random_images(2, seed=1)
RECIPE = replace(CAFFE, resize_edge=SIZE, crop_size=SIZE)
EPSILON = 1.001e-5


@dataclass(frozen=True)
class Published:
    architecture: ResNetConfig
    network: keras.Model  # Keras's
    weights: dict[str, list[Array]]
    logits: Array


ALL_DEPTHS = pytest.mark.parametrize(
    "published", [50, 101, 152], indirect=True, ids="resnet{}".format
)
SMALLEST = pytest.mark.parametrize("published", [50], indirect=True, ids="resnet{}".format)


@pytest.fixture(scope="module")
def published(request: pytest.FixtureRequest) -> Published:
    reference = random_reference(request.param, seed=request.param, stride_in_1x1=True)
    reference = replace(reference, epsilon=EPSILON)
    network = keras_application(reference)
    prepare = keras.applications.resnet.preprocess_input
    inputs = prepare(IMAGES.astype(np.float32)) / 64
    logits = np.asarray(network(inputs, training=False))
    expected = reference.logits(np.moveaxis(inputs, 3, 1))
    assert expected.std(axis=0).mean() > 0.05  # the images can be told apart
    assert relative_difference(logits, expected) < TOLERANCE
    architecture = ResNetConfig.of(
        name_of_depth(reference.depth), stride_in_1x1=True, batch_norm_epsilon=EPSILON, classes=10
    )
    return Published(architecture, network, keras_weights(reference), logits)


def keras_file(folder: Path, published: Published) -> Path:
    published.network.save(folder / "network.keras")
    return folder / "network.keras"


def weights_file(folder: Path, published: Published) -> Path:
    published.network.save_weights(folder / "network.weights.h5")
    return folder / "network.weights.h5"


def legacy_weights_file(folder: Path, published: Published) -> Path:
    """The format of the published files."""
    with h5py.File(folder / "weights.h5", "w") as file:
        save_weights_to_hdf5_group(file, published.network)
    return folder / "weights.h5"


def legacy_model_file(folder: Path, published: Published) -> Path:
    published.network.save(folder / "network.h5")
    return folder / "network.h5"


def tfjs_folder(folder: Path, published: Published) -> Path:
    return save_tfjs(folder, published.weights)


@ALL_DEPTHS
@pytest.mark.parametrize(
    ("format", "write"),
    [("keras_v3", keras_file), ("keras_h5", legacy_weights_file), ("tfjs", tfjs_folder)],
)
def test_every_tensor_is_read(
    published: Published, format: str, write: Callable[[Path, Published], Path], tmp_path: Path
) -> None:
    received = read_checkpoint(write(tmp_path, published))
    for file in tmp_path.iterdir():
        file.unlink()
    assert received.format == format
    assert received.architecture() == published.architecture
    assert_tensors_are_those_of(received, published.weights)


@SMALLEST
@pytest.mark.parametrize(
    ("format", "write"), [("keras_h5", weights_file), ("keras_h5", legacy_model_file)]
)
def test_every_tensor_is_read_from_a_sibling_format(
    published: Published, format: str, write: Callable[[Path, Published], Path], tmp_path: Path
) -> None:
    test_every_tensor_is_read(published, format, write, tmp_path)


def assert_tensors_are_those_of(
    received: PublishedTensors, weights: dict[str, list[Array]]
) -> None:
    """In Keras's order of layers' weights."""
    fields = {2: ("kernel", "bias"), 4: ("gamma", "beta", "moving_mean", "moving_variance")}
    names = {keras_name(name.split("/")[0]): name.split("/")[0] for name in received.tensors}
    assert names.keys() == weights.keys()
    assert len(received.tensors) == sum(map(len, weights.values()))
    for layer, arrays in weights.items():
        for field, expected in zip(fields[len(arrays)], arrays, strict=True):
            values = received.tensors[f"{names[layer]}/{field}"]
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, expected, err_msg=f"{layer}/{field}")


@ALL_DEPTHS
def test_logits_are_those_of_keras(published: Published, tmp_path: Path) -> None:
    received = read_checkpoint(tfjs_folder(tmp_path, published))
    network = converted(received, published.architecture)
    inputs = keras.applications.resnet.preprocess_input(IMAGES.astype(np.float32)) / 64
    assert relative_difference(network(inputs, training=False), published.logits) < TOLERANCE
    recipe = replace(RECIPE, std=(64.0, 64.0, 64.0))
    served = served_logits(network, published.architecture, IMAGES, recipe)
    assert relative_difference(served, published.logits) < TOLERANCE


@cache
def random_basic(architecture: ResNetConfig) -> keras.Model:
    """Made once; tests must not change it."""
    network = build_resnet(architecture, input_size=SIZE)
    rng = np.random.default_rng(architecture.depth)
    network.set_weights([rng.random(x.shape, np.float32) for x in network.get_weights()])
    return network


@pytest.mark.parametrize("depth", [18, 34])
@pytest.mark.parametrize("name", ["network.keras", "network.weights.h5", "network.h5"])
def test_basic_blocks_come_back_as_they_were_saved(depth: int, name: str, tmp_path: Path) -> None:
    """keras.applications does not have these networks; ours are saved."""
    architecture = ResNetConfig.of(name_of_depth(depth), batch_norm_epsilon=2e-5, classes=10)
    saved = random_basic(architecture)
    save: Any = saved.save_weights if name.endswith(".weights.h5") else saved.save
    save(tmp_path / name)
    received = read_checkpoint(tmp_path / name)
    said = received.batch_norm_epsilon
    assert said == (None if name.endswith(".weights.h5") else 2e-5)
    assert received.architecture(batch_norm_epsilon=2e-5) == architecture
    network = build_resnet(architecture, input_size=SIZE)
    assign(network, received.tensors, architecture)
    inputs = np.random.default_rng(depth).random((2, SIZE, SIZE, 3), np.float32)
    np.testing.assert_array_equal(network(inputs), saved(inputs))
