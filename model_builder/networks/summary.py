"""A network's stages, with the parameters and MACs of each, as in table 1 of the paper.

Source: He et al. 2015 (arXiv 1512.03385). Only the summary and the diagram of every layer import
Keras.
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
from model_builder.networks.config import ResNetConfig
from model_builder.system.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    import keras

INPUT_SIZE = 224


@dataclass(frozen=True, slots=True)
class BlockGroup:
    """`count` consecutive blocks that differ only in name; `block` is the first."""

    block: Block
    count: int


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the table: "conv1", "maxpool", "layer1" to "layer4", or "fc".

    paper_name: the stage's name in table 1.
    output_size, channels: the output is [output_size, output_size, channels].
    layers: labels of the layers of a stage without blocks.
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
        """Consecutive blocks of one shape, in order."""
        for _, alike in groupby(self.blocks, key=_shape):
            block, *more = alike
            yield BlockGroup(block, 1 + len(more))

    def shortcuts(self) -> Counter[str]:
        """The number of blocks by kind of shortcut, in the order of their first block."""
        return Counter(shortcut_kind(block) for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Description:
    """A network for square images of `input_size` pixels: its stages from image to classifier."""

    architecture: ResNetConfig
    input_size: int
    stages: tuple[Stage, ...]

    @property
    def title(self) -> str:
        """See the function `title`."""
        return title(self.architecture)

    @property
    def parameters(self) -> int:
        """Trainable parameters."""
        return sum(stage.parameters for stage in self.stages)

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations for one image."""
        return sum(stage.macs for stage in self.stages)


def describe(architecture: ResNetConfig, input_size: int = INPUT_SIZE) -> Description:
    """The network's stages. Their costs add up to `ResNetConfig.parameters` and `.macs`.

    input_size: edge of the square image, at least 1.
    """
    size = input_size
    parameters = macs = 0
    stem = architecture.stem_convolutions
    for convolution in stem:
        size = strided(size, convolution.stride)
        cost = _cost(convolution, size)
        parameters, macs = parameters + cost[0], macs + cost[1]
    channels = stem[-1].filters
    stages = [Stage("conv1", "conv1", size, channels, parameters, macs, tuple(map(label, stem)))]
    size = strided(size, architecture.max_pool_stride)
    pool = "3x3 max pool, /2" if architecture.max_pool_stride > 1 else "no max pool"
    stages.append(Stage("maxpool", "conv2_x", size, channels, 0, 0, (pool,)))
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
    stages.append(_classifier(architecture))
    return Description(architecture, input_size, tuple(stages))


def _classifier(architecture: ResNetConfig) -> Stage:
    shapes = architecture.head_shapes()
    hidden = (
        f"fc, {layer.width}{', ReLU' if layer.activation == 'relu' else ''}"
        for layer in architecture.hidden_layers
    )
    sigmoid = ", sigmoid" if architecture.activation == "sigmoid" else ""
    layers = ("average pool", *hidden, f"fc, {architecture.classes}{sigmoid}")
    parameters = sum((inputs + 1) * outputs for inputs, outputs in shapes)
    macs = sum(inputs * outputs for inputs, outputs in shapes)
    return Stage("fc", "", 1, architecture.classes, parameters, macs, layers)


def title(architecture: ResNetConfig) -> str:
    """Name, variant, shortcut option, and a stem that the name does not say. Variants differ in
    bottlenecks only.
    """
    variant = " v1" if architecture.stride_in_1x1 else " v1.5"
    name = architecture.name + variant * (architecture.block == "bottleneck")
    option = "plain" if architecture.shortcut == "none" else f"option {architecture.shortcut}"
    stem = [f"{architecture.stem} stem"] * (architecture.stem == "3x3")
    return ", ".join([name, option, *stem, *["grey"] * (architecture.input_channels == 1)])


def label(convolution: Convolution) -> str:
    """Kernel, filters, a stride above 1 and groups, as in the paper's figure 3: "3x3, 128, /2"."""
    stride = f", /{convolution.stride}" if convolution.stride > 1 else ""
    groups = f", {convolution.groups} groups" if convolution.groups > 1 else ""
    return f"{convolution.kernel}x{convolution.kernel}, {convolution.filters}{groups}{stride}"


def shortcut_kind(block: Block) -> Literal["none", "projection", "zero-padded", "identity"]:
    """The kind of shortcut around a block (section 4.1)."""
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
    """Writes Keras's diagram of every layer with its shapes, as .png or .svg by the suffix.

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
    """The network with variables that are declared and not initialized: no memory is used."""
    import_tensorflow()
    import keras

    from model_builder.networks.resnet import build_resnet

    with keras.StatelessScope(initialize_variables=False):
        return build_resnet(architecture, input_size=input_size)


def _cost(convolution: Convolution, output_size: int) -> tuple[int, int]:
    """Parameters, those of the batch norm included, and MACs."""
    return convolution.weights + 2 * convolution.filters, convolution.weights * output_size**2


def _shape(block: Block) -> tuple[str, ...]:
    return (shortcut_kind(block), *map(label, block.all_convolutions()))
