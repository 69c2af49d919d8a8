"""The files of a folder and of those in it, by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from service.scoring.errors import InvalidInput
from service.scoring.filesystem import Place, read_location
from service.scoring.sources.item import Item, shown

# Names are packed so many at a time.
CHUNK = 16384


@dataclass(frozen=True, slots=True)
class FolderSource:
    """Every file whose name does not begin with a dot; links to folders are not followed.

    left_out: real paths of files and folders, such as the job's own output.
    Of the folder that is being listed the names are held in memory, some 50 bytes each.
    """

    place: Place
    max_bytes: int
    left_out: frozenset[str] = frozenset()

    def items(self) -> Iterator[Item]:
        if self.place.is_local:
            root = self.place.path.rstrip("/") or "/"
            real = os.path.realpath(root)
            left_out = {
                os.fsencode(os.path.join(root, os.path.relpath(path, real)))
                for path in self.left_out
                if os.path.commonpath([real, path]) == real
            }
            yield from self._local(os.fsencode(root), left_out)
        else:
            yield from self._remote(self.place.path)

    def count(self) -> int:
        return sum(1 for _ in self.items())

    def _local(self, folder: bytes, left_out: set[bytes]) -> Iterator[Item]:
        try:
            names = _sorted(_entries(folder))
        except OSError as error:
            # Not the empty folder that it is not: whoever may list it starts the job again.
            raise InvalidInput(f"{shown(os.fsdecode(folder))} can't be listed: {error}") from error
        for name in names:
            path = os.path.join(folder, name.rstrip(b"/"))
            if path in left_out:
                continue
            if name.endswith(b"/"):
                yield from self._local(path, left_out)
            else:
                yield file_item(os.fsdecode(path), self.max_bytes)

    def _remote(self, folder: str) -> Iterator[Item]:
        found = self.place.filesystem.get_file_info(fs.FileSelector(folder))
        for info in sorted(found, key=lambda info: str(info.base_name)):
            if info.base_name.startswith("."):
                continue
            if info.type == fs.FileType.Directory:
                yield from self._remote(info.path)
            else:
                name, location = self.place.within(info.path)
                yield file_item(location, self.max_bytes, name)


def file_item(location: str, max_bytes: int, name: str | None = None) -> Item:
    """A file or an address by itself. name: in the output, by default the location."""
    path = shown(name or location)
    # Another machine gets its name as text, which it may not be.
    sent = location if shown(location) == location else None
    return Item(path, partial(read_location, location, max_bytes), sent)


def _entries(folder: bytes) -> Iterator[bytes]:
    """Names, those of folders with a slash at the end."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(b"."):
                is_folder = entry.is_dir(follow_symlinks=False)
                yield entry.name + b"/" if is_folder else entry.name


def _sorted(names: Iterator[bytes]) -> Iterator[bytes]:
    """By their bytes, from packed arrays: a million strings would take ten times the memory."""
    chunks: list[Any] = []
    chunk: list[bytes] = []
    for name in names:
        chunk.append(name)
        if len(chunk) == CHUNK:
            chunks.append(pa.array(chunk, pa.binary()))
            chunk = []
    chunks.append(pa.array(chunk, pa.binary()))
    packed = pa.concat_arrays(chunks)
    del chunks
    order = pc.array_sort_indices(packed)
    for start in range(0, len(packed), CHUNK):
        yield from packed.take(order[start : start + CHUNK]).to_pylist()
