"""The tensors of a checkpoint file, by our names. Every format is read as data: no code is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from model_builder.checkpoints.other_networks import unknown_layers
from model_builder.checkpoints.recipe.partial import PartialRecipe
from model_builder.errors import ConversionFailed
from model_builder.networks.head import Activation

Array = npt.NDArray[np.float32]
Tensors = dict[str, Array]
CheckpointFormat = Literal["keras_h5", "keras_v3", "tfjs", "torch", "transformers", "onnx"]


@dataclass(frozen=True, slots=True, eq=False)
class StateDict:
    """The tensors of one file, and what the file states of its network.

    tensors: by our names ("conv1/kernel", "layer1_0_bn1/gamma", "fc/bias"), float32; kernels of
        convolutions are HWIO, kernels of dense layers [in, out].
    keys: the name in the file, by our name.
    strides: of each convolution by our name, where the file states them.
    stride_in_1x1, batch_norm_epsilon: None where neither the file nor the library that wrote it
        settles them.
    average_pool_shortcut: whether an average pool precedes the shortcuts' projections (ResNet-D).
    activation: behind the classifier's last dense layer, None where the file does not state it.
    head_relu: of a classifier of several layers ("head/0/kernel", see `checkpoints.head`) the
        positions after which a ReLU stands; None where the file does not state them.
    head_epsilon: of the batch norms in the classifier; None for PyTorch's default.
    recipe: what the network's own layers say of its images, None where they say nothing.
    has_statistics: whether its batch norms are those of training, and not folded.
    notes: sentences for the user about what was chosen in the file.
    """

    tensors: Tensors
    keys: dict[str, str]
    strides: dict[str, int] = field(default_factory=dict)
    stride_in_1x1: bool | None = None
    batch_norm_epsilon: float | None = None
    average_pool_shortcut: bool = False
    activation: Activation | None = None
    head_relu: frozenset[int] | None = None
    head_epsilon: float | None = None
    recipe: PartialRecipe | None = None
    has_statistics: bool = True
    notes: tuple[str, ...] = ()


def layer_name(stage: int, block: int, index: int, kind: str) -> str:
    """Our name of a convolution or batch norm in a block; index 0 is the shortcut.

    stage: from 1. block: from 0. kind: "conv" or "bn".
    """
    if index == 0:
        return f"layer{stage}_{block}_downsample_{'0' if kind == 'conv' else '1'}"
    return f"layer{stage}_{block}_{kind}{index}"


def rename(
    published: Mapping[str, Array], our_name: Callable[[str], str | None]
) -> tuple[Tensors, dict[str, str]]:
    """Tensors by our names, and the name in the file by our name.

    our_name: None for a tensor that no layer takes. Raises ConversionFailed on such a tensor, and
    where two tensors have the same name of ours.
    """
    tensors: Tensors = {}
    keys: dict[str, str] = {}
    unknown = []
    for key, values in published.items():
        name = our_name(key)
        if name is None:
            unknown.append(key)
        elif name in keys:
            raise ConversionFailed(f"{keys[name]} and {key} are both {name}")
        else:
            tensors[name], keys[name] = values, key
    if unknown:
        raise ConversionFailed(unknown_layers(unknown))
    return tensors, keys
