"""Published tensors, in whatever layout they were published, to the layers of our network.

Every layout is read as data into `{published name: array}`, renamed to our layers, and assigned:
complete or an error. Kernels are HWIO and dense kernels [in, out] in both Keras layouts, so
no array changes shape.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import keras
import numpy as np
import numpy.typing as npt

from model_builder.architecture import Architecture
from model_builder.checkpoints import NpmSource, UrlSource
from model_builder.errors import ConversionFailed, VerificationFailed
from model_builder.sources import LocalFile

Array = npt.NDArray[np.float32]
Tensors = dict[str, Array]

SHARD_BYTES_LIMIT = 64 << 20
BATCH_NORM_FIELDS = ("gamma", "beta", "moving_mean", "moving_variance")


def read_tensors(file: LocalFile, architecture: Architecture) -> Tensors:
    """The file's tensors under our names: "conv1/kernel", "layer1_0_bn1/gamma", "fc/bias", ..."""
    if isinstance(file.source, UrlSource):
        return rename(read_keras_h5(file.path), keras_layer_name)
    return rename(read_tfjs(file.path, file.source), tfjs_layer_name(architecture))


def read_keras_h5(path: Path) -> Tensors:
    """Keras's legacy weights file: a group a layer, whose attributes name its datasets.

    Source: keras/src/legacy/saving/legacy_h5_format.py, `load_weights_from_hdf5_group`.
    """
    tensors: Tensors = {}
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            for layer in root.attrs["layer_names"]:
                layer_name = _text(layer)
                for weight in root[layer_name].attrs["weight_names"]:
                    field = _text(weight).rsplit("/", 1)[-1].removesuffix(":0")
                    dataset = root[layer_name][_text(weight)]
                    tensors[f"{layer_name}/{field}"] = np.asarray(dataset, np.float32)
    # h5py tells of a dataset that is not numbers by a TypeError.
    except (OSError, KeyError, TypeError) as error:
        raise ConversionFailed(f"{path} is no HDF5 weights file of Keras: {error}") from error
    return tensors


def read_tfjs(path: Path, source: NpmSource) -> Tensors:
    """A TensorFlow.js layers model, read out of the package's tarball without unpacking it.

    Source of the format: `weightsManifest` of model.json, in tfjs-core's io/types.ts.
    """
    prefix = f"package/{source.folder}/"
    files = _read_package(path, prefix)
    try:
        groups = json.loads(files["model.json"])["weightsManifest"]
        shards = {shard: files[shard] for group in groups for shard in group["paths"]}
    except KeyError as error:
        raise ConversionFailed(f"{path.name} has no {error} in {prefix}") from error
    except ValueError as error:
        raise ConversionFailed(f"{path.name}: {prefix}model.json: {error}") from error
    digest = hashlib.sha256(b"".join(shards.values())).hexdigest()
    if digest != source.shards_sha256:
        raise VerificationFailed(
            f"The shards in {path.name} are not the published ones: expected sha256 "
            f"{source.shards_sha256}. Received: {digest}"
        )
    tensors: Tensors = {}
    for group in groups:
        stream = io.BytesIO(b"".join(shards[shard] for shard in group["paths"]))
        for weight in group["weights"]:
            name, shape, dtype = weight["name"], weight["shape"], weight["dtype"]
            if dtype != "float32" or "quantization" in weight:
                quantized = ", quantized" if "quantization" in weight else ""
                raise ConversionFailed(f"{name} is not plain float32. Received: {dtype}{quantized}")
            content = stream.read(4 * math.prod(shape))
            if len(content) < 4 * math.prod(shape):
                raise ConversionFailed(f"The shards end within {name} {shape}")
            tensors[name] = np.frombuffer(content, "<f4").reshape(shape)
        if left := stream.read():
            raise ConversionFailed(f"The shards have {len(left)} bytes more than the tensors")
    return tensors


