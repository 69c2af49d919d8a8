"""The blocks and the stem of an ONNX network, from the pooled feature map back to the image."""

from __future__ import annotations

from typing import NamedTuple

from model_builder.checkpoints.formats.onnx.graph import Layer, Walk, refused
from model_builder.errors import ConversionFailed

STEM_CONVOLUTIONS = (1, 3)
MOST_CONVOLUTIONS = 3


class Block(NamedTuple):
    """convolutions: in order. average_pool: whether one precedes the projection."""

    convolutions: list[Layer]
    projection: Layer | None
    average_pool: bool

    @property
    def halves(self) -> bool:
        strides = [layer.stride for layer in self.convolutions]
        return max(strides) > 1


def follow_body(walk: Walk, pooled: str) -> tuple[list[Block], list[Layer]]:
    """The blocks and the convolutions on the image, each in order. pooled: what is pooled."""
    blocks: list[Block] = []
    value = pooled
    while walk.is_op(value, "Relu") and walk.is_op(walk.node(value).inputs[0], "Add"):
        block, value = _block(walk, walk.node(walk.node(value).inputs[0]).inputs)
        blocks.append(block)
    max_pool = walk.is_op(value, "MaxPool")
    if max_pool:
        walk.pool(walk.node(value), 3, 1)
        value = walk.node(value).inputs[0]
    stem: list[Layer] = []
    while walk.value(value) != walk.image and len(stem) < max(STEM_CONVOLUTIONS):
        node = walk.node(value)
        if node.op != "Relu":
            raise refused(node, "stands where a ResNet has a ReLU")
        stem.append(walk.convolution(node.inputs[0]))
        value = stem[-1].value
    if walk.value(value) != walk.image or len(stem) not in STEM_CONVOLUTIONS:
        raise ConversionFailed(
            "The ONNX network is no ResNet that is served: before its blocks are other layers than "
            "one convolution, or three"
        )
    small = len(stem) == 1 and stem[0].kernel.shape[2] == 3
    if small == max_pool:
        raise ConversionFailed(
            f"The ONNX network has a 3x3 stem with{'' if max_pool else 'out'} a max pool, which no "
            "network here has"
            if small
            else "The ONNX network has no max pool behind its first convolutions"
        )
    return blocks[::-1], stem[::-1]


def _block(walk: Walk, added: list[str]) -> tuple[Block, str]:
    """The block that ends in a sum, and the value that it begins with."""
    problem: ConversionFailed | None = None
    for residual, shortcut in (added, added[::-1]):
        try:
            start, projection, average_pool = _shortcut(walk, shortcut)
            return Block(_residual(walk, residual, start), projection, average_pool), start
        except ConversionFailed as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _shortcut(walk: Walk, name: str) -> tuple[str, Layer | None, bool]:
    if not walk.is_op(name, "Conv", "BatchNormalization"):
        return walk.value(name), None, False
    projection = walk.convolution(name)
    start = walk.value(projection.value)
    average_pool = walk.is_op(start, "AveragePool")
    if average_pool:
        node = walk.node(start)
        walk.pool(node, 2, 0)
        start = walk.value(node.inputs[0])
    return start, projection, average_pool


def _residual(walk: Walk, name: str, start: str) -> list[Layer]:
    layers: list[Layer] = []
    while len(layers) < MOST_CONVOLUTIONS:
        layers.append(walk.convolution(name))
        name = layers[-1].value
        if walk.value(name) == start:
            break
        node = walk.node(name)
        if node.op != "Relu":
            raise refused(node, "stands where a ResNet has a ReLU")
        name = node.inputs[0]
    else:
        raise refused(layers[-1].node, "is in a block that no ResNet has")
    return layers[::-1]
