"""Keras 3 files: `.weights.h5`, and `.keras`, a zip of one with the network's JSON config.

The path of a layer numbers it by class, "layers/conv2d_5/vars/0"; its name is an attribute, and in
the config. Source: keras/src/saving/saving_lib.py.
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
# A trained network is saved with these; inference does not use them.
IGNORED = {"optimizer", "seed_generator"}


def read(path: Path) -> StateDict:
    """The tensors of a `.weights.h5` or `.keras` file. Raises ConversionFailed."""
    if not zipfile.is_zipfile(path):
        with opened(path, path.name) as file:
            return to_state_dict(_published(file, None), None)
    try:
        with zipfile.ZipFile(path) as archive:
            config = read_config(json.loads(_file(archive, CONFIG)))
            weights = io.BytesIO(_file(archive, WEIGHTS))
    except (zipfile.BadZipFile, ValueError) as error:
        raise ConversionFailed(f"{path.name} is not a .keras file: {error}") from error
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
                f"{path} has no name: save the network again, with Keras 3.6 or later, or as .keras"
            )
        arrays = [array(member(variables, str(index))) for index in range(len(variables))]
        for key, values in by_field(text(name), arrays).items():
            if key in published:
                raise ConversionFailed(f"Two layers have one name. Received: {text(name)}")
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
