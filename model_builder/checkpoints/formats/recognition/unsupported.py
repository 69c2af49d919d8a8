"""Files of networks that are not read: each is refused by its name, with what converts it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from model_builder.errors import ConversionFailed
from model_builder.system.printable import shortlist

# The first bytes of a file. The end of an SSTable, as TensorFlow's `.index` files have it.
FIRST_BYTES = 64
SSTABLE = bytes.fromhex("57fb808b247547db")
AGAIN = "import the checkpoint that it was made from"
# Of files that may be in an archive.
WEIGHTS = (".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".h5", ".keras", ".onnx", ".pth.tar")
# Protocol buffers: the version of the format, then the producer, the graph or the operators.
ONNX = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x32\x3a\x42]", re.DOTALL)


def refuse_zip(path: Path, names: Sequence[str]) -> None:
    """Raises ConversionFailed where the members of a zip are those of a kind that is not read."""
    file = path.name
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        if any(re.search(r"/data/\d+$", name) for name in names):
            _refuse(
                f"{file} is TorchScript, a program",
                "import sys, torch; path = sys.argv[1]; torch.save(torch.jit.load(path, "
                "map_location='cpu').state_dict(), path + '.pth')",
                path,
            )
        # torch.jit.freeze has made constants of the weights, which state_dict() does not have.
        _refuse(
            f"{file} is TorchScript whose weights are frozen",
            "import sys, torch; path = sys.argv[1]; torch.onnx.export(torch.jit.load(path, "
            "map_location='cpu'), (torch.zeros(1, 3, 224, 224),), path + '.onnx', dynamo=False)",
            path,
        )
    if any(name.startswith("MAR-INF/") for name in names):
        _refuse(f"{file} is an archive of TorchServe", _unpack("unzip {0}", names), path)
    if any(name.endswith(("/archive_format", "exported_program.json")) for name in names):
        _refuse(
            f"{file} is a program of torch.export",
            "import sys, torch; path = sys.argv[1]; torch.save(torch.export.load(path)"
            ".state_dict, path + '.pth')",
            path,
        )
    if any("/.data/" in name and "extern_modules" in name for name in names):
        _refuse(
            f"{file} is a torch.package, code with a model",
            "torch.save(model.state_dict(), FILE) where the model is loaded",
            path,
        )
    if names and all(name.endswith(".npy") for name in names):
        _refuse(
            f"{file} holds arrays of NumPy",
            "import sys, numpy; from safetensors.numpy import save_file; path = sys.argv[1]; "
            "save_file(dict(numpy.load(path)), path + '.safetensors')",
            path,
        )
    if any(name.endswith("saved_model.pb") for name in names):
        _refuse(
            f"{file} is a zip of a SavedModel of TensorFlow",
            "unzip {0}, and import the folder with saved_model.pb, which names the next command",
            path,
        )
    if any(name.endswith("data.pkl") for name in names):
        return
    if weights := _weights(names):
        raise ConversionFailed(
            f"{file} is a zip of other files: unzip it, and import {shortlist(weights)}"
        )


def refuse_tar(path: Path, names: Sequence[str]) -> None:
    """Raises ConversionFailed where the members of a tarball are weights of other formats."""
    kind = "an archive of TorchServe" if "MAR-INF/MANIFEST.json" in names else "a tarball"
    if _weights(names):
        _refuse(f"{path.name} is {kind}", _unpack("tar -xf {0}", names), path)
    if any(name.endswith("saved_model.pb") for name in names):
        _refuse(f"{path.name} is a tarball of a SavedModel of TensorFlow", "tar -xf {0}", path)


def _weights(names: Sequence[str]) -> list[str]:
    return [name for name in names if name.endswith(WEIGHTS)]


def _unpack(command: str, names: Sequence[str]) -> str:
    return f"{command}, and import {shortlist(_weights(names)) or 'the weights in it'}"


# Of a network that Keras 2 wrote, and of Keras 3's `model.export`, which keeps weights by name.
_KERAS_2 = (
    "import sys, tf_keras; path = sys.argv[1]; tf_keras.models.load_model(path).save(path + '.h5')"
)
_KERAS_3 = (
    "import sys, h5py, tensorflow; path = sys.argv[1]; file = h5py.File(path + '.h5', 'w'); "
    "[file.create_dataset(one.name.split(':')[0], data=one.numpy()) for one in "
    "tensorflow.saved_model.load(path).variables]"
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
        refuse_saved_model(path.parent)
    with path.open("rb") as file:
        first = file.read(FIRST_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - len(SSTABLE)))
        last = file.read()
    if last == SSTABLE or ".data-0" in path.name:
        refuse_tensorflow_checkpoint(path)
    for is_kind, kind, conversion in _STARTS:
        if is_kind(first):
            _refuse(f"{path.name} is {kind}", conversion, path)


def refuse_tensorflow_checkpoint(path: Path) -> None:
    """Raises ConversionFailed."""
    _refuse(
        f"{path.name} is a checkpoint of TensorFlow, which does not describe its network",
        "build the network, model.load_weights(PATH) in Keras 2 (tf_keras) or "
        "tf.train.Checkpoint(model=model).restore(PATH), then model.save('model.keras')",
        path,
    )


def refuse_distributed(folder: Path) -> None:
    """Raises ConversionFailed where the folder is a checkpoint of several processes."""
    if (folder / ".metadata").exists() or any(folder.glob("*.distcp")):
        _refuse(
            f"{folder.name} is a distributed checkpoint of PyTorch",
            "python -m torch.distributed.checkpoint.format_utils dcp_to_torch {0} {0}.pth",
            folder,
        )
    if (folder / "zero_to_fp32.py").exists():
        _refuse(
            f"{folder.name} is a checkpoint of DeepSpeed",
            "python zero_to_fp32.py . weights, in that folder",
            folder,
        )


def refuse_saved_model(folder: Path) -> None:
    """Raises ConversionFailed."""
    what = f"{folder.resolve().name} is a SavedModel of TensorFlow"
    if (folder / "keras_metadata.pb").exists():
        _refuse(f"{what}, written by Keras 2 (tf_keras)", _KERAS_2, folder)
    _refuse(what, _KERAS_3, folder, ", if model.export() of Keras wrote it")


def _refuse(what: str, conversion: str, path: Path, condition: str = "") -> None:
    """conversion: a program of Python that takes the path, or a sentence with {0} for the path.

    condition: of its use. Raises ConversionFailed.
    """
    file = shlex.quote(str(path))
    if conversion.startswith("import "):
        command = f'python -c "{conversion}" {file}'
    else:
        command = conversion.replace("{0}", file)
    raise ConversionFailed(f"{what}, and is not read. What converts it: {command}{condition}")
