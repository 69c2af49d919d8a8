"""Weights in the layout and with the names of PyTorch's publishers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Array = npt.NDArray[np.float32]


def save_safetensors(path: Path, state_dict: Mapping[str, Array], **more: Any) -> Path:
    """With a counter for each batch norm, as in PyTorch."""
    means = [name for name in state_dict if name.endswith(".running_mean")]
    counters = {
        name.replace("running_mean", "num_batches_tracked"): np.array(7, np.int64) for name in means
    }
    tensors = {**state_dict, **counters, **more}
    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, path)
    return path


def transformers_name(name: str) -> str:
    """ "layer1.0.conv1.weight" as transformers' ResNetForImageClassification has it."""
    *layer, field = name.split(".")
    if layer == ["fc"]:
        return f"classifier.1.{field}"
    part = layer[-1]
    if part in ("conv1", "bn1") and len(layer) == 1:
        kind = "convolution" if part == "conv1" else "normalization"
        return f"resnet.embedder.embedder.{kind}.{field}"
    place = f"resnet.encoder.stages.{int(layer[0][-1]) - 1}.layers.{layer[1]}"
    if "downsample" in layer:
        return f"{place}.shortcut.{'convolution' if part == '0' else 'normalization'}.{field}"
    kind = "convolution" if part.startswith("conv") else "normalization"
    return f"{place}.layer.{int(part[-1]) - 1}.{kind}.{field}"
