"""Folders of one set of weights, as the Hugging Face hub and others lay them out."""

from __future__ import annotations

from pathlib import Path

from model_builder.checkpoints.formats import tfjs
from model_builder.checkpoints.formats.pytorch.shards import SUFFIX
from model_builder.checkpoints.formats.recognition.unsupported import (
    refuse_distributed,
    refuse_saved_model,
    refuse_tensorflow_checkpoint,
)
from model_builder.errors import ConversionFailed

# In the order of preference, as transformers has it. TensorFlow.js names its own files.
SAFETENSORS, PICKLED = "model.safetensors", "pytorch_model.bin"
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
NAMES = (SAFETENSORS, f"{SAFETENSORS}{SUFFIX}", PICKLED, f"{PICKLED}{SUFFIX}")


def weights_file(path: Path) -> Path:
    """The file in a folder that stands for its weights; every other path unchanged.

    Raises ConversionFailed where a folder has none, or is of a kind that is not read.
    """
    if not path.is_dir():
        return path
    for name in (tfjs.MODEL, *NAMES):
        if (path / name).exists():
            return path / name
    refuse_distributed(path)
    if (path / "saved_model.pb").exists() or (path / "saved_model.pbtxt").exists():
        refuse_saved_model(path)
    if (path / "checkpoint").is_file() or any(path.glob("*.data-0*")):
        refuse_tensorflow_checkpoint(path)
    others = sorted(one.name for one in path.iterdir() if one.suffix in SUFFIXES and one.is_file())
    if len(others) == 1:
        return path / others[0]
    raise ConversionFailed(
        f"{path} has no weights by a known name: {tfjs.MODEL}, {', '.join(NAMES)}. "
        f"Received: {', '.join(others[:5]) or 'a folder without weights'}"
    )
