"""Every tensor in a saved object, by the path of keys that leads to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from model_builder.checkpoints.formats.pytorch.pickles.values import (
    InlineTensor,
    Instance,
    Malformed,
    StoredTensor,
)
from model_builder.checkpoints.formats.pytorch.tensors import LazyTensor, Storages, inline

# Modules that wrap another at any place of a network and change nothing: torch.compile, FSDP,
# activation checkpointing, DeepSpeed.
WRAPPERS = frozenset(
    ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
)
VALUES_LIMIT = 400_000
DEPTH_LIMIT = 60
PATH_CHARACTERS = 500
# Tensors that are stored in another way: quantized, sparse, on no device.
OTHER_TENSORS = ("torch._utils._rebuild_", "torch.Tensor of ")


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A tensor in a file.

    key: its path there, keys joined by dots. name: the same without wrappers.
    mapping: the path of the mapping that holds it, with a dot at its end; "" for the outermost.
    """

    key: str
    name: str
    mapping: str
    tensor: LazyTensor


def found(key: str, mapping: str, tensor: LazyTensor) -> Found:
    """A tensor with its name."""
    if any(wrapper in key for wrapper in WRAPPERS):
        name = ".".join(part for part in key.split(".") if part not in WRAPPERS)
        return Found(key, name, mapping, tensor)
    return Found(key, key, mapping, tensor)


def flatten(saved: Any, storages: Storages) -> list[Found]:
    """All tensors, in their order. Raises Malformed where there are too many values."""
    return list(_Walk(storages).tensors(saved, "", "", 0))


class _Walk:
    def __init__(self, storages: Storages) -> None:
        self._storages = storages
        self._left = VALUES_LIMIT
        # What is being looked through: an object may hold itself.
        self._within: set[int] = set()

    def tensors(self, value: Any, path: str, mapping: str, depth: int) -> Iterator[Found]:
        """path: of the value. mapping: of what holds it."""
        if isinstance(value, StoredTensor):
            yield found(path, mapping, self._storages.tensor(value))
        elif isinstance(value, Instance) and value.array is not None:
            yield found(path, mapping, inline(value.array))
        elif isinstance(value, InlineTensor):
            yield found(path, mapping, inline(value))
        elif isinstance(value, Instance) and value.name.startswith(OTHER_TENSORS):
            yield found(path, mapping, LazyTensor((), value.name, _unreadable))
        elif isinstance(value, dict | list | tuple | Instance):
            if id(value) in self._within or depth > DEPTH_LIMIT:
                return
            self._within.add(id(value))
            here = f"{path}." if path else ""
            for key, inner in self._items(value):
                if isinstance(inner, dict | list | tuple | Instance | StoredTensor | InlineTensor):
                    where = f"{here}{key}"
                    if len(where) > PATH_CHARACTERS:
                        raise Malformed(f"it has a key of more than {PATH_CHARACTERS} characters")
                    yield from self.tensors(inner, where, here, depth + 1)
            self._within.discard(id(value))

    def _items(self, value: Any) -> Iterator[tuple[str, Any]]:
        for key, inner in _pairs(value):
            self._left -= 1
            if self._left < 0:
                raise Malformed(f"it holds more than {VALUES_LIMIT} values")
            if isinstance(key, str | int):
                yield str(key), inner


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    else:
        yield from value.entries.items()
        yield from enumerate(value.elements)
        states = value.state if isinstance(value.state, tuple) else (value.state,)
        for state in states:
            if isinstance(state, dict):
                yield from state.items()


def _unreadable() -> Any:
    raise Malformed("a tensor is not stored as plain numbers")
