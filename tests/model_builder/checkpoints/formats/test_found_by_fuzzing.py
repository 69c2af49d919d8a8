"""Files that the fuzzer found, each in its smallest form: all are refused in one line."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import save

from model_builder.checkpoints.formats.keras.config import read_config
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.errors import ConversionFailed


def refusal(path: Path) -> str:
    with pytest.raises(ConversionFailed) as raised:
        read_checkpoint(path)
    message = str(raised.value)
    assert message.isprintable()
    return message


@pytest.mark.parametrize("described", ["", "\ufeff{}", "{", "[1"])
def test_a_config_in_h5_that_is_no_json(tmp_path: Path, described: str) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        layer = file.create_group("model_weights/conv1")
        layer["kernel"] = np.ones((1, 1, 2, 2), np.float32)
        layer.attrs["weight_names"] = [b"kernel"]
        file["model_weights"].attrs["layer_names"] = [b"conv1"]
        file.attrs["model_config"] = described
    assert "model_config that is no JSON" in refusal(path)


@pytest.mark.parametrize("name", [None, 7, ["conv1"]])
def test_a_layer_whose_name_is_no_text(name: object) -> None:
    layer = {"class_name": "Conv2D", "config": {"name": name, "strides": [1, 1]}}
    with pytest.raises(ConversionFailed, match="a layer's name is"):
        read_config({"class_name": "Sequential", "config": {"layers": [layer]}})


def keras_zip(path: Path, weights: bytes = b"", config: str = "{}") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", weights)
    return path


def test_a_zip_whose_member_lies_before_the_file(tmp_path: Path) -> None:
    path = keras_zip(tmp_path / "x.keras")
    data = bytearray(path.read_bytes())
    # The directory says that it begins later than it does, so all else is that much earlier.
    at = data.rfind(b"PK\x05\x06") + 16
    begins = struct.unpack_from("<I", data, at)[0]
    struct.pack_into("<I", data, at, begins + 20)
    path.write_bytes(data)
    assert "x.keras" in refusal(path)


def test_an_address_in_h5_that_no_file_has(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.ones(1, np.float32)
    data = bytearray(path.read_bytes())
    driver_information = 48
    data[driver_information] ^= 0x80
    path.write_bytes(data)
    assert "x.h5 is not an HDF5" in refusal(path)


@pytest.mark.parametrize("size", [0, 8, 2**64 - 1, 2**63, 5000])
def test_a_heap_in_h5_that_does_not_end(tmp_path: Path, size: int) -> None:
    """libhdf5 computes without end where the free space in a heap has no bytes."""
    path = tmp_path / "x.weights.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/conv2d/vars")
        group.attrs["name"] = "conv1"
        group["0"] = np.ones((1, 1, 2, 2), np.float32)
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    # Behind the heap's header and the object "conv1" is what is free.
    free = heap + 16 + 16 + 8
    assert data[free : free + 2] == b"\0\0"
    struct.pack_into("<Q", data, free + 8, size)
    path.write_bytes(data)
    assert f"the heap at byte {heap} is broken" in refusal(path)


def test_a_signature_of_h5_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    assert "not of 8 bytes" in refusal(path)


def test_lengths_in_h5_of_other_sizes(tmp_path: Path) -> None:
    path = tmp_path / "x.weights.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.ones(1, np.float32)
    data = bytearray(path.read_bytes())
    data[14] = 4
    path.write_bytes(data)
    assert "not of 8 bytes" in refusal(path)


def test_a_class_with_a_line_break(tmp_path: Path) -> None:
    layer = {"class_name": "a\nb", "module": "m", "config": {"name": "l"}, "inbound_nodes": []}
    described = {"class_name": "Functional", "config": {"layers": [layer]}}
    path = keras_zip(tmp_path / "x.keras", config=json.dumps(described))
    assert "a\\nb" in refusal(path)


def test_a_shard_with_a_name_that_no_file_has(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"fc.weight": "x" * 5000}}))
    assert "in the folder of" in refusal(path)


def test_a_shard_of_tensorflow_js_with_a_name_that_no_file_has(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"weightsManifest": [{"paths": ["x" * 5000], "weights": []}]}))
    message = refusal(path)
    assert "in the folder of" in message
    assert len(message) < 300


def test_a_tensor_of_tensorflow_js_larger_than_any_number(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    weight = {"name": "conv1/kernel", "shape": [10**400], "dtype": "float32"}
    path.write_text(json.dumps({"weightsManifest": [{"paths": ["a.bin"], "weights": [weight]}]}))
    (tmp_path / "a.bin").write_bytes(bytes(8))
    assert "index-sized" in refusal(path)


def test_a_tensor_with_a_long_name_that_a_shard_lacks(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(save({"fc.weight": np.ones(2, np.float32)}))
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"x" * 5000: "a.safetensors"}}))
    message = refusal(path)
    assert message.startswith("a.safetensors lacks xxx")
    assert len(message) < 200
