"""Archives: shards in tar, as WebDataset writes them, and zip. Nothing is unpacked to a disk."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from service.scoring.errors import Unreadable
from service.scoring.filesystem import Place
from service.scoring.sources.item import Item, shown

# A shard has labels and other members beside its images.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif"),
)
# What a damaged archive makes the standard library raise.
DAMAGE = (
    *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True, slots=True)
class TarSource:
    """Members in their order, read as a stream; compressed by gzip, bzip2 or xz, too.

    A damaged archive ends with a row that says so.
    """

    place: Place
    max_bytes: int

    def items(self) -> Iterator[Item]:
        try:
            with (
                self.place.filesystem.open_input_stream(self.place.path) as stream,
                tarfile.open(fileobj=stream, mode="r|*") as archive,
            ):
                for member in archive:
                    if member.isfile() and _is_image(member.name):
                        read = partial(self._read, archive, member)
                        name = shown(member.name)
                        yield Item(f"{self.place.uri}/{name}", read, in_turn=True)
                    # It keeps all that it has seen.
                    archive.members = []  # type: ignore[attr-defined]
        except DAMAGE as error:
            yield _damaged(self.place, error)

    def count(self) -> None:
        """Not known without reading all of it."""

    def _read(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
        _check_size(member.size, self.max_bytes)
        try:
            file = archive.extractfile(member)
            return b"" if file is None else file.read()
        except DAMAGE as error:
            raise Unreadable(str(error) or type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class ZipSource:
    """Members in the order of the archive's index."""

    place: Place
    max_bytes: int

    def items(self) -> Iterator[Item]:
        try:
            with self._open() as archive:
                for member in archive.infolist():
                    if not member.is_dir() and _is_image(member.filename):
                        read = partial(self._read, archive, member)
                        name = shown(member.filename)
                        yield Item(f"{self.place.uri}/{name}", read, in_turn=True)
        except DAMAGE as error:
            yield _damaged(self.place, error)

    def count(self) -> int | None:
        return sum(1 for _ in self.items())

    def _open(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.place.filesystem.open_input_file(self.place.path))

    def _read(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
        _check_size(member.file_size, self.max_bytes)
        try:
            with archive.open(member) as file:
                data = file.read(self.max_bytes + 1)
        except DAMAGE as error:
            raise Unreadable(str(error) or type(error).__name__) from error
        # What the index says of its size need not be true.
        _check_size(len(data), self.max_bytes)
        return data


def _is_image(name: str) -> bool:
    last = name.rpartition("/")[2]
    return not last.startswith(".") and last.lower().endswith(SUFFIXES)


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise Unreadable(f"it has {size} bytes or more; at most {max_bytes} are read")


def _damaged(place: Place, error: Exception) -> Item:
    def read() -> bytes:
        raise Unreadable(f"the archive can't be read on: {error or type(error).__name__}")

    return Item(place.uri, read)
