"""The reader of each checkpoint format, and how the format of a file is recognized."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py

from model_builder.checkpoints.formats import tfjs, torch, transformers
from model_builder.checkpoints.formats.hdf5 import opened
from model_builder.checkpoints.formats.keras import h5 as keras_h5
from model_builder.checkpoints.formats.keras import v3 as keras_v3
from model_builder.checkpoints.formats.state_dict import CheckpointFormat, StateDict
from model_builder.errors import ConversionFailed
from model_builder.system.regular_file import check_regular_file

READERS: dict[CheckpointFormat, Callable[[Path], StateDict]] = {
    "keras_h5": keras_h5.read,
    "keras_v3": keras_v3.read,
    "tfjs": tfjs.read,
    "torch": torch.read,
    "transformers": transformers.read,
}


def identify(path: Path) -> CheckpointFormat:
    """The format of a file, from its first bytes and the names in it. Raises ConversionFailed."""
    if path.is_dir() or path.name == tfjs.MODEL:
        return "tfjs"
    check_regular_file(path)
    if h5py.is_hdf5(path):
        return "keras_h5" if _is_legacy(path) else "keras_v3"
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except keras_v3.BROKEN_ZIP as error:
            raise ConversionFailed(f"{path.name} is a broken zip: {error}") from error
        if keras_v3.WEIGHTS in names:
            return "keras_v3"
    elif tfjs.is_package(path):
        return "tfjs"
    elif not torch.is_safetensors(path) and not torch.is_pickle(path):
        raise ConversionFailed(
            "Weights are read from HDF5, .keras, TensorFlow.js, safetensors and PyTorch's files. "
            f"Received: {path.name}, which is none of them"
        )
    keys = (key.removeprefix(torch.PREFIX) for key in torch.key_names(path))
    return "transformers" if any(key.startswith(transformers.STEM) for key in keys) else "torch"


def _is_legacy(path: Path) -> bool:
    with opened(path, path.name) as file:
        return "model_weights" in file or any(k.startswith("layer_names") for k in file.attrs)
