"""Files of `torch.save` before PyTorch 1.6, or with `_use_new_zipfile_serialization=False`.

Five pickles, one after the other: a magic number, a version, the machine, the object and the keys
of its storages; then each storage, its length before it. Source: `_legacy_load` in
torch/serialization.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from model_builder.checkpoints.formats.pytorch.content import Content, storage_of
from model_builder.checkpoints.formats.pytorch.pickles.stream import Stream
from model_builder.checkpoints.formats.pytorch.pickles.unpickler import Unpickler
from model_builder.checkpoints.formats.pytorch.pickles.values import Malformed, Storage
from model_builder.checkpoints.formats.pytorch.tensors import ITEM_BYTES, Storages

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
LENGTH_BYTES = 8


@contextmanager
def opened_legacy(path: Path) -> Iterator[Content]:
    """The object that was saved; storages are read while it is open. Raises Malformed.

    A pickle that `torch.save` did not write is read too: it may hold NumPy arrays.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        blocks: dict[str, Storage] = {}
        first, foreign = _load(file, size, blocks)
        if first != MAGIC:
            yield Content(first, foreign, Storages(path.name, _nothing))
            return
        version, _ = _load(file, size, blocks)
        machine, _ = _load(file, size, blocks)
        if version != VERSION or not isinstance(machine, dict):
            raise Malformed("its format has an unknown version")
        if machine.get("little_endian") is not True:
            raise Malformed("its numbers are big-endian, which is not read")
        saved, foreign = _load(file, size, blocks)
        keys, _ = _load(file, size, blocks)
        places = _places(file, size, keys, blocks)

        def read(storage: Storage) -> bytes:
            item_bytes = ITEM_BYTES[storage.dtype]
            file.seek(places[storage.key] + storage.start * item_bytes)
            return file.read(storage.numel * item_bytes)

        yield Content(saved, foreign, Storages(path.name, read))


def _load(file: BinaryIO, size: int, blocks: dict[str, Storage]) -> tuple[Any, tuple[str, ...]]:
    def persistent(argument: Any) -> Any:
        return _persistent(argument, blocks)

    unpickler = Unpickler(persistent)
    found = unpickler.load(Stream(file, size - file.tell()))
    return found, tuple(unpickler.foreign)


def _persistent(argument: Any, blocks: dict[str, Storage]) -> Any:
    """("storage", type, key, location, numel, view), or ("module", class, file, source)."""
    if isinstance(argument, tuple) and len(argument) == 4 and argument[0] == "module":
        return argument[1]
    if not isinstance(argument, tuple) or len(argument) != 6 or argument[0] != "storage":
        raise Malformed("the pickle refers to something else than a storage")
    block = storage_of(argument[1], argument[2], argument[4])
    known = blocks.setdefault(block.key, block)
    if (known.dtype, known.numel) != (block.dtype, block.numel):
        raise Malformed(f"storage {block.key[:100]} has two types or sizes")
    if (view := argument[5]) is None:
        return known
    if not isinstance(view, tuple) or len(view) != 3:
        raise Malformed(f"storage {block.key[:100]} is seen in part, without its bounds")
    part = storage_of(argument[1], block.key, view[2])
    start = view[1]
    if type(start) is not int or not 0 <= start <= block.numel - part.numel:
        raise Malformed(f"a part of storage {block.key[:100]} lies outside it")
    return replace(part, start=start)


def _places(file: BinaryIO, size: int, keys: Any, blocks: dict[str, Storage]) -> dict[str, int]:
    """Where the numbers of each storage begin. Raises Malformed unless all are in the file."""
    if not isinstance(keys, list) or any(not isinstance(key, str) for key in keys):
        raise Malformed("it has no list of its storages")
    if len(set(keys)) < len(keys) or set(keys) != blocks.keys():
        raise Malformed("the list of its storages is not that of its tensors")
    places: dict[str, int] = {}
    at = file.tell()
    for key in keys:
        file.seek(at)
        stated = int.from_bytes(file.read(LENGTH_BYTES), "little")
        block = blocks[key]
        places[key] = at + LENGTH_BYTES
        at = places[key] + block.numel * ITEM_BYTES[block.dtype]
        if stated != block.numel or at > size:
            raise Malformed(
                f"storage {key[:100]} of {block.numel} numbers is not complete in the file"
            )
    return places


def _nothing(_: Storage) -> bytes:
    raise Malformed("its tensors have no storages")
