"""The reader of each checkpoint format, and how the format of a file is recognized."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from model_builder.checkpoints.formats import tfjs
from model_builder.checkpoints.formats.hdf5.heaps import is_hdf5
from model_builder.checkpoints.formats.keras import h5 as keras_h5
from model_builder.checkpoints.formats.keras import v3 as keras_v3
from model_builder.checkpoints.formats.onnx import reader as onnx
from model_builder.checkpoints.formats.pytorch import reader as pytorch
from model_builder.checkpoints.formats.pytorch.pickles.values import Malformed
from model_builder.checkpoints.formats.pytorch.safetensors_file import is_safetensors
from model_builder.checkpoints.formats.pytorch.shards import is_index
from model_builder.checkpoints.formats.pytorch.zip_file import members
from model_builder.checkpoints.formats.recognition.unsupported import (
    is_onnx,
    refuse_file,
    refuse_zip,
)
from model_builder.checkpoints.formats.state_dict import CheckpointFormat, StateDict
from model_builder.errors import ConversionFailed
from model_builder.system.regular_file import check_regular_file

READERS: dict[CheckpointFormat, Callable[[Path], StateDict]] = {
    "keras_h5": keras_h5.read,
    "keras_v3": keras_v3.read,
    "tfjs": tfjs.read,
    "onnx": onnx.read,
    "torch": pytorch.read,
    # The same files with other names of the layers, which the reader finds.
    "transformers": pytorch.read,
}
# The first byte of pickles since protocol 2; of protocols 0 and 1: a mark, a dict, a list, a class.
PICKLES = (b"\x80", b"(", b"}", b"]", b"c")


def identify(path: Path) -> CheckpointFormat:
    """The format of a file, from its first bytes and the names in it. Raises ConversionFailed."""
    if path.is_dir() or path.name == tfjs.MODEL:
        return "tfjs"
    check_regular_file(path)
    if is_hdf5(path):
        return "keras_h5"
    if is_index(path):
        return "torch"
    if zipfile.is_zipfile(path):
        try:
            names = members(path)
        except Malformed as error:
            raise ConversionFailed(f"{path.name} can't be read: {error}") from error
        if keras_v3.WEIGHTS in names:
            return "keras_v3"
        refuse_zip(path, names)
        return "torch"
    refuse_file(path)
    if is_onnx(path):
        return "onnx"
    if tfjs.is_package(path):
        return "tfjs"
    with path.open("rb") as file:
        first = file.read(1)
    if not is_safetensors(path) and first not in PICKLES:
        raise ConversionFailed(
            "Weights are read from HDF5, .keras, TensorFlow.js, safetensors, ONNX and PyTorch's "
            f"files. Received: {path.name}, which is none of them"
        )
    return "torch"
