"""What the process that reads HDF5 hands out: numbers and JSON, and no object of Python's.

The arrays follow each other in float32. After them comes JSON with their shapes, then its length.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model_builder.errors import ConversionFailed

Array = npt.NDArray[np.float32]
LENGTH = struct.Struct("=Q")
Shape = tuple[int, ...]


class StoredLayer(NamedTuple):
    """path: of its group in the file. name: None where the file states none."""

    path: str
    name: str | None
    shapes: Sequence[Shape]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    path: str
    name: str | None
    arrays: tuple[Array, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Hdf5Content:
    """layers: those with weights, in the file's order. config: the network's JSON, not parsed."""

    layers: tuple[Layer, ...]
    config: str | None


def write_end(file: IO[bytes], layers: Sequence[StoredLayer], config: str | None) -> None:
    """Call it after the arrays of all layers were written to `file`."""
    _write(file, {"layers": layers, "config": config})


def write_refusal(file: IO[bytes], message: str) -> None:
    file.seek(0)
    file.truncate()
    _write(file, {"refused": message})


def read_content(file: IO[bytes]) -> Hdf5Content:
    """The arrays are views of the file's memory, and read-only.

    Raises ConversionFailed with a refusal, and ValueError, TypeError or LookupError where it is
    something else: what ended the process may have written anything.
    """
    json_end = file.seek(0, os.SEEK_END) - LENGTH.size
    if json_end < 0:
        raise ValueError("no length at the end")
    file.seek(json_end)
    arrays_end = json_end - LENGTH.unpack(file.read())[0]
    if arrays_end < 0:
        raise ValueError("a length beyond the file's")
    file.seek(arrays_end)
    said: dict[str, Any] = json.loads(file.read(json_end - arrays_end))
    if "refused" in said:
        raise ConversionFailed(str(said["refused"]))
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    layers, at = [], 0
    for path, name, shapes in said["layers"]:
        arrays = []
        for shape in shapes:
            count = prod(shape)
            array = np.frombuffer(data, np.float32, count, at) if count else np.empty(0, np.float32)
            arrays.append(array.reshape(shape))
            at += array.nbytes
        layers.append(Layer(path, name, tuple(arrays)))
    if at != arrays_end:
        raise ValueError(f"{arrays_end} bytes of arrays, of which {at} are described")
    return Hdf5Content(tuple(layers), said["config"])


def _write(file: IO[bytes], said: dict[str, Any]) -> None:
    text = json.dumps(said).encode()
    file.write(text + LENGTH.pack(len(text)))
