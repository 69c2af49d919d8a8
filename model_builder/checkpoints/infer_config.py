"""Infers a network's configuration from its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from model_builder.checkpoints.formats.state_dict import CheckpointFormat, StateDict, Tensors
from model_builder.checkpoints.head import name_head
from model_builder.checkpoints.published import PublishedTensors
from model_builder.errors import ConversionFailed
from model_builder.networks.config import RESNETS, ResNetConfig, Shortcut
from model_builder.networks.head import LAST_LAYER, hidden_name
from model_builder.networks.members import PLAIN_WIDTH, STEM_WIDTH, Member, member_name
from model_builder.networks.stem import Stem
from model_builder.system.printable import shortlist

Shape = tuple[int, ...]
BLOCK = re.compile(r"layer([1-4])_(\d+)_conv1/kernel")


def infer(format: CheckpointFormat, state_dict: StateDict) -> PublishedTensors:
    """The network, number of classes and variant of the tensors in a file.

    Raises ConversionFailed where no network of the family has these tensors, or some are missing.
    """
    network = _base(state_dict.tensors)
    state_dict, hidden_layers = name_head(state_dict)
    bias = state_dict.tensors.get("fc/bias")
    if bias is None or bias.ndim != 1:
        raise ConversionFailed(
            "The checkpoint has no classifier: no tensor for fc/kernel and fc/bias. "
            f"Received: {len(state_dict.tensors)} tensors of a {network}"
        )
    shown = _shown(state_dict, network)
    shortcut = _shortcut(state_dict.tensors, shown)
    architecture = replace(
        shown,
        shortcut=shortcut or "A",
        classes=bias.shape[0],
        hidden_layers=hidden_layers,
    )
    _check_complete(state_dict, architecture)
    stride_in_1x1 = state_dict.stride_in_1x1
    if state_dict.strides:
        stride_in_1x1 = _stride_in_1x1(state_dict.strides, architecture)
    return PublishedTensors(
        format,
        state_dict.tensors,
        architecture,
        shortcut,
        # A basic block has no 1x1 convolution that could have the stride.
        stride_in_1x1 if architecture.block == "bottleneck" else False,
        state_dict.batch_norm_epsilon,
        state_dict.activation,
        state_dict.recipe,
        state_dict.has_statistics,
        notes=state_dict.notes,
    )


def variables(architecture: ResNetConfig) -> dict[str, Shape]:
    """The shape of every variable, by our names."""
    shapes: dict[str, Shape] = {}
    for spec in architecture.convolutions():
        shapes[f"{spec.name}/kernel"] = spec.shape
        for field in ("gamma", "beta", "moving_mean", "moving_variance"):
            shapes[f"{spec.batch_norm}/{field}"] = (spec.filters,)
    hidden = map(hidden_name, range(len(architecture.hidden_layers)))
    for name, shape in zip((*hidden, LAST_LAYER), architecture.head_shapes(), strict=True):
        shapes[f"{name}/kernel"], shapes[f"{name}/bias"] = shape, shape[1:]
    return shapes


def _base(tensors: Tensors) -> str:
    """The network of the paper with these blocks."""
    blocks = [match.groups() for name in tensors if (match := BLOCK.fullmatch(name))]
    counts = tuple(sum(stage == str(number) for stage, _ in blocks) for number in (1, 2, 3, 4))
    kind = "bottleneck" if "layer1_0_conv3/kernel" in tensors else "basic"
    for name, row in RESNETS.items():
        if row == (kind, counts):
            return name
    raise ConversionFailed(
        "No ResNet of the family has these blocks. "
        f"Received: {kind}, {', '.join(map(str, counts))} in the four stages"
    )


def _shown(state_dict: StateDict, base: str) -> ResNetConfig:
    """The member of the family, by the shapes of its stem and of its first 3x3 convolution."""
    tensors = state_dict.tensors
    block, layers = RESNETS[base]
    stem, widths = _stem(tensors)
    cardinality, width = 1, PLAIN_WIDTH
    grouped = tensors.get("layer1_0_conv2/kernel")
    if block == "bottleneck" and grouped is not None and grouped.ndim == 4:
        width = max(1, grouped.shape[2])
        cardinality = max(1, grouped.shape[3] // width)
    pooled = state_dict.average_pool_shortcut
    member_stem: Stem = "deep" if stem == "deep" else "7x7"
    last = tensors.get("conv1_6/kernel") if stem == "deep" else None
    stem_width = STEM_WIDTH if last is None or last.ndim != 4 else last.shape[3]
    member = Member(base, member_stem, widths, pooled, cardinality, width, stem_width)
    first = tensors.get("conv1_0/kernel" if stem == "deep" else "conv1/kernel")
    channels = 3 if first is None or first.ndim != 4 else first.shape[2]
    if channels not in (1, 3):
        raise ConversionFailed(
            f"Networks take images of three channels, or of one. Received: {channels}"
        )
    return ResNetConfig(
        member_name(member),
        block,
        layers,
        stem_width=stem_width,
        cardinality=cardinality,
        width_per_group=width,
        stem=stem,
        stem_widths=widths,
        average_pool_shortcut=pooled,
        input_channels=channels,
    )


def _stem(tensors: Tensors) -> tuple[Stem, tuple[int, ...]]:
    """Its kind and the filters of a deep stem's first two convolutions."""
    inner = [tensors.get(f"{name}/kernel") for name in ("conv1_0", "conv1_3")]
    deep = [kernel.shape[3] for kernel in inner if kernel is not None and kernel.ndim == 4]
    if len(deep) == 2:
        return "deep", tuple(deep)
    kernel = tensors.get("conv1/kernel")
    if kernel is None or kernel.ndim != 4 or kernel.shape[0] == 7:
        return "7x7", ()
    if kernel.shape[0] == 3:
        return "3x3", ()
    raise ConversionFailed(
        "A stem is one convolution of 7x7 or 3x3 pixels, or three of 3x3. "
        f"Received: one of {kernel.shape[0]}x{kernel.shape[1]}"
    )


