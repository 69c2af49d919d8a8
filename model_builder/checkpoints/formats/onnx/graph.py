"""Walks an ONNX graph from its output back to the image."""

from __future__ import annotations

from dataclasses import dataclass

from model_builder.checkpoints.formats.onnx.model import DEFAULT_DOMAINS, Graph, Node, Tensor
from model_builder.errors import ConversionFailed

WITHOUT_EFFECT = ("Identity", "Dropout")
UNFOLDED_EPSILON = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A convolution or dense layer. kernel: as in the file. transposed: [in, out], of a dense one.

    value: what it is computed from. batch_norm: gamma, beta, mean and variance; None where the
    file has folded it into the layer.
    """

    node: Node
    value: str
    kernel: Tensor
    bias: Tensor | None
    stride: int = 1
    transposed: bool = False
    batch_norm: tuple[Tensor, ...] | None = None
    epsilon: float = UNFOLDED_EPSILON


class Walk:
    """Of one graph. Every method raises ConversionFailed where the network is none of ours."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._producers = {name: node for node in graph.nodes for name in node.outputs if name}
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise ConversionFailed(
                "An ONNX network should have one input, an image, and one output. "
                f"Received: {len(graph.inputs)} and {len(graph.outputs)}"
            )
        self.image, self.output = graph.inputs[0], graph.outputs[0]

    def value(self, name: str) -> str:
        """The same value, by the name that it has before nodes without effect."""
        # As many as there are nodes: a node may be its own input.
        for _ in range(len(self._graph.nodes)):
            node = self._producers.get(name)
            if node is None or node.op not in WITHOUT_EFFECT or not node.inputs:
                break
            name = node.inputs[0]
        return name

    def node(self, name: str) -> Node:
        """The node that computes a value."""
        node = self._producers.get(self.value(name))
        if node is None:
            raise ConversionFailed(
                "The ONNX network is no ResNet: its image comes where a layer should be"
            )
        if node.domain not in DEFAULT_DOMAINS:
            raise refused(node, f"is not one of ONNX's own, but of {node.domain}")
        return node

    def is_op(self, name: str, *ops: str) -> bool:
        node = self._producers.get(self.value(name))
        return node is not None and node.op in ops

    def tensor(self, node: Node, index: int) -> Tensor:
        """An input of the node that the file holds."""
        if index < len(node.inputs):
            name = self.value(node.inputs[index])
            if name in self._graph.tensors:
                return self._graph.tensors[name]
            source = self._producers.get(name)
            if source is not None and source.op == "Constant" and "value" in source.tensors:
                return source.tensors["value"]
        raise refused(node, "has weights that are computed: export it with optimize=True")

    def has_tensor(self, node: Node, index: int) -> bool:
        try:
            self.tensor(node, index)
        except ConversionFailed:
            return False
        return True

    def axes(self, node: Node) -> list[int]:
        """Of a mean: an attribute, or since version 18 of the operators an input."""
        if "axes" in node.integers:
            return node.integers["axes"]
        if len(node.inputs) < 2:
            return []
        source = self._producers.get(self.value(node.inputs[1]))
        if source is not None and source.op == "Constant" and "value_ints" in source.integers:
            return source.integers["value_ints"]
        return self.tensor(node, 1).integers()

    def convolution(self, name: str) -> Layer:
        """The convolution that ends in a value, with its batch norm."""
        node, norm, epsilon = self.node(name), None, UNFOLDED_EPSILON
        if node.op == "BatchNormalization":
            norm = tuple(self.tensor(node, index) for index in (1, 2, 3, 4))
            epsilon = node.floats.get("epsilon", UNFOLDED_EPSILON)
            node = self.node(node.inputs[0])
        if node.op != "Conv":
            raise refused(node, "stands where a ResNet has a convolution")
        kernel = self.tensor(node, 1)
        bias = self.tensor(node, 2) if len(node.inputs) > 2 and node.inputs[2] else None
        if len(kernel.shape) != 4 or kernel.shape[2] != kernel.shape[3]:
            raise refused(node, f"has a kernel of {kernel.shape}")
        strides = node.integers.get("strides", [1, 1])
        edge = kernel.shape[2]
        expected = {
            "pads": [edge // 2] * 4,
            "dilations": [1, 1],
            "strides": [strides[0]] * 2 if strides else [1, 1],
        }
        self._check(node, expected, {"pads": [0] * 4})
        groups = node.integers.get("group", [1])[0]
        # Groups of a network are inferred from the kernel's shape, where their inputs are as many
        # as their outputs.
        if groups != 1 and kernel.shape[0] != groups * kernel.shape[1]:
            raise refused(node, f"has {groups} groups for a kernel of {kernel.shape}")
        return Layer(
            node, node.inputs[0], kernel, bias, strides[0], batch_norm=norm, epsilon=epsilon
        )

    def pool(self, node: Node, edge: int, pad: int) -> None:
        """Checks a pool with stride 2."""
        self._check(
            node,
            {
                "kernel_shape": [edge] * 2,
                "strides": [2, 2],
                "pads": [pad] * 4,
                "dilations": [1, 1],
            },
            {"pads": [0] * 4},
        )
        if node.op == "AveragePool" and node.integers.get("count_include_pad", [0]) != [0]:
            raise refused(node, "averages pixels that are not there")
        if node.op == "MaxPool" and node.integers.get("ceil_mode", [0]) != [0]:
            raise refused(node, "has ceil_mode")

    def _check(
        self, node: Node, expected: dict[str, list[int]], absent: dict[str, list[int]]
    ) -> None:
        """absent: what an attribute is where it is missing; otherwise ones."""
        if node.texts.get("auto_pad", "NOTSET") != "NOTSET":
            raise refused(node, f"has auto_pad {node.texts['auto_pad']}")
        for name, value in expected.items():
            found = node.integers.get(name, absent.get(name, [1, 1]))
            if name in node.integers or name != "kernel_shape":
                if found != value:
                    raise refused(node, f"has {name} {found}, and a ResNet {value}")
            else:
                raise refused(node, f"has no {name}")


def refused(node: Node, why: str) -> ConversionFailed:
    return ConversionFailed(f"The ONNX network is no ResNet that is served: {node.shown} {why}")
