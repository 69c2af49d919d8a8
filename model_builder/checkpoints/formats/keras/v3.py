"""Keras 3's `.keras`: a zip of a `.weights.h5` with the network's JSON config.

Source: keras/src/saving/saving_lib.py.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

from model_builder.checkpoints.formats.byte_budget import (
    FILE_BYTES_LIMIT,
    JSON_BYTES_LIMIT,
)
from model_builder.checkpoints.formats.hdf5.reader import read_hdf5
from model_builder.checkpoints.formats.keras.config import read_config
from model_builder.checkpoints.formats.keras.h5 import by_layer
from model_builder.checkpoints.formats.keras.names import to_state_dict
from model_builder.checkpoints.formats.state_dict import StateDict
from model_builder.errors import ConversionFailed
from model_builder.system.anonymous_file import anonymous_file
from model_builder.system.printable import shortlist

# What `zipfile` raises; RuntimeError for an encrypted file, OSError for a place before the file.
BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, OSError)
CHUNK_BYTES = 1 << 20
WEIGHTS, CONFIG = "model.weights.h5", "config.json"


def read(path: Path) -> StateDict:
    """The tensors. Raises ConversionFailed."""
    described = io.BytesIO()
    with anonymous_file() as weights:
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack(archive, CONFIG, JSON_BYTES_LIMIT, described)
                config = read_config(json.loads(described.getvalue()))
                _unpack(archive, WEIGHTS, FILE_BYTES_LIMIT, weights)
        except RecursionError:
            raise
        except (*BROKEN_ZIP, ValueError) as error:
            raise ConversionFailed(f"{path.name} is not a .keras file: {error}") from error
        weights.flush()
        content = read_hdf5(weights, path.name)
    return to_state_dict(by_layer(content, config), config)


def _unpack(archive: zipfile.ZipFile, name: str, limit_bytes: int, target: IO[bytes]) -> None:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ConversionFailed(
            f"There is no {name} in it. Received: {shortlist(archive.namelist())}"
        ) from None
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The others unpack all that they are given at once, however much that is.
        raise ConversionFailed(f"{name} is neither stored nor deflated")
    too_large = ConversionFailed(
        f"{name} is too large for a ResNet. Received: more than {limit_bytes} bytes"
    )
    if info.file_size > limit_bytes:
        raise too_large
    with archive.open(info) as file:
        # In parts: what it unpacks to may not be what its header says.
        while part := file.read(CHUNK_BYTES):
            target.write(part)
            if target.tell() > limit_bytes:
                raise too_large
