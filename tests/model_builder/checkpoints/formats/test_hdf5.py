"""Broken and malicious HDF5 files and zips in Keras's formats."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from model_builder.checkpoints.formats.readers import identify
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.errors import ConversionFailed
from tests.model_builder.keras_files import saved, small_network

# Keras's HDF5 writer raises this with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def external_link(file: h5py.File, dataset: str) -> None:
    del file[dataset]
    file[dataset] = h5py.ExternalLink("/etc/hostname", "/")


def soft_link(file: h5py.File, dataset: str) -> None:
    del file[dataset]
    file[dataset] = h5py.SoftLink("/elsewhere")


def external_storage(file: h5py.File, dataset: str) -> None:
    shape = file[dataset].shape
    del file[dataset]
    size = int(4 * np.prod(shape))
    file.create_dataset(dataset, shape, "<f4", external=[("/etc/hostname", 0, size)])


def virtual(file: h5py.File, dataset: str) -> None:
    shape = file[dataset].shape
    del file[dataset]
    layout = h5py.VirtualLayout(shape, "<f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", shape)
    file.create_virtual_dataset(dataset, layout)


def enormous(file: h5py.File, dataset: str) -> None:
    del file[dataset]
    file.create_dataset(dataset, (1 << 40,), "<f4", chunks=(1 << 20,), compression="gzip")


def text(file: h5py.File, dataset: str) -> None:
    del file[dataset]
    file[dataset] = "not numbers"


def nothing(file: h5py.File, dataset: str) -> None:
    del file[dataset]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (external_link, "is missing or a link, which is not followed"),
        (soft_link, "is missing or a link, which is not followed"),
        (external_storage, "is not stored in the file itself"),
        (virtual, "is not stored in the file itself"),
        (enormous, "is not a tensor of a ResNet. Received: float32"),
        (text, "is not a tensor of a ResNet. Received: object"),
        (nothing, "missing|has these blocks|no tensor|no convolution"),
    ],
)
@pytest.mark.parametrize("name", ["network.weights.h5", "network.h5"])
def test_broken_and_malicious_hdf5(
    name: str, damage: Callable[[h5py.File, str], None], message: str, tmp_path: Path
) -> None:
    path = saved(small_network(), tmp_path / name)
    of_layer = {"network.h5": "model_weights/conv1/conv1/kernel"}
    with h5py.File(path, "r+") as file:
        damage(file, of_layer.get(name, "layers/conv2d/vars/0"))
    with pytest.raises(ConversionFailed, match=message):
        read_checkpoint(path)


def test_a_dataset_that_no_layer_lists(tmp_path: Path) -> None:
    path = saved(small_network(), tmp_path / "network.h5")
    with h5py.File(path, "r+") as file:
        file["model_weights/conv1/conv1/scale"] = np.zeros(64, np.float32)
    with pytest.raises(ConversionFailed, match="lists no layer for conv1/conv1/scale"):
        read_checkpoint(path)


def test_names_split_over_attributes(tmp_path: Path) -> None:
    """Keras splits lists of names that are too long for one attribute."""
    path = saved(small_network(), tmp_path / "network.h5")
    expected = read_checkpoint(path)
    with h5py.File(path, "r+") as file:
        attributes = file["model_weights"].attrs
        names = list(attributes["layer_names"])
        del attributes["layer_names"]
        attributes["layer_names0"], attributes["layer_names1"] = names[:30], names[30:]
    assert identify(path) == "keras_h5"
    assert read_checkpoint(path).tensors.keys() == expected.tensors.keys()


@pytest.mark.parametrize("name", ["network.keras", "network.weights.h5", "network.h5"])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_part_of_a_file(name: str, keep: float, tmp_path: Path) -> None:
    path = saved(small_network(), tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ConversionFailed, match=re.escape(name)):
        read_checkpoint(path)


@pytest.mark.parametrize("missing", ["config.json", "model.weights.h5"])
def test_a_keras_file_without_a_part(missing: str, tmp_path: Path) -> None:
    path = saved(small_network(), tmp_path / "network.keras")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != missing}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ConversionFailed, match=rf"There is no {missing} in it"):
        read_checkpoint(path, format="keras_v3")
