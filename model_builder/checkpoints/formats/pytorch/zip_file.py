"""Files of `torch.save` since PyTorch 1.6: a zip with a pickle, and a member for each storage.

Source: torch/serialization.py, and caffe2/serialize/inline_container.cc for the zip.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_builder.checkpoints.formats.pytorch.content import Content, storage_of
from model_builder.checkpoints.formats.pytorch.pickles.stream import PICKLE_BYTES_LIMIT, Stream
from model_builder.checkpoints.formats.pytorch.pickles.unpickler import Unpickler
from model_builder.checkpoints.formats.pytorch.pickles.values import Malformed, Storage
from model_builder.checkpoints.formats.pytorch.tensors import ITEM_BYTES, Storages

PICKLE = "/data.pkl"
# Of a zip's list of members: a hundred bytes each.
DIRECTORY_BYTES_LIMIT = 4 << 20
# A comment of 64 KiB may follow the end of the list.
TAIL_BYTES = (1 << 16) + 200
END, END_64, LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
# What zipfile raises on damage, on encrypted members and on unknown methods.
BROKEN_ZIP = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    zlib.error,
    struct.error,
    KeyError,
    ValueError,
    OverflowError,
)


def members(path: Path) -> list[str]:
    """The names in a zip. Raises Malformed."""
    with _opened(path) as archive:
        return archive.namelist()


@contextmanager
def opened_zip(path: Path) -> Iterator[Content]:
    """The object that was saved; storages are read while it is open. Raises Malformed."""
    with _opened(path) as archive:
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise Malformed("two members of the zip have one name")
        pickles = [name for name in names if name.endswith(PICKLE) and name.count("/") == 1]
        if len(pickles) != 1:
            raise Malformed(f"the zip holds {len(pickles)} files data.pkl, not one")
        root = pickles[0].removesuffix(PICKLE)
        order = f"{root}/byteorder"
        if order in names and _read(archive, order, 16).strip() != b"little":
            raise Malformed("its numbers are big-endian, which is not read")
        unpickler = Unpickler(_persistent)
        pickled = _read(archive, pickles[0], PICKLE_BYTES_LIMIT)
        saved = unpickler.load(Stream(io.BytesIO(pickled), len(pickled)))
        del pickled

        def read(storage: Storage) -> bytes:
            size_bytes = storage.numel * ITEM_BYTES[storage.dtype]
            data = _read(archive, f"{root}/data/{storage.key}", size_bytes)
            if len(data) != size_bytes:
                raise Malformed(
                    f"storage {storage.key[:100]} has {len(data)} bytes, {size_bytes} are stated"
                )
            return data

        yield Content(saved, tuple(unpickler.foreign), Storages(path.name, read))


def _persistent(argument: Any) -> Storage:
    """("storage", type, key, location, numel)."""
    if not isinstance(argument, tuple) or len(argument) != 5 or argument[0] != "storage":
        raise Malformed("the pickle refers to something else than a storage")
    return storage_of(argument[1], argument[2], argument[4])


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    _check_directory(path)
    try:
        archive = zipfile.ZipFile(path)
    except BROKEN_ZIP as error:
        raise Malformed(f"its zip is broken: {error}") from error
    with archive:
        yield archive


def _check_directory(path: Path) -> None:
    """Raises Malformed where the list of members is too long: all of it is read at once."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        tail = file.read()
    stated = [0]
    for mark, offset, form in ((END, 12, "<L"), (END_64, 40, "<Q")):
        at = tail.find(mark)
        while at >= 0:
            field = tail[at + offset : at + offset + struct.calcsize(form)]
            if len(field) == struct.calcsize(form):
                stated.append(struct.unpack(form, field)[0])
            at = tail.find(mark, at + 1)
    if (at := tail.rfind(LOCATOR_64)) >= 0 and len(tail) >= at + 16:
        (where,) = struct.unpack("<Q", tail[at + 8 : at + 16])
        if not size - len(tail) <= where < size:
            raise Malformed("its zip has the end of its list elsewhere than at its end")
    # All ones: the field of 64 bits, elsewhere in the tail, has it.
    if max(one for one in stated if one != 0xFFFFFFFF) > DIRECTORY_BYTES_LIMIT:
        raise Malformed(f"its zip has a list of members of more than {DIRECTORY_BYTES_LIMIT} bytes")


def _read(archive: zipfile.ZipFile, name: str, limit_bytes: int) -> bytes:
    """A member, which may state another size than it has. Raises Malformed."""
    try:
        info = archive.getinfo(name)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Malformed(f"{name} is compressed by a method that torch.save does not use")
        if info.file_size > limit_bytes:
            raise Malformed(f"{name} has {info.file_size} bytes, {limit_bytes} are expected")
        if not info.CRC:
            # Not computed: torch.serialization.set_crc32_options(False).
            info.CRC = None  # type: ignore[assignment]
        with archive.open(info) as member:
            return member.read(limit_bytes)
    except Malformed:
        raise
    except BROKEN_ZIP as error:
        raise Malformed(f"its zip is broken: {error}") from error
