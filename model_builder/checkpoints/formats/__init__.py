"""Files of published weights, one module a layout. All are read as data: nothing is executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from model_builder.errors import ConversionFailed

Array = npt.NDArray[np.float32]
Tensors = dict[str, Array]
Layout = Literal["keras_h5", "keras_v3", "tfjs", "torch", "transformers"]

# Four times a ResNet-152; what unpacks to more is broken or means harm.
FILE_BYTES_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class StateDict:
    """What a file holds.

    tensors: by our names ("conv1/kernel", "layer1_0_bn1/gamma", "fc/bias"), float32, kernels of
        convolutions HWIO, those of dense layers [in, out].
    keys: what the file calls each of them.
    strides: of each convolution by our name, where the file says them.
    stride_in_1x1, batch_norm_epsilon: None where neither the file nor its lineage settles them.
    """

    tensors: Tensors
    keys: dict[str, str]
    strides: dict[str, int] = field(default_factory=dict)
    stride_in_1x1: bool | None = None
    batch_norm_epsilon: float | None = None


def layer_name(stage: int, block: int, index: int, kind: str) -> str:
    """Our name of a block's convolution or batch norm; index 0 is the shortcut's.

    stage: from 1. block: from 0. kind: "conv" or "bn".
    """
    if index == 0:
        return f"layer{stage}_{block}_downsample_{'0' if kind == 'conv' else '1'}"
    return f"layer{stage}_{block}_{kind}{index}"


def rename(
    published: Mapping[str, Array], our_name: Callable[[str], str | None]
) -> tuple[Tensors, dict[str, str]]:
    """Tensors by our names, and the published name of each.

    Raises ConversionFailed on one that has no place here, or that two have a claim to.
    """
    tensors: Tensors = {}
    keys: dict[str, str] = {}
    strange = []
    for key, values in published.items():
        name = our_name(key)
        if name is None:
            strange.append(key)
        elif name in keys:
            raise ConversionFailed(f"{keys[name]} and {key} are both {name}")
        else:
            tensors[name], keys[name] = values, key
    if strange:
        raise ConversionFailed(f"No layer of the network takes {', '.join(sorted(strange))}")
    return tensors, keys
