"""Keras 3 files: `.weights.h5`, and `.keras`, a zip of one with the network's JSON config.

The path of a layer numbers it by class, "layers/conv2d_5/vars/0"; its name is an attribute, and in
the config. Source: keras/src/saving/saving_lib.py.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import h5py

from model_builder.checkpoints.formats.byte_budget import (
    FILE_BYTES_LIMIT,
    JSON_BYTES_LIMIT,
)
from model_builder.checkpoints.formats.hdf5 import arrays, attribute, is_counter, member, opened
from model_builder.checkpoints.formats.keras.config import KerasConfig, read_config
from model_builder.checkpoints.formats.keras.names import by_field, to_state_dict
from model_builder.checkpoints.formats.state_dict import Array, StateDict
from model_builder.errors import ConversionFailed
from model_builder.system.printable import shortlist

# What `zipfile` raises; RuntimeError for an encrypted file, OSError for a place before the file.
BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, OSError)
CHUNK_BYTES = 1 << 20
WEIGHTS, CONFIG = "model.weights.h5", "config.json"
# A trained network is saved with these; inference does not use them.
IGNORED = {"optimizer", "seed_generator"}


def read(path: Path) -> StateDict:
    """The tensors of a `.weights.h5` or `.keras` file. Raises ConversionFailed."""
    if not zipfile.is_zipfile(path):
        with opened(path, path.name) as file:
            return to_state_dict(_published(file, None, path.name), None)
    try:
        with zipfile.ZipFile(path) as archive:
            config = read_config(json.loads(_file(archive, CONFIG, JSON_BYTES_LIMIT)))
            weights = io.BytesIO(_file(archive, WEIGHTS, FILE_BYTES_LIMIT))
    except RecursionError:
        raise
    except (*BROKEN_ZIP, ValueError) as error:
        raise ConversionFailed(f"{path.name} is not a .keras file: {error}") from error
    with opened(weights, path.name) as file:
        return to_state_dict(_published(file, config, path.name), config)


def _file(archive: zipfile.ZipFile, name: str, limit_bytes: int) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ConversionFailed(
            f"There is no {name} in it. Received: {shortlist(archive.namelist())}"
        ) from None
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The others unpack all that they are given at once, however much that is.
        raise ConversionFailed(f"{name} is neither stored nor deflated")
    too_large = ConversionFailed(
        f"{name} is too large for a ResNet. Received: more than {limit_bytes} bytes"
    )
    if info.file_size > limit_bytes:
        raise too_large
    content = bytearray()
    with archive.open(info) as file:
        # In parts: what it unpacks to may not be what its header says.
        while part := file.read(CHUNK_BYTES):
            content += part
            if len(content) > limit_bytes:
                raise too_large
    return bytes(content)


def _published(file: h5py.File, config: KerasConfig | None, source: str) -> dict[str, Array]:
    """source: the file's name."""
    layers: list[tuple[str, int]] = []
    datasets: list[h5py.Group | h5py.Dataset] = []
    for path, variables in _variables(file, "", set()):
        name = attribute(variables, "name") or (config and config.names.get(path))
        if not name:
            raise ConversionFailed(
                f"{path} has no name: save the network again, with Keras 3.6 or later, or as .keras"
            )
        found = [member(variables, str(index)) for index in range(len(variables))]
        found = [one for one in found if not is_counter(one)]
        layers.append((name, len(found)))
        datasets += found
    published: dict[str, Array] = {}
    values = iter(arrays(datasets, source))
    for name, count in layers:
        for key, tensor in by_field(name, list(islice(values, count))).items():
            if key in published:
                raise ConversionFailed(f"Two layers have one name. Received: {name}")
            published[key] = tensor
    return published


def _variables(group: h5py.Group, path: str, seen: set[int]) -> Iterator[tuple[str, h5py.Group]]:
    """The groups that hold a layer's variables, each with the layer's path.

    seen: the addresses of groups so far: a group in two places may be within itself.
    """
    for name in group:
        child = member(group, name)
        if name in IGNORED or not isinstance(child, h5py.Group):
            continue
        address = h5py.h5o.get_info(child.id).addr
        if address in seen:
            raise ConversionFailed(f"{path}/{name} is in the file twice")
        seen.add(address)
        if name == "vars":
            if len(child):
                yield path, child
        else:
            yield from _variables(child, f"{path}/{name}".lstrip("/"), seen)
