"""What a network of the family is made of, stage by stage, and what each costs.

Laid out as table 1 of He et al. 2015 (arXiv 1512.03385). The numbers need no Keras; the layer
summary and Keras's own diagram do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from model_builder.errors import BuilderError
from model_builder.networks.blocks import Block, Convolution, strided
from model_builder.networks.config import MAXPOOL_STRIDE, ResNetConfig
from model_builder.system.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    import keras

INPUT_SIZE = 224


@dataclass(frozen=True, slots=True)
class BlockGroup:
    """`count` blocks in a row that differ in their names alone; `block` is the first."""

    block: Block
    count: int


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the table: "conv1", "maxpool", "layer1" to "layer4", or "fc".

    paper_name: what table 1 calls it.
    output_size, channels: of the feature map that leaves it, [output_size, output_size, channels].
    layers: in words, where the stage is not made of blocks.
    """

    name: str
    paper_name: str
    output_size: int
    channels: int
    parameters: int
    macs: int
    layers: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()

    def groups(self) -> Iterator[BlockGroup]:
        for _, alike in groupby(self.blocks, key=_shape):
            block, *more = alike
            yield BlockGroup(block, 1 + len(more))

    def shortcuts(self) -> Counter[str]:
        """How many of its blocks have which kind of shortcut, in the order they come."""
        return Counter(shortcut_kind(block) for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Description:
    """A network for square images of `input_size`, from the image to the classifier."""

    architecture: ResNetConfig
    input_size: int
    stages: tuple[Stage, ...]

    @property
    def title(self) -> str:
        return title(self.architecture)

    @property
    def parameters(self) -> int:
        return sum(stage.parameters for stage in self.stages)

    @property
    def macs(self) -> int:
        return sum(stage.macs for stage in self.stages)


def describe(architecture: ResNetConfig, input_size: int = INPUT_SIZE) -> Description:
    """The network's stages. Their costs add up to `ResNetConfig.parameters` and `.macs`.

    input_size: edge of the square image, at least 1.
    """
    stem = architecture.stem
    size = strided(input_size, stem.stride)
    stages = [
        Stage("conv1", "conv1", size, stem.filters, *_cost(stem, size), (label(stem),)),
    ]
    size = strided(size, MAXPOOL_STRIDE)
    stages.append(Stage("maxpool", "conv2_x", size, stem.filters, 0, 0, ("3x3 max pool, /2",)))
    for index, alike in groupby(architecture.blocks(), key=lambda block: block.stage):
        blocks = tuple(alike)
        parameters = macs = 0
        for block in blocks:
            for convolution, output_size in block.outputs(size):
                cost = _cost(convolution, output_size)
                parameters, macs = parameters + cost[0], macs + cost[1]
            size = strided(size, block.stride)
        stages.append(
            Stage(
                f"layer{index}",
                f"conv{index + 1}_x",
                size,
                blocks[-1].filters,
                parameters,
                macs,
                blocks=blocks,
            )
        )
    width, classes = architecture.feature_width, architecture.classes
    layers = ("average pool", f"fc, {classes}")
    stages.append(Stage("fc", "", 1, classes, (width + 1) * classes, width * classes, layers))
    return Description(architecture, input_size, tuple(stages))


def title(architecture: ResNetConfig) -> str:
    """Depth, variant and shortcut option. Basic blocks have no 1x1 to tell v1 from v1.5 by."""
    variant = " v1" if architecture.stride_in_1x1 else " v1.5"
    name = architecture.name + variant * (architecture.block == "bottleneck")
    return f"{name}, " + (
        "plain" if architecture.shortcut == "none" else f"option {architecture.shortcut}"
    )


def label(convolution: Convolution) -> str:
    """As the paper's figure 3 writes it: kernel, filters, and the stride where there is one."""
    stride = f", /{convolution.stride}" if convolution.stride > 1 else ""
    return f"{convolution.kernel}x{convolution.kernel}, {convolution.filters}{stride}"


def shortcut_kind(block: Block) -> Literal["none", "projection", "zero-padded", "identity"]:
    if not block.has_shortcut:
        return "none"
    if block.projection is not None:
        return "projection"
    changes = block.stride > 1 or block.filters != block.in_channels
    return "zero-padded" if changes else "identity"


def layer_summary(architecture: ResNetConfig, input_size: int) -> str:
    """Keras's summary: every layer with its output shape and its parameters."""
    lines: list[str] = []
    network = _network(architecture, input_size)
    network.summary(print_fn=lines.append)
    return "\n".join(lines)


def plot_layers(architecture: ResNetConfig, input_size: int, file: Path) -> None:
    """Keras's diagram of every layer with its shapes, as the suffix says: .png or .svg.

    Raises BuilderError where pydot or graphviz is missing.
    """
    network = _network(architecture, input_size)
    import keras

    try:
        keras.utils.plot_model(network, str(file), show_shapes=True, show_layer_names=True, dpi=96)
    except ImportError as error:
        raise BuilderError(
            "Keras draws every layer with pydot (`pip install pydot`) and graphviz "
            f"(its program `dot`). Received: {error}"
        ) from error


def _network(architecture: ResNetConfig, input_size: int) -> keras.Model:
    """The network with its variables declared and none filled: no memory, little time."""
    import_tensorflow()
    import keras

    from model_builder.networks.resnet import build_resnet

    with keras.StatelessScope(initialize_variables=False):
        return build_resnet(architecture, input_size=input_size)


def _cost(convolution: Convolution, output_size: int) -> tuple[int, int]:
    """Parameters, with those of the batch norm, and MACs."""
    return convolution.weights + 2 * convolution.filters, convolution.weights * output_size**2


def _shape(block: Block) -> tuple[str, ...]:
    return (shortcut_kind(block), *map(label, block.all_convolutions()))
