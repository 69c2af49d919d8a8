"""Keras 3's own files: `.weights.h5`, and `.keras`, a zip with one of them and the network's JSON.

Layers lie at paths that number them by class, "layers/conv2d_5/vars/0"; their names are an
attribute there, and in the JSON. Source: keras/src/saving/saving_lib.py.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py

from model_builder.checkpoints.formats.hdf5 import array, member, opened, text
from model_builder.checkpoints.formats.keras_config import KerasConfig, read_config
from model_builder.checkpoints.formats.keras_names import by_field, to_state_dict
from model_builder.checkpoints.formats.state_dict import FILE_BYTES_LIMIT, Array, StateDict
from model_builder.errors import ConversionFailed

WEIGHTS, CONFIG = "model.weights.h5", "config.json"
# Saved with a network that was trained, and no part of what it computes.
IGNORED = {"optimizer", "seed_generator"}


def read(path: Path) -> StateDict:
    """Raises ConversionFailed."""
    if not zipfile.is_zipfile(path):
        with opened(path, path.name) as file:
            return to_state_dict(_published(file, None), None)
    try:
        with zipfile.ZipFile(path) as archive:
            config = read_config(json.loads(_file(archive, CONFIG)))
            weights = io.BytesIO(_file(archive, WEIGHTS))
    except (zipfile.BadZipFile, ValueError) as error:
        raise ConversionFailed(f"{path.name} is no .keras file: {error}") from error
    with opened(weights, path.name) as file:
        return to_state_dict(_published(file, config), config)


def _file(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        size_bytes = archive.getinfo(name).file_size
    except KeyError:
        raise ConversionFailed(
            f"There is no {name} in it. Received: {archive.namelist()}"
        ) from None
    if size_bytes > FILE_BYTES_LIMIT:
        raise ConversionFailed(f"{name} is too large for a ResNet: {size_bytes} bytes")
    return archive.read(name)


def _published(file: h5py.File, config: KerasConfig | None) -> dict[str, Array]:
    published: dict[str, Array] = {}
    for path, variables in _variables(file, ""):
        name = variables.attrs.get("name") or (config and config.names.get(path))
        if not name:
            raise ConversionFailed(
                f"{path} has no name: save the network anew, with Keras 3.6 or later, or as .keras"
            )
        arrays = [array(member(variables, str(index))) for index in range(len(variables))]
        for key, values in by_field(text(name), arrays).items():
            if key in published:
                raise ConversionFailed(f"Two layers are called {text(name)}")
            published[key] = values
    return published


def _variables(group: h5py.Group, path: str) -> Iterator[tuple[str, h5py.Group]]:
    """The groups that hold a layer's variables, each with the layer's path."""
    for name in group:
        child = member(group, name)
        if name in IGNORED or not isinstance(child, h5py.Group):
            continue
        if name == "vars":
            if len(child):
                yield path, child
        else:
            yield from _variables(child, f"{path}/{name}".lstrip("/"))
