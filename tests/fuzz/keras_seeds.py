"""Writes small files of Keras, for `imports`: python -m tests.fuzz.keras_seeds FOLDER.

In a process of its own, because TensorFlow's threads would not survive a fork.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

EDGE = 2


def shrunk(source: Path | BinaryIO, target: Path) -> None:
    """A copy whose arrays have at most EDGE numbers along each axis, and no optimizer's state."""
    with h5py.File(source, "r") as old, h5py.File(target, "w") as new:
        _copy(old, new)


def _copy(old: h5py.Group, new: h5py.Group) -> None:
    for name, value in old.attrs.items():
        new.attrs[name] = value
    for name, member in old.items():
        if isinstance(member, h5py.Group):
            if not name.startswith("optimizer"):
                _copy(member, new.create_group(name))
        else:
            shape = tuple(min(EDGE, length) for length in member.shape)
            new.create_dataset(name, data=np.ones(shape, member.dtype))


def main() -> None:
    from tests.model_builder.keras_files import saved, small_network

    folder = Path(sys.argv[1])
    network: Any = small_network()
    for name in ("a.weights.h5", "a.h5"):
        whole = saved(network, folder / f"whole.{name}")
        shrunk(whole, folder / name)
        whole.unlink()
    whole = saved(network, folder / "whole.keras")
    with zipfile.ZipFile(whole) as archive:
        (folder / "config.json").write_bytes(archive.read("config.json"))
        shrunk(io.BytesIO(archive.read("model.weights.h5")), folder / "keras.h5")
    whole.unlink()
    json.loads((folder / "config.json").read_text())


if __name__ == "__main__":
    main()
