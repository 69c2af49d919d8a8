"""Files that take more than they look like, or are nested, cut or named to do harm.

Each ends in one sentence, before anything large is allocated.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from model_builder.checkpoints.formats.byte_budget import JSON_BYTES_LIMIT
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.errors import ConversionFailed

# More than Python, NumPy and h5py take, and less than any of the files below asks for.
MEMORY_BYTES = 1 << 30
HDF5 = b"\x89HDF\r\n\x1a\n"
GIB = 1 << 30
EMPTY = b'{"class_name": "Sequential", "config": {"layers": []}}'
LAYERS = json.dumps(
    {
        "class_name": "Sequential",
        "config": {
            "layers": [
                {
                    "class_name": "InputLayer",
                    "config": {"name": "x", "batch_shape": [None, 9, 9, 3]},
                },
                {
                    "class_name": "Conv2D",
                    "config": {
                        "name": "conv1",
                        "filters": 64,
                        "kernel_size": [3, 3],
                        "strides": [1, 1],
                        "padding": "same",
                        "data_format": "channels_last",
                        "dilation_rate": [1, 1],
                        "groups": 1,
                        "use_bias": True,
                        "activation": "linear",
                    },
                },
                {"class_name": "GlobalAveragePooling2D", "config": {"name": "pool"}},
                {
                    "class_name": "Dense",
                    "config": {"name": "fc", "units": 3, "activation": "linear", "use_bias": True},
                },
            ]
        },
    }
).encode()


def safetensors(path: Path, header: bytes, data: bytes = b"") -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def keras_zip(path: Path, config: bytes, weights: bytes, compression: int) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", weights)
    return path


def many_tensors(folder: Path) -> Path:
    """35 KB that unpack to 20 GB."""
    with h5py.File(folder / "a.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv%d" % i for i in range(20)]
        for i in range(20):
            group = file.create_group(f"conv{i}")
            group.attrs["weight_names"] = [b"k"]
            chunks = (1, 1, 1000, 1000)
            group.create_dataset("k", (1, 1, 16000, 16000), "f4", chunks=chunks, compression="gzip")
    return folder / "a.h5"


def one_tensor_many_times(folder: Path) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        group = file.create_group("conv")
        group.attrs["weight_names"] = [b"k"] * 3000
        group.create_dataset("k", (1 << 20,), "f4", compression="gzip")
    return folder / "a.h5"


def chunk_larger_than_its_tensor(folder: Path) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        group = file.create_group("conv")
        group.attrs["weight_names"] = [b"k"]
        group.create_dataset("k", (1,), "f4", maxshape=(None,), chunks=(GIB // 2,), compression=9)
    return folder / "a.h5"


def one_name_many_times(folder: Path) -> Path:
    """Strings of any length lie in a heap, to which many may point."""
    with h5py.File(folder / "a.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        file.attrs["long"] = "y" * 10_000_000
        group = file.create_group("conv")
        group.attrs["weight_names"] = [b"k"] * 4000
    return folder / "a.h5"


def many_configs(folder: Path) -> Path:
    """An array of texts in the place of one, which may all be the same long one."""
    with h5py.File(folder / "a.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        file.create_group("conv").attrs["weight_names"] = np.array([], "S1")
        file.attrs["model_config"] = ["{}"] * 4000
    return folder / "a.h5"


def keras_three_again(folder: Path) -> Path:
    with h5py.File(folder / "a.weights.h5", "w") as file:
        for i in range(20):
            variables = file.create_group(f"layers/conv{i}/vars")
            variables.attrs["name"] = f"conv{i}"
            chunks = (1, 1, 1000, 1000)
            variables.create_dataset("0", (1, 1, 16000, 16000), "f4", chunks=chunks, compression=9)
    return folder / "a.weights.h5"


def group_within_itself(folder: Path) -> Path:
    with h5py.File(folder / "a.weights.h5", "w") as file:
        group = file.create_group("layers")
        group["again"] = group
    return folder / "a.weights.h5"


def groups_that_fork(folder: Path) -> Path:
    """2 to the power of 60 paths."""
    with h5py.File(folder / "a.weights.h5", "w") as file:
        group = file.create_group("layers")
        for _ in range(60):
            below = group.create_group("a")
            group["b"] = below
            group = below
        group.create_group("vars")
    return folder / "a.weights.h5"


def other_size(path: Path, size: int, stated: int) -> Path:
    """A zip whose headers state another size of what is packed in it."""
    path.write_bytes(path.read_bytes().replace(struct.pack("<L", size), struct.pack("<L", stated)))
    return path


def zip_of_zeros(folder: Path) -> Path:
    path = keras_zip(folder / "a.keras", LAYERS, HDF5 + bytes(123_456), zipfile.ZIP_DEFLATED)
    return other_size(path, len(HDF5) + 123_456, 2 * GIB)


def zip_that_says_less(folder: Path) -> Path:
    """Than it unpacks to: 200 MB of JSON in place of 2 bytes."""
    path = keras_zip(folder / "a.keras", bytes(200_000_000), HDF5, zipfile.ZIP_DEFLATED)
    return other_size(path, 200_000_000, 2)


def zip_of_another_kind(folder: Path) -> Path:
    return keras_zip(folder / "a.keras", b"{}", HDF5, zipfile.ZIP_BZIP2)


def long_json(folder: Path) -> Path:
    return keras_zip(folder / "a.keras", b"[" * 200_000_000, HDF5, zipfile.ZIP_DEFLATED)


def deep_json(folder: Path) -> Path:
    return keras_zip(folder / "a.keras", b"[" * 1_000_000, HDF5, zipfile.ZIP_DEFLATED)


def deep_network(folder: Path) -> Path:
    """JSON that can be parsed, and is nested deeper than its reader may go."""
    config = '{"class_name": "Sequential", "config": {"layers": []}}'
    for _ in range(450):
        config = f'{{"class_name": "Sequential", "config": {{"layers": [{config}]}}}}'
    return keras_zip(folder / "a.keras", config.encode(), HDF5, zipfile.ZIP_DEFLATED)


def encrypted_zip(folder: Path) -> Path:
    path = keras_zip(folder / "a.keras", b"{}", HDF5, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 1)
    path.write_bytes(data)
    return path


def header_longer_than_the_file(folder: Path) -> Path:
    path = folder / "a.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}" + bytes(100))
    return path


def many_names(folder: Path) -> Path:
    rows = {f"x{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(30_000)}
    return safetensors(folder / "a.safetensors", json.dumps(rows).encode())


def too_long_a_header(folder: Path) -> Path:
    return safetensors(folder / "a.safetensors", b"{" + b" " * JSON_BYTES_LIMIT + b"}")


def deep_header(folder: Path) -> Path:
    return safetensors(folder / "a.safetensors", b'{"a":' * 100_000)


def large_file(folder: Path) -> Path:
    """Of zeros that take no room on the disk."""
    row = {"x": {"dtype": "F32", "shape": [2 * GIB], "data_offsets": [0, 8 * GIB]}}
    path = safetensors(folder / "a.safetensors", json.dumps(row).encode())
    os.truncate(path, path.stat().st_size + 8 * GIB)
    return path


def shard_many_times(folder: Path) -> Path:
    (folder / "shard.bin").write_bytes(bytes(1 << 20))
    groups = [{"paths": ["shard.bin"] * 5000, "weights": []}]
    (folder / "model.json").write_text(json.dumps({"weightsManifest": groups}))
    return folder


def deep_model_json(folder: Path) -> Path:
    (folder / "model.json").write_text("[" * 1_000_000)
    return folder / "model.json"


def large_tarball(folder: Path) -> Path:
    info = tarfile.TarInfo("package/a.bin")
    info.size = 3 * GIB
    (folder / "a.tgz").write_bytes(gzip.compress(info.tobuf() + bytes(1024)))
    return folder / "a.tgz"


def sparse_tarball(folder: Path) -> Path:
    """A file that is a hole: nothing is packed for it."""
    path = folder / "a.tgz"
    size = 3 * GIB
    header = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "package/a.bin"}
    info = tarfile.TarInfo("package/x")
    info.pax_headers = {**header, "GNU.sparse.realsize": str(size)}
    map_of_holes = b"1\n%d\n0\n" % size
    info.size = 512
    with gzip.open(path, "wb") as packed:
        packed.write(info.tobuf(tarfile.PAX_FORMAT))
        packed.write(map_of_holes.ljust(512, b"\0") + bytes(1024))
    return path


def tarball_with_a_long_header(folder: Path) -> Path:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 3 * GIB
    packed = gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))
    (folder / "a.tgz").write_bytes(packed)
    return folder / "a.tgz"


def wrong_name(folder: Path) -> Path:
    row = {"x" * 10_000_000: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}
    return safetensors(folder / "a.safetensors", json.dumps(row).encode())


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.safetensors")
    return folder / "a.safetensors"


def device(_: Path) -> Path:
    return Path("/dev/zero")


FILES: tuple[tuple[Callable[[Path], Path], str], ...] = (
    (many_tensors, "a.h5 is too large for a ResNet: its tensors may take 1073741824 bytes"),
    (one_tensor_many_times, "a.h5 is too large for a ResNet"),
    (chunk_larger_than_its_tensor, "a.h5 is too large for a ResNet"),
    (one_name_many_times, "is too large for a ResNet.* up to its names"),
    (many_configs, "/ has no text in 'model_config'"),
    (keras_three_again, "a.weights.h5 is too large for a ResNet"),
    (group_within_itself, "is in the file twice"),
    (groups_that_fork, "is in the file twice"),
    (zip_of_zeros, "model.weights.h5 is too large for a ResNet"),
    (zip_that_says_less, "a.keras is not a .keras file: Bad CRC-32"),
    (zip_of_another_kind, "is neither stored nor deflated"),
    (long_json, "config.json is too large for a ResNet"),
    (deep_json, "nested too deeply"),
    (deep_network, "nested too deeply"),
    (encrypted_zip, "a.keras is not a .keras file: .*encrypted"),
    (header_longer_than_the_file, "may have a header of 16777216 bytes"),
    (many_names, r"takes x0, x1, .* and 29990 more$"),
    (too_long_a_header, "may have a header of 16777216 bytes"),
    (deep_header, "is not a complete safetensors file"),
    (large_file, "a.safetensors is too large for a ResNet"),
    (shard_many_times, "is too large for a ResNet"),
    (deep_model_json, "nested too deeply"),
    (large_tarball, "a.tgz is too large for a ResNet"),
    (sparse_tarball, "a.tgz is too large for a ResNet"),
    (tarball_with_a_long_header, "a.tgz is too large for a ResNet"),
    (wrong_name, r"takes x+\.\.\.$"),
    (pipe, "a.safetensors is a pipe, not a file"),
    (device, "/dev/zero is a device, not a file"),
)


def outcome(path: Path) -> str:
    """What reading the file ends in, in a process with little memory."""
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_DATA, ({MEMORY_BYTES},) * 2)\n"
        "from pathlib import Path\n"
        "from model_builder.checkpoints.loader import read_checkpoint\n"
        "from model_builder.errors import ConversionFailed\n"
        "try:\n"
        "    read_checkpoint(Path(sys.argv[1]))\n"
        "except ConversionFailed as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.removesuffix("\n")


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory as Linux does")
@pytest.mark.parametrize(("make", "said"), FILES, ids=lambda one: getattr(one, "__name__", ""))
def test_it_is_refused_in_one_short_sentence(
    make: Callable[[Path], Path], said: str, tmp_path: Path
) -> None:
    text = outcome(make(tmp_path))
    assert re.search(said, text), text
    assert "\n" not in text
    assert len(text) < 2000


def test_what_does_not_fit_into_memory_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(_: Path) -> None:
        raise MemoryError

    path = safetensors(tmp_path / "a.safetensors", b"{}")
    monkeypatch.setitem(read_checkpoint.__globals__["READERS"], "torch", too_much)
    with pytest.raises(ConversionFailed, match=r"^a\.safetensors does not fit into"):
        read_checkpoint(path, format="torch")
