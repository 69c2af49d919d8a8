"""What a pickle holds, as data: references to tensors, and objects that are never made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class Malformed(ValueError):
    """The bytes are no file of PyTorch's. The message says why, without the file's name."""


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function that the pickle names: "collections.OrderedDict". It is not imported.

    known: whether it is one of those that are read as data.
    """

    name: str
    known: bool


@dataclass(slots=True, eq=False)
class Instance:
    """An object that the pickle would make, with what it would be made from.

    args: of the class or function. state: its attributes. entries, elements: where the object is
    a mapping or a sequence. array: of a NumPy array.
    """

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    entries: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)
    array: InlineTensor | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """A block of numbers beside the pickle, which several tensors may share.

    dtype: PyTorch's name, "float32"; "" where the tensor states it. key: its name in the file.
    numel: how many numbers; bytes where there is no dtype. start: where it begins in the block.
    """

    dtype: str
    key: str
    numel: int
    start: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """A tensor in a storage. offset and strides count numbers, as in PyTorch."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class InlineTensor:
    """A NumPy array, whose numbers are in the pickle.

    dtype: NumPy's, "<f4". order: "C", or "F" for the other order of the axes.
    """

    data: bytes | bytearray
    dtype: str
    shape: tuple[int, ...]
    order: str


def key_of(key: Any) -> Any:
    """A key of a mapping, with a hash that is quick: nested tuples keep their identity only."""
    if isinstance(key, str | bytes | bool | float | None):
        return key
    if isinstance(key, int) and key.bit_length() < 64:
        return key
    return Instance(type(key).__name__, (key,))
