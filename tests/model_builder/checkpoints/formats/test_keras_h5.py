"""Keras's legacy HDF5 weights, read as data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from model_builder.checkpoints.formats.keras import h5 as keras_h5
from model_builder.checkpoints.formats.keras.names import our_layer
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.errors import ConversionFailed
from tests.model_builder.keras_layout import write_keras_h5

Array = npt.NDArray[np.float32]


def our_name(published: str) -> str:
    layer, field = published.split("/")
    return f"{our_layer(layer)}/{field}"


@pytest.fixture
def tensors() -> dict[str, Array]:
    """Two layers, one with a bias, as published."""
    rng = np.random.default_rng(0)
    return {
        "conv1_bn/gamma": rng.random(64, np.float32),
        "conv1_bn/beta": rng.random(64, np.float32),
        "conv1_bn/moving_mean": rng.random(64, np.float32),
        "conv1_bn/moving_variance": rng.random(64, np.float32),
        "conv1_conv/kernel": rng.random((7, 7, 3, 64), np.float32),
        "conv1_conv/bias": rng.random(64, np.float32),
    }


@pytest.mark.parametrize("group", ["/", "model_weights"])
def test_keras_format_is_read_back_exactly(
    tmp_path: Path, tensors: dict[str, Array], group: str
) -> None:
    path = tmp_path / "weights.h5"
    write_keras_h5(path, tensors, group=group)
    received = keras_h5.read(path).tensors
    assert received.keys() == {our_name(name) for name in tensors}
    for published, values in tensors.items():
        name = our_name(published)
        np.testing.assert_array_equal(received[name], values)
        assert received[name].dtype == np.float32


def test_weights_by_the_names_of_an_exported_savedmodel(
    tmp_path: Path, tensors: dict[str, Array]
) -> None:
    """As the command of the refusal writes them: "conv1_conv/kernel", nested or not."""
    for prefix in ("", "resnet50/"):
        path = tmp_path / f"{len(prefix)}.h5"
        with h5py.File(path, "w") as file:
            for name, values in tensors.items():
                file.create_dataset(prefix + name, data=values)
            file.create_dataset("seed_generator/seed_generator_state", data=np.zeros(2, np.uint32))
        received = keras_h5.read(path).tensors
        assert received.keys() == {our_name(name) for name in tensors}
        for published, values in tensors.items():
            np.testing.assert_array_equal(received[our_name(published)], values)


def test_a_tensor_beside_those_of_a_named_layer_is_refused(
    tmp_path: Path, tensors: dict[str, Array]
) -> None:
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        for name, values in (tensors | {"conv1_conv/scale": tensors["conv1_bn/beta"]}).items():
            file.create_dataset(name, data=values)
    with pytest.raises(ConversionFailed, match="conv1_conv has other tensors too: scale"):
        keras_h5.read(path)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite(path: Path) -> None:
    path.write_bytes(b"<html>not found</html>")


def without_layer_names(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["layer_names"]


def without_dataset(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["conv1_conv/conv1_conv/kernel:0"]


def with_text(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["conv1_conv/conv1_conv/kernel:0"]
        file["conv1_conv/conv1_conv/kernel:0"] = "not numbers"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_in_half, "is not an HDF5 weights file of Keras: .*truncated"),
        (overwrite, "is not an HDF5 weights file of Keras: .*signature not found"),
        (without_layer_names, "No ResNet of the family has these blocks"),
        (without_dataset, "conv1_conv/kernel:0 is missing"),
        (with_text, "conv1_conv/kernel:0 is not a tensor of a ResNet"),
    ],
)
def test_a_broken_hdf5_file(
    tmp_path: Path, tensors: dict[str, Array], damage: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "weights.h5"
    write_keras_h5(path, tensors)
    damage(path)
    with pytest.raises(ConversionFailed, match=message):
        read_checkpoint(path, format="keras_h5")
