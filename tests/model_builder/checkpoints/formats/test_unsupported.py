"""Files of networks that are not read are refused by their name, with what converts them."""

from __future__ import annotations

import io
import pickle
import shlex
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model_builder.checkpoints.loader import read_checkpoint
from model_builder.errors import ConversionFailed
from tests.model_builder.torch_files import Made, pickled, save_zip


def zip_of(*names: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "a.pt", "w") as archive:
            for name in names:
                archive.writestr(name, b"x")
        return folder / "a.pt"

    return make


def tar_of(*names: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
            for name in names:
                archive.addfile(tarfile.TarInfo(name), io.BytesIO())
        return folder / "a.tar.gz"

    return make


def file_of(content: bytes, name: str = "a.bin") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def folder_of(*names: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for name in names:
            (folder / name).write_bytes(b"\x08\x01\x12\x00")
        return folder

    return make


def arrays() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.ones(3))
    return file.getvalue()


def pickle_of(module: str, name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "a.pkl").write_bytes(pickled(Made(module, name, (), {"weights": 1}))[0])
        return folder / "a.pkl"

    return make


def whole_model(folder: Path) -> Path:
    layer = Made("torch.nn.modules.linear", "Linear", (), {"_parameters": {}})
    return save_zip(folder / "a.pth", Made("__main__", "Net", (), {"_modules": {"fc": layer}}))


SSTABLE_END = bytes.fromhex("57fb808b247547db")
KINDS: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "TorchScript": (
        zip_of("net/data.pkl", "net/data/0", "net/constants.pkl", "net/code/__torch__.py"),
        "is TorchScript, a program",
        "torch.jit.load(path, map_location='cpu').state_dict()",
    ),
    # Its state_dict() is empty.
    "frozen TorchScript": (
        zip_of("net/data.pkl", "net/constants/0", "net/constants.pkl", "net/code/__torch__.py"),
        "whose weights are frozen",
        "torch.onnx.export(torch.jit.load(path,",
    ),
    "torch.export": (
        zip_of("a/archive_format", "a/models/model.json"),
        "is a program of torch.export",
        "torch.export.load(path).state_dict",
    ),
    "torch.package": (
        zip_of("a/.data/extern_modules", "a/model/model.pkl"),
        "is a torch.package",
        "torch.save(model.state_dict(), FILE)",
    ),
    "TorchServe": (
        zip_of("MAR-INF/MANIFEST.json", "resnet18.pth"),
        "is an archive of TorchServe",
        "/a.pt, and import resnet18.pth",
    ),
    "TorchServe's tarball": (
        tar_of("MAR-INF/MANIFEST.json", "resnet18.pth"),
        "is an archive of TorchServe",
        "/a.tar.gz, and import resnet18.pth",
    ),
    "tarball of a checkpoint": (
        tar_of("out/best.ckpt", "log"),
        "a tarball",
        "import out/best.ckpt",
    ),
    "tarball of a SavedModel": (tar_of("m/saved_model.pb"), "of a SavedModel", "tar -xf "),
    "NumPy": (file_of(arrays()), "holds arrays of NumPy", "save_file(dict(numpy.load(path))"),
    "zip of a checkpoint": (zip_of("out/best.pth", "out/log.txt"), "zip of other", "out/best.pth"),
    "zip of a SavedModel": (zip_of("m/saved_model.pb"), "is a zip of a SavedModel", "unzip "),
    "SavedModel": (
        folder_of("saved_model.pb"),
        "is a SavedModel",
        "tensorflow.saved_model.load(path).variables",
    ),
    "SavedModel of Keras 2": (
        folder_of("saved_model.pb", "keras_metadata.pb"),
        "written by Keras 2",
        "tf_keras.models.load_model(path)",
    ),
    "SavedModel's file": (
        file_of(b"\x08\x01\x12\x00", "saved_model.pb"),
        "is a SavedModel",
        "saved_model.load(path)",
    ),
    "TensorFlow's checkpoint": (
        folder_of("checkpoint", "a.data-00000-of-00001"),
        "is a checkpoint of TensorFlow",
        "model.load_weights(PATH)",
    ),
    "its index": (file_of(bytes(100) + SSTABLE_END), "is a checkpoint of Tensor", "load_weights"),
    "several processes'": (
        folder_of(".metadata", "__0_0.distcp"),
        "is a distributed checkpoint of PyTorch",
        "format_utils dcp_to_torch",
    ),
    "DeepSpeed's": (folder_of("zero_to_fp32.py", "latest"), "of DeepSpeed", "zero_to_fp32.py ."),
    "cut zip": (file_of(b"PK\x03\x04" + bytes(90)), "is a zip without its end", "copy it again"),
    "pickled tensors": (
        pickle_of("torch.storage", "_load_from_bytes"),
        "was written by pickle or joblib",
        "torch.save(model.state_dict(), FILE)",
    ),
    "LiteRT": (file_of(b"\x1c\0\0\0TFL3" + bytes(20)), "is a network of LiteRT", "made from"),
    "OpenVINO": (file_of(b'<?xml version="1.0"?><net>', "a.xml"), "is XML", "made from"),
    "TensorRT": (file_of(b"ftrt" + bytes(20)), "is an engine of TensorRT", "made from"),
    "Git LFS": (
        file_of(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a.pth"),
        "is a pointer of Git LFS",
        "git lfs pull",
    ),
    "web page": (file_of(b"<!DOCTYPE html><html>", "a.pth"), "is a web page", "download"),
    "nothing": (file_of(b"", "a.pth"), "is empty", "download or save it again"),
    "whole model": (
        whole_model,
        "holds a whole model (torch.save(model)), an object of __main__.Net",
        "torch.save(model.state_dict(), FILE)",
    ),
    "scikit-learn": (
        pickle_of("sklearn.linear_model._logistic", "LogisticRegression"),
        "holds an object of scikit-learn",
        "safetensors",
    ),
    "a class of one's own": (
        pickle_of("mypackage.training", "State"),
        "holds an object of mypackage.training.State",
        "torch.save(model.state_dict(), FILE)",
    ),
}


@pytest.mark.parametrize(("make", "said", "conversion"), KINDS.values(), ids=list(KINDS))
def test_it_is_named_with_what_converts_it(
    make: Callable[[Path], Path], said: str, conversion: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionFailed) as raised:
        read_checkpoint(make(tmp_path))
    text = str(raised.value)
    assert said in text
    assert conversion in text
    assert "\n" not in text
    assert "weights_only" not in text


def test_a_command_takes_any_path_as_it_was_given(tmp_path: Path) -> None:
    """The program is one word of the shell, and the path the next."""
    folder = tmp_path / "it's a $HOME `x`"
    folder.mkdir()
    path = folder / "a.npz"
    path.write_bytes(arrays())
    with pytest.raises(ConversionFailed) as raised:
        read_checkpoint(path)
    command = shlex.split(str(raised.value).partition("What converts it: ")[2])
    assert command[:2] == ["python", "-c"]
    assert command[3:] == [str(path)]
    subprocess.run([sys.executable, *command[1:]], check=True)
    with pytest.raises(ConversionFailed, match="holds no ResNet"):
        read_checkpoint(path.with_name("a.npz.safetensors"))


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_that_hold_no_network(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": [1, 2.5, "b", None, True, (3,), {4}, b"c"]}, protocol))
    with pytest.raises(ConversionFailed, match=r"^a\.pkl holds no tensors$"):
        read_checkpoint(path)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_of_numpy_in_a_pickle(protocol: int, tmp_path: Path) -> None:
    """They are tensors too, in either order and byte order."""
    from model_builder.checkpoints.formats.pytorch import reader

    arrays = {
        "plain": np.arange(6, dtype="<f4").reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6, dtype="<f8").reshape(2, 3)),
        "big": np.arange(6, dtype=">f2").reshape(3, 2),
        "whole": np.arange(3),
        "objects": np.array([{}, None], object),
    }
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"model": arrays}, protocol))
    with reader.opened(path) as file:
        found = {one.key: one.tensor.read() for one in file.tensors}
    assert found.keys() == {"model.plain", "model.columns", "model.big"}
    for key, values in found.items():
        np.testing.assert_array_equal(values, arrays[key.removeprefix("model.")])
