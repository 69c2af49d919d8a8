"""PyTorch files, safetensors and `.pth`, with the names of torchvision's and timm's ResNets."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from model_builder.checkpoints.formats.byte_budget import JSON_BYTES_LIMIT, ByteBudget
from model_builder.checkpoints.formats.state_dict import Array, StateDict, rename
from model_builder.errors import ConversionFailed

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
PREFIX = "module."
WRAPPERS = ("state_dict", "model")
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def read(path: Path) -> StateDict:
    """The tensors of a safetensors or `.pth` file. Raises ConversionFailed."""
    return to_state_dict(read_state_dict(path))


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


def read_state_dict(path: Path) -> dict[str, Array]:
    """Tensors by the names in the file, float32, in PyTorch's layout, without counters.

    Raises ConversionFailed.
    """
    tensors = _safetensors(path) if is_safetensors(path) else _pickled(path)
    if tensors and all(key.startswith(PREFIX) for key in tensors):
        tensors = {key.removeprefix(PREFIX): values for key, values in tensors.items()}
    return tensors


def key_names(path: Path) -> list[str]:
    """The tensors' names; a safetensors file is read no further than its header.

    Raises ConversionFailed.
    """
    if not is_safetensors(path):
        return list(_pickled(path))
    _check_header(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return list(file.keys())
    except safetensors.SafetensorError as error:
        raise _no_safetensors(path, error) from error


def is_safetensors(path: Path) -> bool:
    """Whether the file starts with eight bytes, the header's length, and a JSON header."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def is_pickle(path: Path) -> bool:
    """Whether `torch.save` wrote the file before PyTorch 1.6; later versions write zips."""
    with path.open("rb") as file:
        return file.read(1) == b"\x80"


def _safetensors(path: Path) -> dict[str, Array]:
    _check_header(path)
    ByteBudget(path.name).take("its end", path.stat().st_size)
    try:
        found = safetensors.deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise _no_safetensors(path, error) from error
    budget = ByteBudget(path.name)
    for key, view in found:
        budget.take(key, 4 * math.prod(view["shape"]))
    return {key: _array(key, view) for key, view in found if not key.endswith(IGNORED)}


def _check_header(path: Path) -> None:
    """Raises ConversionFailed where the JSON before the tensors is too long for a ResNet's."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
    if header_bytes > JSON_BYTES_LIMIT:
        raise ConversionFailed(
            f"{path.name} may have a header of {JSON_BYTES_LIMIT} bytes. Received: {header_bytes}"
        )


def _no_safetensors(path: Path, error: safetensors.SafetensorError) -> ConversionFailed:
    return ConversionFailed(f"{path.name} is not a complete safetensors file. Received: {error}")


def _array(key: str, view: Mapping[str, Any]) -> Array:
    shape: tuple[int, ...] = tuple(view["shape"])
    if view["dtype"] == "BF16":
        # NumPy has no bfloat16, which is the upper half of a float32.
        values: Array = (np.frombuffer(view["data"], "<u2").astype("<u4") << 16).view("<f4")
        return values.reshape(shape)
    if view["dtype"] not in FLOATS:
        raise ConversionFailed(f"{key} holds no floating-point numbers. Received: {view['dtype']}")
    with np.errstate(over="ignore"):
        values = np.frombuffer(view["data"], FLOATS[view["dtype"]]).astype(np.float32)
    return values.reshape(shape)


def _pickled(path: Path) -> dict[str, Array]:
    try:
        import torch
    except ImportError:
        raise ConversionFailed(
            f"{path.name} is PyTorch's own format, and PyTorch is not installed: "
            "pip install 'resnet-server[torch]', or save its tensors as safetensors."
        ) from None
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked_bytes = sum(info.file_size for info in archive.infolist())
        ByteBudget(path.name).take("its end", unpacked_bytes)
    try:
        # weights_only: a pickle can run any code; with it only tensors and containers are read.
        found = torch.load(path, map_location="cpu", weights_only=True)
    # On malformed bytes the unpickler raises exceptions of any type.
    except Exception as error:
        raise ConversionFailed(
            f"{path.name} holds more than tensors, or is broken: {error}"
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping):
        raise ConversionFailed(f"{path.name} holds no state dict. Received: {type(found).__name__}")
    tensors: dict[str, Array] = {}
    budget = ByteBudget(path.name)
    for key, tensor in found.items():
        if not isinstance(key, str):
            raise ConversionFailed(f"A tensor's key is its name. Received: {type(key).__name__}")
        if key.endswith(IGNORED):
            continue
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            kind = getattr(tensor, "dtype", type(tensor).__name__)
            raise ConversionFailed(f"{key} holds no floating-point tensor. Received: {kind}")
        # A tensor may repeat a small memory, or share it with others.
        budget.take(key, 4 * tensor.numel())
        tensors[key] = tensor.detach().float().numpy()
    return tensors
