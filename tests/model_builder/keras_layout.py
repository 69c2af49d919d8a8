"""Weights in the layout and with the names that Keras publishes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def write_keras_h5(path: Path, tensors: Mapping[str, Array], *, group: str = "/") -> None:
    """Weights as Keras 2 wrote them: names with ":0", layers without weights listed too."""
    layers = sorted({name.split("/")[0] for name in tensors})
    with h5py.File(path, "w") as file:
        root = file.require_group(group)
        root.attrs["layer_names"] = [name.encode() for name in [*layers, "activation"]]
        root.create_group("activation").attrs["weight_names"] = np.array([], dtype="S1")
        for layer in layers:
            own = {name: x for name, x in tensors.items() if name.split("/")[0] == layer}
            root.create_group(layer).attrs["weight_names"] = [f"{name}:0".encode() for name in own]
            for name, values in own.items():
                root[layer].create_dataset(f"{name}:0", data=values)


def keras_name(layer: str) -> str:
    """The published name of one of our layers: layer2_0_conv1 is conv3_block1_1_conv."""
    known = {"conv1": "conv1_conv", "bn1": "conv1_bn", "fc": "predictions"}
    if layer in known:
        return known[layer]
    stage, block, kind, *part = layer.removeprefix("layer").split("_")
    where = f"conv{int(stage) + 1}_block{int(block) + 1}"
    if kind == "downsample":
        return f"{where}_0_{'conv' if part == ['0'] else 'bn'}"
    return f"{where}_{kind[-1]}_{kind[:-1]}"
