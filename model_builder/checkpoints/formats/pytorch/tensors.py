"""Tensors that are not read until the network's are known, and their numbers as float32."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model_builder.checkpoints.formats.byte_budget import ByteBudget
from model_builder.checkpoints.formats.pytorch.pickles.values import (
    InlineTensor,
    Malformed,
    Storage,
    StoredTensor,
)
from model_builder.checkpoints.formats.state_dict import Array

FLOATS = {"float64": "<f8", "float32": "<f4", "float16": "<f2"}
# NumPy has no bfloat16, which is the upper half of a float32.
UPPER_HALF = {"bfloat16": "<u2"}
ITEM_BYTES = {
    **dict.fromkeys(("complex128",), 16),
    **dict.fromkeys(("float64", "int64", "complex64"), 8),
    **dict.fromkeys(("float32", "int32", "qint32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool", "qint8", "quint8", "quint4x2", "quint2x4", ""), 1),
}


@dataclass(frozen=True, slots=True, eq=False)
class LazyTensor:
    """A tensor in a file.

    dtype: PyTorch's name, "float32". read: its values in float32, in PyTorch's layout; raises
    Malformed where they are not in the file.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Array]

    @property
    def is_float(self) -> bool:
        """Whether `read` can give its numbers."""
        return self.dtype in FLOATS or self.dtype in UPPER_HALF

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def to_float32(data: bytes | bytearray, dtype: str) -> Array:
    """The numbers in `data`, little-endian. What is too large for a float32 becomes infinite."""
    if dtype in UPPER_HALF:
        values: Array = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
        return values
    with np.errstate(over="ignore"):
        return np.frombuffer(data, FLOATS[dtype]).astype(np.float32)


class Storages:
    """Reads storages within a budget, and keeps the last: tensors that share one follow another."""

    def __init__(self, file: str, read: Callable[[Storage], bytes]) -> None:
        self._budget = ByteBudget(file)
        self._read = read
        self._last: tuple[Storage, bytes] | None = None

    def tensor(self, stored: StoredTensor) -> LazyTensor:
        """The tensor, with nothing read."""
        return LazyTensor(stored.shape, stored.dtype, lambda: self._values(stored))

    def _values(self, stored: StoredTensor) -> Array:
        size, last = 1, stored.offset
        for length, stride in zip(stored.shape, stored.strides, strict=True):
            size *= length
            last += (length - 1) * stride
        if not size:
            return np.zeros(stored.shape, np.float32)
        code = np.dtype(FLOATS.get(stored.dtype) or UPPER_HALF[stored.dtype])
        numbers = np.frombuffer(self._data(stored.storage), code)
        if last >= len(numbers):
            raise Malformed(
                f"a tensor takes {last + 1} numbers of a storage. Received: {len(numbers)}"
            )
        view = np.lib.stride_tricks.as_strided(
            numbers[stored.offset :],
            stored.shape,
            [stride * code.itemsize for stride in stored.strides],
            writeable=False,
        )
        if stored.dtype in UPPER_HALF:
            values: Array = (view.astype("<u4", order="C") << 16).view("<f4")
            return values
        with np.errstate(over="ignore"):
            return view.astype(np.float32, order="C")

    def _data(self, storage: Storage) -> bytes:
        if self._last is None or self._last[0] != storage:
            self._last = None
            size_bytes = storage.numel * ITEM_BYTES[storage.dtype]
            self._budget.take(f"storage {storage.key[:100]}", size_bytes)
            self._last = storage, self._read(storage)
        return self._last[1]


def inline(array: InlineTensor) -> LazyTensor:
    """A NumPy array of the pickle itself."""

    def read() -> Array:
        values = np.frombuffer(array.data, array.dtype)
        with np.errstate(over="ignore"):
            shaped = values.reshape(array.shape, order="F" if array.order == "F" else "C")
            return shaped.astype(np.float32, order="C")

    return LazyTensor(array.shape, f"float{8 * int(array.dtype[-1])}", read)
