"""HDF5 is read by a process of its own: what crashes libhdf5 or exhausts it is refused."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from model_builder.checkpoints.formats.hdf5 import reader
from model_builder.checkpoints.formats.hdf5.content import LENGTH, read_content
from model_builder.checkpoints.formats.hdf5.heaps import is_hdf5
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.errors import ConversionFailed
from model_builder.system.anonymous_file import anonymous_file

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")


def legacy(path: Path, **dataset: object) -> Path:
    """A file of one layer, whose kernel is made with the options of `create_dataset`."""
    with h5py.File(path, "w") as file:
        layer = file.create_group("conv1")
        layer.create_dataset("kernel", dtype="<f4", **dataset)
        layer.attrs["weight_names"] = ["kernel"]
        file.attrs["layer_names"] = ["conv1"]
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConversionFailed) as raised:
        read_checkpoint(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_file_that_crashes_the_library_is_refused_by_the_signal(tmp_path: Path) -> None:
    path = legacy(tmp_path / "x.h5", data=np.ones((1, 1, 2, 2), np.float32))
    with h5py.File(path, "r+") as file:
        file["conv1"].attrs["weight_names"] = np.array(["kernel"], h5py.string_dtype("ascii"))
    data = bytearray(path.read_bytes())
    # A type of version 1 and class 9, variable length, whose first bits say that it is text.
    at = data.index(b"weight_names\0")
    strings = data.index(b"\x19\x01\0\0\x10\0\0\0", at) + 1
    data[strings] = 9
    path.write_bytes(data)
    assert "the HDF5 library ended with signal 11 (SIGSEGV) on it" in refusal(path)


@LINUX
def test_a_chunk_of_more_memory_than_the_file_explains(tmp_path: Path) -> None:
    """A sound file of 300 kB, whose one chunk unpacks to 280 MiB for an array of 36 bytes."""
    path = legacy(
        tmp_path / "x.h5",
        data=np.zeros(9, np.float32),
        maxshape=(None,),
        chunks=(70 << 20,),
        compression="gzip",
        compression_opts=1,
    )
    assert "filter returned failure" in refusal(path)


def test_more_zeros_than_weights_compress_to(tmp_path: Path) -> None:
    path = legacy(
        tmp_path / "x.h5", shape=(1, 1, 9000, 9000), chunks=(1, 1, 500, 9000), compression="gzip"
    )
    assert f"states tensors of {4 * 9000 * 9000} bytes, which weights in a file of" in refusal(path)


def test_arrays_are_handed_out_to_the_last_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((3, 3, 5, 7)).astype(np.float32)
    values[0, 0, 0, :3] = -0.0, np.inf, 1e-45
    path = legacy(tmp_path / "x.h5", data=values)
    with h5py.File(path, "r+") as file:
        file["conv1/half"] = values[:2].astype(np.float16)
        file["conv1/empty"] = np.empty((0, 4), np.float32)
        file["conv1/big"] = values[:1].astype(">f8")
        file["conv1"].attrs["weight_names"] = ["kernel", "half", "empty", "big"]
    with path.open("rb") as opened:
        (layer,) = reader.read_hdf5(opened, path.name).layers
    expected: list[npt.NDArray[Any]] = [
        values,
        values[:2].astype(np.float16),
        np.empty((0, 4)),
        values[:1],
    ]
    assert (layer.path, layer.name) == ("conv1", "conv1")
    for found, value in zip(layer.arrays, expected, strict=True):
        assert found.dtype == np.float32
        assert found.tobytes() == value.astype(np.float32).tobytes()
        assert found.shape == value.shape


def test_a_block_of_the_user_before_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=2048) as file:
        file["a"] = np.ones(1, np.float32)
    assert is_hdf5(tmp_path / "x.h5")
    (tmp_path / "y").write_bytes(bytes(5000))
    assert not is_hdf5(tmp_path / "y")


def killed(number: int) -> Callable[..., int | None]:
    return lambda *_: -number


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (lambda *_: None, "was not read within 600 s"),
        (killed(signal.SIGXCPU), "takes more CPU time"),
        (killed(signal.SIGKILL), r"ended with signal 9 \(SIGKILL\)"),
        (killed(99), "ended with signal 99 on it"),
        (lambda *_: 1, "ended with status 1"),
        # It ends as if it were done, and has written nothing.
        (lambda *_: 0, "the process that read it gave no weights"),
    ],
)
def test_each_way_that_the_process_ends(
    end: Callable[..., int | None], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = legacy(tmp_path / "x.h5", data=np.ones((1, 1, 2, 2), np.float32))
    monkeypatch.setattr(reader, "run_process", end)
    with pytest.raises(ConversionFailed, match=message):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        b"\0",
        LENGTH.pack(2**63),
        b"{}" + LENGTH.pack(2),
        b"[]" + LENGTH.pack(2),
        b'{"layers": [["a", "a", [[4]]]], "config": null}' + LENGTH.pack(46),
        bytes(16) + b'{"layers": [["a", "a", [[-4]]]], "config": null}' + LENGTH.pack(47),
        bytes(16) + b'{"layers": [["a", "a", [[2]]]], "config": null}' + LENGTH.pack(46),
        bytes(16) + b'{"layers": [["a", "a", ["x"]]], "config": null}' + LENGTH.pack(46),
    ],
)
def test_what_the_process_writes_is_not_trusted(content: bytes) -> None:
    with anonymous_file() as file:
        file.write(content)
        file.flush()
        with pytest.raises((ValueError, TypeError, LookupError, OverflowError)):
            read_content(file)


def test_nothing_is_left_open(tmp_path: Path) -> None:
    path = legacy(tmp_path / "x.h5", data=np.ones((1, 1, 2, 2), np.float32))
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        refusal(path)
    # The arrays of a refused file are kept by the traceback of its refusal.
    gc.collect()
    assert len(os.listdir("/dev/fd")) == before
