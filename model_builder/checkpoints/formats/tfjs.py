"""TensorFlow.js layers models: `model.json` and its shards, in a folder or an npm tarball.

Source of the format: `weightsManifest` of model.json, in tfjs-core's io/types.ts.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from model_builder.checkpoints.formats.byte_budget import (
    FILE_BYTES_LIMIT,
    ByteBudget,
    parse_json,
)
from model_builder.checkpoints.formats.keras.config import read_config
from model_builder.checkpoints.formats.keras.names import to_state_dict
from model_builder.checkpoints.formats.recognition.unsupported import refuse_tar
from model_builder.checkpoints.formats.state_dict import Array, StateDict
from model_builder.errors import ConversionFailed, VerificationFailed
from model_builder.system.printable import shortlist
from model_builder.system.regular_file import is_file_name, read_regular_file

MODEL = "model.json"
# Of the files in a tarball without a model, of which the refusal names the weights.
NAMES_LIMIT = 1000
GZIP = b"\x1f\x8b"
TAR, TAR_OFFSET = b"ustar", 257


def read(path: Path, *, folder: str | None = None, shards_sha256: str | None = None) -> StateDict:
    """The tensors of a TensorFlow.js layers model.

    path: a `model.json`, its folder, or an npm tarball, which is read without unpacking.
    folder: the path of `model.json` in the tarball's `package/`; by default it is searched for.
    shards_sha256: of all shards concatenated, in the order of the manifest.
    Raises ConversionFailed, and VerificationFailed where the shards have another hash.
    """
    packed = path.is_file() and path.name != MODEL
    where, files, size_of = _package(path, folder) if packed else _folder(path)
    try:
        model = parse_json(files(MODEL), MODEL)
        groups = model["weightsManifest"]
        budget = ByteBudget(path.name)
        for group in groups:
            # One shard may be named again and again.
            for name in group["paths"]:
                budget.take(name, size_of(name))
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
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ConversionFailed(f"{path.name}: {where}{MODEL}: {error}") from error
    return to_state_dict(published, read_config(described) if described else None)


def is_package(path: Path) -> bool:
    """Whether the file is a tarball or, as npm's are, one that gzip has compressed."""
    with path.open("rb") as file:
        first = file.read(TAR_OFFSET + len(TAR))
    return first.startswith(GZIP) or first.endswith(TAR)


def _published(groups: list[dict[str, Any]], shards: list[bytes]) -> dict[str, Array]:
    published: dict[str, Array] = {}
    for group, content in zip(groups, shards, strict=True):
        stream = io.BytesIO(content)
        for weight in group["weights"]:
            # In a nested network the layer's name has the network's name as a prefix.
            name = "/".join(weight["name"].split("/")[-2:])
            if weight["dtype"] == "int32" and weight["shape"] == []:
                # Normalization's count.
                stream.read(4)
                continue
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


def _folder(path: Path) -> tuple[str, Callable[[str], bytes], Callable[[str], int]]:
    folder = path if path.is_dir() else path.parent

    def member(name: str) -> Path:
        if not is_file_name(name):
            raise ConversionFailed(
                f"A shard must be in the folder of {MODEL}. Received: {name[:100]!r}"
            )
        if not (folder / name).is_file():
            raise KeyError(name)
        return folder / name

    return (
        f"{folder}/",
        lambda name: read_regular_file(member(name), FILE_BYTES_LIMIT),
        lambda name: member(name).stat().st_size,
    )


def _package(
    path: Path, folder: str | None
) -> tuple[str, Callable[[str], bytes], Callable[[str], int]]:
    files: dict[str, bytes] = {}
    others: list[str] = []
    budget = ByteBudget(path.name)
    try:
        # Not "r:*", which would unpack what is compressed twice.
        with (
            _unpacked(path) as unpacked,
            tarfile.open(fileobj=_Bounded(unpacked, path.name), mode="r:") as tar,
        ):
            for member in tar:
                if not member.name.endswith((f"/{MODEL}", ".bin")):
                    if len(others) < NAMES_LIMIT:
                        others.append(member.name)
                    continue
                # A sparse one takes more than is read for it.
                budget.take(member.name, member.size)
                if content := tar.extractfile(member):
                    files[member.name] = content.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ConversionFailed(f"{path} is not an npm package: {error}") from error
    found = [name for name in files if name.endswith(f"/{MODEL}")]
    if not found:
        refuse_tar(path, [*files, *others])
    if folder is None and len(found) != 1:
        raise ConversionFailed(
            f"{path.name} should hold one {MODEL}. Received: {shortlist(found) or 'none'}"
        )
    prefix = f"package/{folder}/" if folder is not None else found[0].removesuffix(MODEL)
    found_files = {name.removeprefix(prefix): data for name, data in files.items()}
    return prefix, found_files.__getitem__, lambda name: len(found_files[name])


def _unpacked(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    return cast(BinaryIO, gzip.open(path)) if packed else path.open("rb")


class _Bounded(io.RawIOBase):
    """What a tarball unpacks to. Its headers too may claim any length, and are read whole."""

    def __init__(self, unpacked: BinaryIO, name: str) -> None:
        self._unpacked = unpacked
        self._budget = ByteBudget(name)

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            raise ValueError("a tarball is read in parts")
        self._budget.take("its headers and files", size)
        return self._unpacked.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if (skipped := offset - self.tell()) > 0:
            self._budget.take("what is skipped in it", skipped)
        return self._unpacked.seek(offset, whence)

    def tell(self) -> int:
        return self._unpacked.tell()
