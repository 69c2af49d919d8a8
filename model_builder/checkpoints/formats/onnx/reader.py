"""ONNX networks, read as data: the layers by their places in the graph, whatever their names.

Exporters fold batch norms into the convolutions before them. Such a convolution gets a batch norm
that changes nothing: mean 0, beta its bias, and variance and epsilon 1 together.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from model_builder.checkpoints.formats.byte_budget import FILE_BYTES_LIMIT, ByteBudget
from model_builder.checkpoints.formats.onnx.body import Block, follow_body
from model_builder.checkpoints.formats.onnx.graph import UNFOLDED_EPSILON, Layer, Walk
from model_builder.checkpoints.formats.onnx.head import BATCH_NORM, Head, follow_head
from model_builder.checkpoints.formats.onnx.model import Tensor, read_graph
from model_builder.checkpoints.formats.state_dict import StateDict, Tensors, layer_name
from model_builder.checkpoints.formats.torch import to_keras
from model_builder.errors import ConversionFailed

SINGLE_STEM = (("conv1", "bn1"),)
DEEP_STEM = (("conv1_0", "conv1_1"), ("conv1_3", "conv1_4"), ("conv1_6", "bn1"))
FOLDED = (
    "The ONNX file has its batch norms folded into the convolutions, and not the statistics that "
    "an import is compared with: check it with --try."
)


def read(path: Path) -> StateDict:
    """The tensors of the ResNet in an ONNX file. Raises ConversionFailed."""
    if path.stat().st_size > FILE_BYTES_LIMIT:
        raise ConversionFailed(f"{path.name} is too large for a ResNet")
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        walk = Walk(read_graph(data))
        head, pooled = follow_head(walk)
        blocks, stem = follow_body(walk, pooled)
        return _state_dict(path, [*_named(blocks, stem)], _average_pool(blocks), head)
    except (ValueError, LookupError, OverflowError, TypeError) as error:
        raise ConversionFailed(f"{path.name} is no ONNX network, or damaged: {error}") from error


def _named(blocks: Sequence[Block], stem: Sequence[Layer]) -> Iterator[tuple[str, str, Layer]]:
    """Our names of each convolution and of its batch norm."""
    names = SINGLE_STEM if len(stem) == 1 else DEEP_STEM
    for (convolution, norm), layer in zip(names, stem, strict=True):
        yield convolution, norm, layer
    stage, index = 1, -1
    for block in blocks:
        stage, index = (stage + 1, 0) if block.halves else (stage, index + 1)
        layers = [*enumerate(block.convolutions, start=1)]
        if block.projection is not None:
            layers.append((0, block.projection))
        for number, layer in layers:
            convolution = layer_name(stage, index, number, "conv")
            yield convolution, layer_name(stage, index, number, "bn"), layer


def _average_pool(blocks: Sequence[Block]) -> bool:
    """Whether one precedes the projections that halve the image."""
    pools = {block.average_pool for block in blocks if block.projection and block.halves}
    if len(pools) > 1 or any(block.average_pool and not block.halves for block in blocks):
        raise ConversionFailed("The ONNX network has an average pool in some shortcuts alone")
    return True in pools


def _state_dict(
    path: Path, layers: Sequence[tuple[str, str, Layer]], average_pool: bool, head: Head
) -> StateDict:
    """All tensors are measured before any is read."""
    epsilon = _single_epsilon(layer.epsilon for _, _, layer in layers if layer.batch_norm)
    found: dict[str, Tensor] = {}
    for name, norm, layer in layers:
        found[f"{name}/kernel"] = layer.kernel
        if layer.batch_norm is not None:
            found |= {
                f"{norm}/{field}": tensor
                for field, tensor in zip(BATCH_NORM, layer.batch_norm, strict=True)
            }
        if layer.bias is not None:
            found[f"{name}/bias" if layer.batch_norm else f"{norm}/beta"] = layer.bias
    found |= head.named()
    budget = ByteBudget(path.name)
    for tensor in found.values():
        budget.take(tensor.name, 4 * tensor.size)
    tensors: Tensors = {}
    keys = {name: tensor.name for name, tensor in found.items()}
    for name, tensor in found.items():
        values = tensor.read(path.parent)
        tensors[name] = values if tensor.name in head.transposed else to_keras(values)
    for name, norm, layer in layers:
        if layer.batch_norm is None:
            filters = tensors[f"{name}/kernel"].shape[3]
            ones = np.ones(filters, np.float32)
            tensors |= {
                f"{norm}/gamma": ones,
                f"{norm}/moving_mean": 0 * ones,
                f"{norm}/moving_variance": ones - np.float32(epsilon),
            }
            tensors.setdefault(f"{norm}/beta", 0 * ones)
            keys |= {f"{norm}/{field}": layer.kernel.name for field in BATCH_NORM}
    folded = any(layer.batch_norm is None for _, _, layer in layers)
    return StateDict(
        tensors,
        keys,
        {name: layer.stride for name, _, layer in layers},
        batch_norm_epsilon=epsilon,
        average_pool_shortcut=average_pool,
        activation=head.activation,
        head_relu=head.relu_positions(),
        head_epsilon=_single_epsilon(head.epsilons),
        has_statistics=not folded,
        notes=(FOLDED,) if folded else (),
    )


def _single_epsilon(epsilons: Iterator[float] | set[float]) -> float:
    # Stored as float32: 1e-5 is 9.99999974e-06.
    found = {float(f"{one:.6g}") for one in epsilons} or {UNFOLDED_EPSILON}
    if len(found) > 1:
        raise ConversionFailed(f"The batch norms have several epsilons. Received: {sorted(found)}")
    return found.pop()
