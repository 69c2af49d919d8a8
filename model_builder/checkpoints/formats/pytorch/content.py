"""What a file of `torch.save` holds, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model_builder.checkpoints.formats.pytorch.pickles.known_names import storage_dtype
from model_builder.checkpoints.formats.pytorch.pickles.values import Global, Malformed, Storage
from model_builder.checkpoints.formats.pytorch.tensors import Storages

NUMEL_LIMIT = 1 << 40


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """The saved object, the names of what is not read as data, and the numbers of its tensors."""

    saved: Any
    foreign: tuple[str, ...]
    storages: Storages


def storage_of(type_: Any, key: Any, numel: Any) -> Storage:
    """The storage that a persistent id names. Raises Malformed."""
    dtype = storage_dtype(type_.name) if isinstance(type_, Global) else None
    if dtype is None or not isinstance(key, str) or len(key) > 1000:
        raise Malformed("a storage has an unknown type or no name")
    if type(numel) is not int or not 0 <= numel < NUMEL_LIMIT:
        raise Malformed(f"storage {key[:100]} has no size")
    return Storage(dtype, key, numel)
