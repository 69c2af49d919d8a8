"""Files of networks that are not read: each is refused by its name, with what converts it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from model_builder.errors import ConversionFailed
from model_builder.system.printable import shortlist

# The first bytes of a file. The end of an SSTable, as TensorFlow's `.index` files have it.
FIRST_BYTES = 64
SSTABLE = bytes.fromhex("57fb808b247547db")
AGAIN = "import the checkpoint that it was made from"
# Protocol buffers: the version of the format, then the producer, the graph or the operators.
ONNX = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x32\x3a\x42]", re.DOTALL)


def refuse_zip(path: Path, names: Sequence[str]) -> None:
    """Raises ConversionFailed where the members of a zip are those of a kind that is not read."""
    file = path.name
    pickles = [name for name in names if name.endswith((".pth", ".pt", ".bin", ".safetensors"))]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        _refuse(
            f"{file} is TorchScript, a program",
            "python -c \"import torch; torch.save(torch.jit.load('{0}', map_location='cpu')"
            ".state_dict(), '{0}.pth')\"",
            file,
        )
    if any(name.startswith("MAR-INF/") for name in names):
        _refuse(
            f"{file} is an archive of TorchServe",
            f"unzip '{{0}}', and import {shortlist(pickles) or 'the weights in it'}",
            file,
        )
    if any(name.endswith(("/archive_format", "exported_program.json")) for name in names):
        _refuse(
            f"{file} is a program of torch.export",
            "python -c \"import torch; torch.save(torch.export.load('{0}').state_dict, "
            "'{0}.pth')\"",
            file,
        )
    if any("/.data/" in name and "extern_modules" in name for name in names):
        _refuse(
            f"{file} is a torch.package, code with a model",
            "torch.save(model.state_dict(), FILE) where the model is loaded",
            file,
        )
    if names and all(name.endswith(".npy") for name in names):
        _refuse(
            f"{file} holds NumPy arrays",
            'python -c "import numpy; from safetensors.numpy import save_file; '
            "save_file(dict(numpy.load('{0}')), '{0}.safetensors')\"",
            file,
        )
    if any(name.endswith("saved_model.pb") for name in names):
        _refuse(f"{file} is a zip of a SavedModel of TensorFlow", _SAVED_MODEL, file)
    if any(name.endswith("data.pkl") for name in names):
        return
    if pickles:
        raise ConversionFailed(
            f"{file} is a zip of other files: unzip it, and import {shortlist(pickles)}"
        )


_SAVED_MODEL = (
    "python -c \"import tf_keras; tf_keras.models.load_model('{0}').save('{0}.h5')\" "
    "(pip install tf_keras), if Keras wrote it"
)
_STARTS: tuple[tuple[Callable[[bytes], bool], str, str], ...] = (
    (
        lambda first: first.startswith(b"version https://git-lfs"),
        "a pointer of Git LFS, not the weights",
        "git lfs pull",
    ),
    (
        lambda first: first.lstrip()[:9].lower() in (b"<!doctype", b"<html>", b"<html lan"),
        "a web page, not weights",
        "download the file itself",
    ),
    (
        lambda first: first.startswith(b"PK\x03\x04"),
        "a zip without its end, so it is not complete",
        "download or copy it again",
    ),
    (lambda first: not first, "empty", "download or save it again"),
    (lambda first: first[4:8] == b"TFL3", "a network of LiteRT (TensorFlow Lite)", AGAIN),
    (lambda first: first[4:6] == b"ET", "a program of ExecuTorch", AGAIN),
    (lambda first: first.startswith(b"GGUF"), "a GGUF file", AGAIN),
    (lambda first: first.startswith(b"ftrt"), "an engine of TensorRT", AGAIN),
    (lambda first: first.lstrip().startswith(b"<?xml"), "XML, as OpenVINO's networks are", AGAIN),
)


def is_onnx(path: Path) -> bool:
    """By its name, or its first bytes."""
    with path.open("rb") as file:
        return path.suffix == ".onnx" or ONNX.match(file.read(FIRST_BYTES)) is not None


def refuse_file(path: Path) -> None:
    """Raises ConversionFailed where a file, which is no zip, is of a kind that is not read."""
    if path.name.startswith("saved_model.pb"):
        _refuse(f"{path.name} is a SavedModel of TensorFlow", _SAVED_MODEL, f"{path.parent.name}")
    with path.open("rb") as file:
        first = file.read(FIRST_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - len(SSTABLE)))
        last = file.read()
    if last == SSTABLE or ".data-0" in path.name:
        refuse_tensorflow_checkpoint(path.name)
    for is_kind, kind, conversion in _STARTS:
        if is_kind(first):
            _refuse(f"{path.name} is {kind}", conversion, path.name)


def refuse_tensorflow_checkpoint(name: str) -> None:
    """Raises ConversionFailed."""
    _refuse(
        f"{name} is a checkpoint of TensorFlow, which does not describe its network",
        "build the network, model.load_weights(PATH), model.save('model.keras')",
        name,
    )


def refuse_distributed(folder: Path) -> None:
    """Raises ConversionFailed where the folder is a checkpoint of several processes."""
    if (folder / ".metadata").exists() or any(folder.glob("*.distcp")):
        _refuse(
            f"{folder.name} is a distributed checkpoint of PyTorch",
            "python -m torch.distributed.checkpoint.format_utils dcp_to_torch '{0}' '{0}.pth'",
            folder.name,
        )
    if (folder / "zero_to_fp32.py").exists():
        _refuse(
            f"{folder.name} is a checkpoint of DeepSpeed",
            "python zero_to_fp32.py . weights, in that folder",
            folder.name,
        )


def refuse_saved_model(folder: Path) -> None:
    """Raises ConversionFailed."""
    _refuse(f"{folder.name} is a SavedModel of TensorFlow", _SAVED_MODEL, folder.name)


def _refuse(what: str, conversion: str, file: str) -> None:
    command = conversion.replace("{0}", file)
    raise ConversionFailed(f"{what}, which is not read. What converts it: {command}")
