"""The names of torchvision's and timm's ResNets, and PyTorch's layout of kernels."""

from __future__ import annotations

import re
from collections.abc import Mapping

from model_builder.checkpoints.formats.state_dict import Array, StateDict, rename

LAYER = re.compile(
    r"(conv1(?:\.[01346])?|bn1|fc|layer[1-4]\.\d+\.(?:conv[1-3]|bn[1-3]|downsample\.[01]))\.(\w+)"
)
# Of ResNet-D: an average pool is at index 0, and the projection and its batch norm follow.
POOLED = re.compile(r"\.downsample\.([12])\.")
# The batch norms of a deep stem, which is a list.
STEM_BATCH_NORMS = ("conv1_1", "conv1_4")
KERNEL_FIELDS = {"weight": "kernel", "bias": "bias"}
BATCH_NORM_FIELDS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
# A counter that only training without momentum uses.
IGNORED = "num_batches_tracked"


def to_state_dict(state_dict: Mapping[str, Array]) -> StateDict:
    """Tensors in PyTorch's names and layout, in ours. Raises ConversionFailed."""
    average_pool = any((match := POOLED.search(key)) and match[1] == "2" for key in state_dict)
    tensors, keys = rename(
        {key: to_keras(values) for key, values in state_dict.items()},
        pooled_name if average_pool else our_name,
    )
    return StateDict(tensors, keys, average_pool_shortcut=average_pool)


def our_name(key: str) -> str | None:
    """Our name: "layer1_0_downsample_0/kernel" for "layer1.0.downsample.0.weight"."""
    match = LAYER.fullmatch(key)
    if match is None:
        return None
    layer, field = match.groups()
    return parameter(layer.replace(".", "_"), field)


def pooled_name(key: str) -> str | None:
    """Our name in a ResNet-D: "layer1_0_downsample_0/kernel" for "layer1.0.downsample.1.weight"."""
    return our_name(POOLED.sub(lambda match: f".downsample.{int(match[1]) - 1}.", key))


def parameter(layer: str, field: str) -> str | None:
    """Our name of a PyTorch parameter, given our name of its layer."""
    batch_norm = "bn" in layer or layer.endswith("downsample_1") or layer in STEM_BATCH_NORMS
    fields = BATCH_NORM_FIELDS if batch_norm else KERNEL_FIELDS
    return f"{layer}/{fields[field]}" if field in fields else None


def to_keras(values: Array) -> Array:
    """A kernel in Keras's layout: OIHW to HWIO, [out, in] to [in, out]. Vectors are unchanged."""
    kernel: Array = values.transpose(2, 3, 1, 0) if values.ndim == 4 else values.T
    return kernel
