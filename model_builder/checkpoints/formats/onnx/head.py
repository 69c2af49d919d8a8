"""The classifier of an ONNX network, from its output back to the pooled features."""

from __future__ import annotations

from dataclasses import dataclass, field

from model_builder.checkpoints.formats.onnx.graph import UNFOLDED_EPSILON, Walk, refused
from model_builder.checkpoints.formats.onnx.model import Node, Tensor
from model_builder.errors import ConversionFailed
from model_builder.networks.head import Activation

MOST_NODES = 64
RESHAPES = ("Flatten", "Reshape", "Squeeze")
BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
OF_PIXELS = [2, 3]


@dataclass(slots=True, eq=False)
class Head:
    """modules: from the output to the features, each the tensors of a dense layer or batch norm.

    transposed: names of the kernels that are [in, out] in the file. relu: after how many modules,
    counted from the output, one stands.
    """

    modules: list[dict[str, Tensor]] = field(default_factory=list)
    transposed: set[str] = field(default_factory=set)
    relu: set[int] = field(default_factory=set)
    epsilons: set[float] = field(default_factory=set)
    activation: Activation | None = None

    def named(self) -> dict[str, Tensor]:
        """The tensors by our names."""
        if len(self.modules) == 1 and not self.relu:
            return {f"fc/{name}": tensor for name, tensor in self.modules[0].items()}
        return {
            f"head/{position}/{name}": tensor
            for position, module in enumerate(reversed(self.modules))
            for name, tensor in module.items()
        }

    def relu_positions(self) -> frozenset[int]:
        """From the features on."""
        return frozenset(len(self.modules) - 1 - index for index in self.relu)


def follow_head(walk: Walk) -> tuple[Head, str]:
    """The classifier, and the value that is pooled. Raises ConversionFailed."""
    head, value, bias = Head(), walk.output, None
    for _ in range(MOST_NODES):
        node = walk.node(value)
        if bias is not None and node.op != "MatMul":
            raise refused(node, "stands where a classifier has a dense layer")
        if node.op in ("GlobalAveragePool", "ReduceMean"):
            if node.op == "ReduceMean" and sorted(a % 4 for a in walk.axes(node)) != OF_PIXELS:
                raise refused(node, "is no mean over pixels")
            if not head.modules:
                raise ConversionFailed("The ONNX network has no classifier")
            return head, node.inputs[0]
        if node.op in ("Softmax", "Sigmoid") and not head.modules and head.activation is None:
            head.activation = "softmax" if node.op == "Softmax" else "sigmoid"
        elif node.op == "Relu":
            head.relu.add(len(head.modules))
        elif node.op == "Gemm":
            _add_gemm(head, walk, node)
        elif node.op == "MatMul":
            kernel = walk.tensor(node, 1)
            head.modules.append({"kernel": kernel} | ({"bias": bias} if bias else {}))
            head.transposed.add(kernel.name)
            bias = None
        elif node.op == "Add" and len(node.inputs) == 2:
            index = 0 if walk.has_tensor(node, 0) else 1
            bias, value = walk.tensor(node, index), node.inputs[1 - index]
            continue
        elif node.op == "BatchNormalization":
            tensors = [walk.tensor(node, index) for index in (1, 2, 3, 4)]
            head.modules.append(dict(zip(BATCH_NORM, tensors, strict=True)))
            head.epsilons.add(node.floats.get("epsilon", UNFOLDED_EPSILON))
        elif node.op not in RESHAPES:
            raise refused(node, "stands where a classifier has a dense layer")
        value = node.inputs[0]
    raise ConversionFailed("The ONNX network has a longer classifier than is served")


def _add_gemm(head: Head, walk: Walk, node: Node) -> None:
    factors = {node.floats.get(name, 1.0) for name in ("alpha", "beta")}
    if factors != {1.0} or node.integers.get("transA", [0]) != [0]:
        raise refused(node, "scales or transposes its inputs")
    kernel = walk.tensor(node, 1)
    module = {"kernel": kernel}
    if len(node.inputs) > 2 and node.inputs[2]:
        module["bias"] = walk.tensor(node, 2)
    head.modules.append(module)
    if node.integers.get("transB", [0]) == [0]:
        head.transposed.add(kernel.name)
