"""Reads arrays from untrusted HDF5 files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from model_builder.checkpoints.formats.state_dict import FILE_BYTES_LIMIT, Array
from model_builder.errors import ConversionFailed


@contextmanager
def opened(source: Path | BinaryIO, name: str) -> Iterator[h5py.File]:
    """The file, read-only. Raises ConversionFailed where h5py finds it broken."""
    try:
        with h5py.File(source, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ConversionFailed(f"{name} is not an HDF5 weights file of Keras: {error}") from error


def member(group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset:
    """The group or dataset at `path`. No link is followed: it can name any file on the disk."""
    found: h5py.Group | h5py.Dataset = group
    for part in path.split("/"):
        if not isinstance(found.get(part, getlink=True), h5py.HardLink):
            raise ConversionFailed(
                f"{found.name}/{part} is missing or a link, which is not followed"
            )
        found = found[part]
    return found


def array(dataset: h5py.Group | h5py.Dataset) -> Array:
    """The values in float32. Raises ConversionFailed on data outside the file."""
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ConversionFailed(f"{dataset.name} is not stored in the file itself")
    if dataset.dtype.kind != "f" or dataset.nbytes > FILE_BYTES_LIMIT:
        raise ConversionFailed(
            f"{dataset.name} is not a tensor of a ResNet. "
            f"Received: {dataset.dtype} {dataset.shape}, {dataset.nbytes} bytes"
        )
    return np.asarray(dataset, np.float32)


def names(group: h5py.Group, attribute: str) -> list[str]:
    """The names in an attribute, which Keras splits when long: attribute0, attribute1, ...

    Source: keras/src/legacy/saving/legacy_h5_format.py, `load_attributes_from_hdf5_group`.
    """
    numbered = (f"{attribute}{index}" for index in count())
    pieces = [p for p in (attribute,) if p in group.attrs] or list(
        takewhile(group.attrs.__contains__, numbered)
    )
    if not pieces:
        raise ConversionFailed(f"{group.name} has no attribute {attribute!r}")
    return [text(name) for piece in pieces for name in group.attrs[piece]]


def text(value: str | bytes) -> str:
    """An attribute as str."""
    return value.decode() if isinstance(value, bytes) else value