def _read_package(path: Path, prefix: str) -> dict[str, bytes]:
    """Files of an npm package whose names begin with `prefix`, by the rest of their names."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as package:
            for member in package:
                content = package.extractfile(member) if member.name.startswith(prefix) else None
                if content is None:
                    continue
                if member.size > SHARD_BYTES_LIMIT:
                    raise ConversionFailed(
                        f"{member.name} is too large for a shard: {member.size} bytes"
                    )
                files[member.name.removeprefix(prefix)] = content.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ConversionFailed(f"{path} is no npm package: {error}") from error
    return files


def rename(published: Mapping[str, Array], layer_name: Callable[[str], str | None]) -> Tensors:
    """Our names for published ones. Raises ConversionFailed on a layer that has no place here."""
    tensors: Tensors = {}
    strange = []
    for key, values in published.items():
        layer, _, field = key.rpartition("/")
        name = layer_name(layer)
        if name is None:
            strange.append(key)
        else:
            tensors[f"{name}/{field}"] = values
    if strange:
        raise ConversionFailed(f"No layer of the network takes {', '.join(sorted(strange))}")
    return tensors


def keras_layer_name(layer: str) -> str | None:
    """Names of keras.applications: conv1_conv, conv2_block1_0_bn, predictions."""
    known = {"conv1_conv": "conv1", "conv1_bn": "bn1", "predictions": "fc", "probs": "fc"}
    if layer in known:
        return known[layer]
    match = re.fullmatch(r"conv([2-5])_block(\d+)_([0-3])_(conv|bn)", layer)
    if match is None:
        return None
    stage, block, index, kind = match.groups()
    prefix = f"layer{int(stage) - 1}_{int(block) - 1}"
    if index == "0":
        return f"{prefix}_downsample_{'0' if kind == 'conv' else '1'}"
    return f"{prefix}_{kind}{index}"


def tfjs_layer_name(architecture: Architecture) -> Callable[[str], str | None]:
    """Caffe's names, as Keras had them before 2019: res2a_branch2a, bn2a_branch1, fc1000.

    A stage's blocks are lettered: a, b, c, ...; branch 1 is the shortcut.
    """
    classifier = f"fc{architecture.classes}"

    def layer_name(layer: str) -> str | None:
        known = {"conv1": "conv1", "bn_conv1": "bn1", classifier: "fc"}
        if layer in known:
            return known[layer]
        match = re.fullmatch(r"(res|bn)([2-5])([a-z])_branch(1|2[abc])", layer)
        if match is None:
            return None
        kind, stage, letter, branch = match.groups()
        prefix = f"layer{int(stage) - 1}_{ord(letter) - ord('a')}"
        if branch == "1":
            return f"{prefix}_downsample_{'0' if kind == 'res' else '1'}"
        return f"{prefix}_{'conv' if kind == 'res' else 'bn'}{'abc'.index(branch[1]) + 1}"

    return layer_name


def assign(network: keras.Model, tensors: Mapping[str, Array], architecture: Architecture) -> None:
    """Fills every variable of the network, and uses every tensor, or raises ConversionFailed.

    A convolution's bias has no variable here; the batch norm behind it takes it in exactly,
    since BN(Wx + b) is BN(Wx) with its moving mean less b.
    """
    tensors = dict(tensors)
    for spec in architecture.convolutions():
        bias = tensors.pop(f"{spec.name}/bias", None)
        mean = f"{spec.batch_norm}/moving_mean"
        if bias is not None and mean in tensors:
            tensors[mean] = tensors[mean] - bias
    # Keras's own weight paths begin with the layer's name and end with the field's.
    variables = {f"{v.path.split('/')[-2]}/{v.path.split('/')[-1]}": v for v in network.weights}
    if missing := sorted(variables.keys() - tensors.keys()):
        raise ConversionFailed(f"The checkpoint has no tensor for {', '.join(missing)}")
    if unused := sorted(tensors.keys() - variables.keys()):
        raise ConversionFailed(f"The network has no variable for {', '.join(unused)}")
    for name, variable in variables.items():
        if tuple(variable.shape) != tensors[name].shape:
            raise ConversionFailed(
                f"{name} has shape {tuple(variable.shape)} in the network. "
                f"Received: {tensors[name].shape}"
            )
    for name, variable in variables.items():
        variable.assign(tensors[name])


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
