"""Our ResNet-50, compared with that of keras.applications with the same published weights.

The weights are random, their running statistics measured, their convolution biases not zero. The
deeper ones, whose files and logits are no other: `test_reference_keras.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from model_builder.artifact.preprocessing import CAFFE, Preprocessing
from model_builder.checkpoints.download.fetch import LocalFile
from model_builder.checkpoints.download.sources.url import UrlSource
from model_builder.checkpoints.formats.state_dict import Tensors
from model_builder.checkpoints.loader import assign, read_tensors
from model_builder.networks.config import ResNetConfig
from model_builder.networks.fuse_batch_norm import fuse_batch_norm
from model_builder.networks.resnet import build_resnet
from tests.model_builder.random_networks import randomise, relative_difference, same_padded
from tests.model_builder.reference import random_images

Pixels = npt.NDArray[np.uint8]

# Keras's HDF5 writer raises this with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = 64
TOLERANCE = 1e-4
PREPROCESSING = replace(CAFFE, resize_edge=SIZE, crop_size=SIZE)
SOURCE = UrlSource("https://example.org/weights.h5", md5="")


@dataclass(frozen=True)
class Published:
    """Weights in the publisher's layout, and the logits of the publisher's network."""

    architecture: ResNetConfig
    tensors: Tensors
    pixels: Pixels
    logits: npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    network = keras.applications.ResNet50(
        weights=None, input_shape=(SIZE, SIZE, 3), classes=10, classifier_activation=None
    )
    prepare = keras.applications.resnet.preprocess_input
    randomise(network, prepare(random_images(8, size=SIZE, seed=1).astype(np.float32)), seed=50)
    path = tmp_path_factory.mktemp("published") / "weights.h5"
    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, network)
    architecture = ResNetConfig.of(
        "resnet50", stride_in_1x1=True, batch_norm_epsilon=1.001e-5, classes=10
    )
    pixels = random_images(4, size=SIZE, seed=2)
    yield Published(
        architecture,
        read_tensors(LocalFile(path, SOURCE), architecture),
        pixels,
        np.asarray(network(prepare(pixels.astype(np.float32)), training=False)),
    )
    path.unlink()


def converted(published: Published, architecture: ResNetConfig | None = None) -> keras.Model:
    architecture = architecture or published.architecture
    network = build_resnet(architecture, input_size=SIZE)
    assign(network, published.tensors, architecture)
    return network


def logits(network: keras.Model, published: Published) -> Any:
    """Logits of the network with batch norms, on the output of `preprocess_input`."""
    prepare = keras.applications.resnet.preprocess_input
    return network(prepare(published.pixels.astype(np.float32)), training=False)


def served_logits(
    published: Published, preprocessing: Preprocessing = PREPROCESSING
) -> npt.NDArray[np.float32]:
    """Logits of the inference network, from uint8 pixels, with the classifier in NumPy."""
    network = converted(published)
    features = fuse_batch_norm(network, published.architecture, preprocessing)(published.pixels)
    kernel, bias = network.get_layer("fc").get_weights()
    return np.asarray(np.asarray(features).mean(axis=(1, 2)) @ kernel + bias)


def with_same_padding(published: Published) -> Any:
    return logits(same_padded(converted(published)), published)


def with_epsilon_1e_3(published: Published) -> Any:
    architecture = replace(published.architecture, batch_norm_epsilon=1e-3)
    return logits(converted(published, architecture), published)


def with_stride_in_3x3(published: Published) -> Any:
    architecture = replace(published.architecture, stride_in_1x1=False)
    return logits(converted(published, architecture), published)


def without_biases(published: Published) -> Any:
    tensors = {k: v for k, v in published.tensors.items() if k == "fc/bias" or "/bias" not in k}
    return logits(converted(replace(published, tensors=tensors)), published)


def without_swapped_channels(published: Published) -> Any:
    rgb = replace(PREPROCESSING, channel_order="RGB", mean=PREPROCESSING.mean[::-1])
    return served_logits(published, rgb)


def without_swapped_means(published: Published) -> Any:
    return served_logits(published, replace(PREPROCESSING, mean=PREPROCESSING.mean[::-1]))


def test_logits_are_those_of_keras(published: Published) -> None:
    assert published.logits.std(axis=0).min() > 0.01  # the images can be told apart
    received = logits(converted(published), published)
    assert relative_difference(received, published.logits) < TOLERANCE


def test_the_inference_network_gives_them_from_pixels(published: Published) -> None:
    assert relative_difference(served_logits(published), published.logits) < TOLERANCE


@pytest.mark.parametrize(
    "mistaken",
    [
        with_same_padding,
        with_epsilon_1e_3,
        with_stride_in_3x3,
        without_biases,
        without_swapped_channels,
        without_swapped_means,
    ],
)
def test_silent_errors_change_the_logits(
    published: Published, mistaken: Callable[[Published], Any]
) -> None:
    """Each of these loads and runs without an error, and gives wrong logits."""
    assert relative_difference(mistaken(published), published.logits) > 10 * TOLERANCE