def _shortcut(tensors: Tensors, shown: ResNetConfig) -> Shortcut | None:
    projected = {name for name in tensors if name.endswith("_downsample_0/kernel")}
    options: tuple[Shortcut, ...] = ("B", "C")
    for option in options:
        blocks = replace(shown, shortcut=option).blocks()
        if projected == {f"{b.projection.name}/kernel" for b in blocks if b.projection}:
            return option
    if projected:
        raise ConversionFailed(
            "Shortcuts have weights where the shape changes (option B) or everywhere (C). "
            f"Received: {shortlist(sorted(projected))}"
        )
    return None


def _check_complete(state_dict: StateDict, architecture: ResNetConfig) -> None:
    expected = variables(architecture)
    if missing := sorted(expected.keys() - state_dict.tensors.keys()):
        raise ConversionFailed(f"The checkpoint has no tensor for {shortlist(missing)}")
    # Convolutions have no bias variable: `loader.assign` moves a bias into the batch norm.
    biases = {f"{spec.name}/bias": (spec.filters,) for spec in architecture.convolutions()}
    if strange := sorted(state_dict.tensors.keys() - expected.keys() - biases.keys()):
        raise ConversionFailed(
            f"No variable of a {architecture.name} takes "
            f"{shortlist(state_dict.keys[name] for name in strange)}"
        )
    for name, values in state_dict.tensors.items():
        shape = expected.get(name) or biases[name]
        if values.shape != shape:
            raise ConversionFailed(
                f"{state_dict.keys[name]} is {name}, and has shape {shape} in a "
                f"{architecture.name}. Received: {values.shape}"
            )
    check_finite(state_dict.tensors, state_dict.keys)


def check_finite(tensors: Tensors, keys: Mapping[str, str] | None = None) -> None:
    """Raises ConversionFailed where a weight is infinite or not a number.

    A ReLU makes 0 of it, so that the network may answer like a sound one.

    keys: the tensors' names in the file, where those are others.
    """
    broken = [
        f"{(keys or {}).get(name, name)} ({values.size - finite} of {values.size})"
        for name, values in tensors.items()
        if (finite := np.count_nonzero(np.isfinite(values))) < values.size
    ]
    if broken:
        raise ConversionFailed(f"Weights are infinite or not a number in {shortlist(broken)}")


def _stride_in_1x1(strides: dict[str, int], stated: ResNetConfig) -> bool:
    for stride_in_1x1 in (False, True):
        architecture = replace(stated, stride_in_1x1=stride_in_1x1)
        if all(strides.get(c.name) == c.stride for c in architecture.convolutions()):
            return stride_in_1x1
    halving = sorted(f"{name}: {stride}" for name, stride in strides.items() if stride > 1)
    raise ConversionFailed(
        f"No {stated.name} has these strides. Received: strides {shortlist(halving)}"
    )
