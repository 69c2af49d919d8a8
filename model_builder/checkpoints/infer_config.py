"""What can be told of a network from its tensors, and what has to be asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

from model_builder.checkpoints.formats import Layout, StateDict, Tensors
from model_builder.errors import ConversionFailed
from model_builder.networks.config import DEPTHS, BlockKind, ResNetConfig, Shortcut

T = TypeVar("T")
Shape = tuple[int, ...]
BLOCK = re.compile(r"layer([1-4])_(\d+)_conv1/kernel")


@dataclass(frozen=True, slots=True, eq=False)
class PublishedTensors:
    """The tensors of a file, complete for the network that they are of.

    tensors: by our names, as `convert.assign` takes them.
    shortcut: None where no shortcut has weights, which both option A and "none" have.
    stride_in_1x1, batch_norm_epsilon: no tensor shows them; None unless the file or the library
        that wrote it settles them.
    """

    layout: Layout
    tensors: Tensors
    depth: int
    classes: int
    shortcut: Shortcut | None
    stride_in_1x1: bool | None
    batch_norm_epsilon: float | None

    def architecture(
        self,
        *,
        shortcut: Shortcut | None = None,
        stride_in_1x1: bool | None = None,
        batch_norm_epsilon: float | None = None,
    ) -> ResNetConfig:
        """The network, with what the caller knows where the file says nothing.

        Raises ConversionFailed where nobody says, or the caller says something else than the file.
        """
        return ResNetConfig(
            self.depth,
            shortcut=_settled(
                "shortcut",
                self.shortcut,
                shortcut,
                "--shortcut A, or --shortcut none for a plain network",
            ),
            stride_in_1x1=_settled(
                "stride_in_1x1",
                self.stride_in_1x1,
                stride_in_1x1,
                "--variant v1 (True) for the paper's, Caffe's and Keras's networks, --variant v1.5 "
                "(False) for torchvision's, timm's and transformers'",
            ),
            batch_norm_epsilon=_settled(
                "batch_norm_epsilon",
                self.batch_norm_epsilon,
                batch_norm_epsilon,
                "--epsilon 1e-5 in PyTorch and Caffe, 1e-3 by default in Keras",
            ),
            classes=self.classes,
        )

    def check(self, architecture: ResNetConfig) -> None:
        """Raises ConversionFailed unless the tensors are of this network.

        Its epsilon is taken as it is stated: files repeat their library's default where the
        weights were trained with another.
        """
        stated = (architecture.depth, architecture.classes, architecture.shortcut)
        shortcut = self.shortcut or architecture.shortcut
        if stated != (self.depth, self.classes, shortcut) or (
            self.shortcut is None and architecture.shortcut not in ("A", "none")
        ):
            raise ConversionFailed(
                f"The file holds a resnet{self.depth} with {self.classes} classes and shortcuts "
                f"{self.shortcut or 'without weights'}. Expected: resnet{stated[0]}, {stated[1]}, "
                f"{stated[2]}"
            )
        if (
            architecture.block_kind == "bottleneck"
            and self.stride_in_1x1 is not None
            and self.stride_in_1x1 != architecture.stride_in_1x1
        ):
            raise ConversionFailed(
                f"The file's network has stride_in_1x1={self.stride_in_1x1}. "
                f"Expected: {architecture.stride_in_1x1}"
            )


def infer(layout: Layout, contents: StateDict) -> PublishedTensors:
    """Depth, classes and variant of what a file holds.

    Raises ConversionFailed where it is of no network of the family, or is not complete.
    """
    kind, depth = _depth(contents.tensors)
    bias = contents.tensors.get("fc/bias")
    if bias is None or bias.ndim != 1:
        raise ConversionFailed(
            "The checkpoint has no classifier: no tensor for fc/kernel and fc/bias. "
            f"Received: {len(contents.tensors)} tensors of a resnet{depth}"
        )
    shortcut = _shortcut(contents.tensors, depth)
    architecture = ResNetConfig(depth, shortcut=shortcut or "A", classes=bias.shape[0])
    _check_complete(contents, architecture)
    stride_in_1x1 = contents.stride_in_1x1
    if contents.strides:
        stride_in_1x1 = _stride_in_1x1(contents.strides, architecture)
    return PublishedTensors(
        layout,
        contents.tensors,
        depth,
        architecture.classes,
        shortcut,
        # A basic block has one place only for its stride.
        stride_in_1x1 if kind == "bottleneck" else False,
        contents.batch_norm_epsilon,
    )


def variables(architecture: ResNetConfig) -> dict[str, Shape]:
    """The shape of every variable, by our names."""
    shapes: dict[str, Shape] = {}
    for spec in architecture.convolutions():
        shapes[f"{spec.name}/kernel"] = (spec.kernel, spec.kernel, spec.in_channels, spec.filters)
        for field in ("gamma", "beta", "moving_mean", "moving_variance"):
            shapes[f"{spec.batch_norm}/{field}"] = (spec.filters,)
    shapes["fc/kernel"] = (architecture.feature_width, architecture.classes)
    shapes["fc/bias"] = (architecture.classes,)
    return shapes


def _depth(tensors: Tensors) -> tuple[BlockKind, int]:
    blocks = [match.groups() for name in tensors if (match := BLOCK.fullmatch(name))]
    counts = tuple(sum(stage == str(number) for stage, _ in blocks) for number in (1, 2, 3, 4))
    kind: BlockKind = "bottleneck" if "layer1_0_conv3/kernel" in tensors else "basic"
    for depth, row in DEPTHS.items():
        if row == (kind, counts):
            return kind, depth
    raise ConversionFailed(
        "No ResNet of the family has these blocks. "
        f"Received: {kind}, {', '.join(map(str, counts))} in the four stages"
    )


def _shortcut(tensors: Tensors, depth: int) -> Shortcut | None:
    projected = {name for name in tensors if name.endswith("_downsample_0/kernel")}
    for option in ("B", "C"):
        blocks = ResNetConfig(depth, shortcut=option).blocks()
        if projected == {f"{b.projection.name}/kernel" for b in blocks if b.projection}:
            return option
    if projected:
        raise ConversionFailed(
            "Shortcuts have weights where the shape changes (option B) or everywhere (C). "
            f"Received: {', '.join(sorted(projected))}"
        )
    return None


def _check_complete(contents: StateDict, architecture: ResNetConfig) -> None:
    expected = variables(architecture)
    if missing := sorted(expected.keys() - contents.tensors.keys()):
        raise ConversionFailed(f"The checkpoint has no tensor for {', '.join(missing)}")
    # A convolution's bias has no variable of its own; the batch norm behind it takes it in.
    biases = {f"{spec.name}/bias": (spec.filters,) for spec in architecture.convolutions()}
    if strange := sorted(contents.tensors.keys() - expected.keys() - biases.keys()):
        raise ConversionFailed(
            f"No variable of a resnet{architecture.depth} takes "
            f"{', '.join(contents.keys[name] for name in strange)}"
        )
    for name, values in contents.tensors.items():
        shape = expected.get(name) or biases[name]
        if values.shape != shape:
            raise ConversionFailed(
                f"{contents.keys[name]} is {name}, and has shape {shape} in a "
                f"resnet{architecture.depth}. Received: {values.shape}"
            )


def _stride_in_1x1(strides: dict[str, int], stated: ResNetConfig) -> bool:
    for stride_in_1x1 in (False, True):
        architecture = ResNetConfig(
            stated.depth, shortcut=stated.shortcut, stride_in_1x1=stride_in_1x1
        )
        if all(strides.get(c.name) == c.stride for c in architecture.convolutions()):
            return stride_in_1x1
    halving = sorted(f"{name}: {stride}" for name, stride in strides.items() if stride > 1)
    raise ConversionFailed(
        f"No resnet{stated.depth} halves the image so. Received: strides {', '.join(halving)}"
    )


def _settled(name: str, found: T | None, given: T | None, hint: str) -> T:
    if found is not None and given is not None and found != given:
        raise ConversionFailed(f"The file's network has {name}={found!r}. Received: {given!r}")
    settled = given if found is None else found
    if settled is None:
        raise ConversionFailed(f"The file does not say {name}, and it has to be stated: {hint}.")
    return settled
