"""Reads arrays from untrusted HDF5 files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from typing import IO

import h5py

from model_builder.checkpoints.formats.byte_budget import FILE_BYTES_LIMIT, ByteBudget
from model_builder.errors import ConversionFailed

NAME_CHARACTERS = 1000


@contextmanager
def opened(source: IO[bytes], name: str) -> Iterator[h5py.File]:
    """The file, read-only. Its heaps are sound (`check_heaps`).

    Raises ConversionFailed where it is broken.
    """
    source.seek(0)
    try:
        with h5py.File(source, "r") as file:
            yield file
    except RecursionError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, OverflowError) as error:
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


def measured(datasets: Iterable[h5py.Group | h5py.Dataset], file: str) -> int:
    """The bytes of all in float32. Call it before any is read.

    file: its name. Raises ConversionFailed on data outside the file, or too much.
    """
    budget, total_bytes = ByteBudget(file), 0
    for dataset in datasets:
        if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
            raise ConversionFailed(f"{dataset.name} is not stored in the file itself")
        if dataset.dtype.kind != "f" or dataset.nbytes > FILE_BYTES_LIMIT:
            raise ConversionFailed(
                f"{dataset.name} is not a tensor of a ResNet. "
                f"Received: {dataset.dtype} {dataset.shape}, {dataset.nbytes} bytes"
            )
        # A chunk is unpacked whole, and may be larger than the dataset.
        chunk_bytes = dataset.dtype.itemsize * math.prod(dataset.chunks or ())
        budget.take(dataset.name, max(dataset.nbytes, 4 * dataset.size, chunk_bytes))
        total_bytes += 4 * dataset.size
    return total_bytes


def is_counter(dataset: h5py.Group | h5py.Dataset) -> bool:
    """Whether it is an integer, or the two of a seed: how often something was counted or drawn.

    Normalization and the layers of augmentation have one each.
    """
    return (
        isinstance(dataset, h5py.Dataset)
        and dataset.dtype.kind in "iu"
        and dataset.shape in ((), (1,), (2,))
    )


def names(group: h5py.Group, attribute: str, string_bytes: int) -> list[str]:
    """The names in an attribute, which Keras splits when long: attribute0, attribute1, ...

    string_bytes: of the file's largest heap. Raises ConversionFailed.
    Source: keras/src/legacy/saving/legacy_h5_format.py, `load_attributes_from_hdf5_group`.
    """
    numbered = (f"{attribute}{index}" for index in count())
    pieces = [p for p in (attribute,) if p in group.attrs] or list(
        takewhile(group.attrs.__contains__, numbered)
    )
    if not pieces:
        raise ConversionFailed(f"{group.name} has no attribute {attribute!r}")
    found: list[str] = []
    for piece in pieces:
        # Each of the names may be one and the same long string.
        elements = math.prod(group.attrs.get_id(piece).shape)
        ByteBudget(f"{group.name} {piece}").take("its names", elements * string_bytes)
        found += map(text, group.attrs[piece])
    if any(len(name) > NAME_CHARACTERS for name in found):
        raise ConversionFailed(f"{group.name} has names of more than {NAME_CHARACTERS} characters")
    return found


def attribute(group: h5py.Group, name: str) -> str | None:
    """A text, which is no longer than the file; None where there is none of that name.

    Raises ConversionFailed where it is something else.
    """
    if name not in group.attrs:
        return None
    stated = group.attrs.get_id(name)
    if stated.shape != () or not h5py.check_string_dtype(stated.dtype):
        raise ConversionFailed(f"{group.name} has no text in {name!r}")
    return text(group.attrs[name])


def text(value: str | bytes) -> str:
    """An attribute as str."""
    return value.decode() if isinstance(value, bytes) else value
