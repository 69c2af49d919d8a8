"""The source for an input as a person writes it."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from service.scoring.errors import InvalidInput
from service.scoring.filesystem import place_of
from service.scoring.sources.archives import TarSource, ZipSource
from service.scoring.sources.folder import FolderSource, file_item
from service.scoring.sources.item import Item, Source
from service.scoring.sources.lists import CsvSource, LineSource
from service.scoring.sources.parquet import ParquetSource

Kind = Literal["auto", "folder", "image", "list", "csv", "parquet", "tar", "zip"]
STANDARD_INPUT = "-"
SUFFIXES: dict[str, Kind] = {
    ".txt": "list",
    ".lst": "list",
    ".list": "list",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".tar": "tar",
    ".tgz": "tar",
    ".zip": "zip",
}
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
MAX_SHARDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """How inputs are read. max_bytes: of an image. column: of a CSV or Parquet file.

    separator: of the paths in a list. left_out: real paths that a folder's listing passes over.
    """

    max_bytes: int
    kind: Kind = "auto"
    column: str | None = None
    separator: bytes = b"\n"
    left_out: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One image."""

    location: str
    max_bytes: int
    name: str

    def items(self) -> Iterator[Item]:
        yield file_item(self.location, self.max_bytes, self.name)

    def count(self) -> int:
        return 1


@dataclass(frozen=True, slots=True)
class SeveralSources:
    """The images of one input after those of another."""

    sources: tuple[Source, ...]

    def items(self) -> Iterator[Item]:
        for source in self.sources:
            yield from source.items()

    def count(self) -> int | None:
        total = 0
        for source in self.sources:
            if (found := source.count()) is None:
                return None
            total += found
        return total


def open_source(given: str, reading: Reading) -> Source:
    """given: a path or an address, with * ? [] or {000..999} for several, or "-" for a list of
    paths on standard input. Raises InvalidInput.
    """
    if given == STANDARD_INPUT:
        return LineSource(None, reading.max_bytes, reading.separator)
    found = _expanded(given)
    if found is None:
        return _one(given, reading)
    if not found:
        raise InvalidInput(f"Nothing matches {given}")
    return SeveralSources(tuple(_one(one, reading) for one in found))


def _one(given: str, reading: Reading) -> Source:
    place = place_of(given)
    # Addresses of the web have no folders, and are not asked for before their turn.
    kind = "file" if given.startswith(("http://", "https://")) else place.kind()
    if kind == "missing":
        raise InvalidInput(f"There is no {given}")
    if kind == "folder":
        if reading.kind not in ("auto", "folder"):
            raise InvalidInput(f"{given} is a folder. Received: --input-format {reading.kind}")
        return FolderSource(place, reading.max_bytes, reading.left_out)
    wanted = _kind_of(place.uri) if reading.kind == "auto" else reading.kind
    if wanted == "list":
        return LineSource(place, reading.max_bytes, reading.separator)
    if wanted == "csv":
        delimiter = "\t" if place.uri.lower().endswith(".tsv") else ","
        return CsvSource(place, reading.max_bytes, reading.column, delimiter)
    if wanted == "parquet":
        return ParquetSource(place, reading.max_bytes, reading.column)
    if wanted == "tar":
        return TarSource(place, reading.max_bytes)
    if wanted == "zip":
        return ZipSource(place, reading.max_bytes)
    if wanted == "folder":
        raise InvalidInput(f"{given} is no folder. Received: --input-format folder")
    return ImageSource(given, reading.max_bytes, place.uri)


def _kind_of(given: str) -> Kind:
    suffixes = [one.lower() for one in PurePosixPath(given).suffixes]
    if ".tar" in suffixes[-2:]:
        return "tar"
    return SUFFIXES.get(suffixes[-1], "image") if suffixes else "image"


def _expanded(given: str) -> list[str] | None:
    """The paths of a pattern, sorted; None for a plain path, which may have such characters."""
    if match := RANGE.search(given):
        first, last = int(match[1]), int(match[2])
        if not first <= last < first + MAX_SHARDS:
            raise InvalidInput(f"{match[0]} is no range of at most {MAX_SHARDS} shards")
        width = len(match[1])
        return [
            f"{given[: match.start()]}{i:0{width}}{given[match.end() :]}"
            for i in range(first, last + 1)
        ]
    if not any(one in given for one in "*?["):
        return None
    if "://" not in given:
        # A name may have brackets.
        return None if place_of(given).kind() != "missing" else sorted(glob.glob(given))
    place = place_of(given)
    return place.matching() if any(one in place.path for one in "*?[") else None
