"""The parts of an ONNX file that are used, as data.

Source: onnx/onnx.proto of ONNX 1.17, whose field numbers these are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model_builder.checkpoints.formats.onnx.wire import (
    Value,
    content,
    fields,
    floating,
    integers,
    text,
)
from model_builder.checkpoints.formats.pytorch.tensors import to_float32
from model_builder.checkpoints.formats.state_dict import Array
from model_builder.errors import ConversionFailed
from model_builder.system.regular_file import check_regular_file, is_file_name

# A ResNet-152 has 520 nodes, and in an export that is not simplified five times as many.
NODES_LIMIT = 20_000
# A network's shapes and lists of axes.
INTEGERS_LIMIT = 1000
DTYPES = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}
INT64 = 7
ITEM_BYTES = {"float32": 4, "float16": 2, "float64": 8, "bfloat16": 2}
OUTSIDE = 1
DEFAULT_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """data: of its numbers, little-endian. place: a file beside this one that holds them."""

    name: str
    shape: tuple[int, ...]
    kind: int
    data: memoryview
    place: Mapping[str, str]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def integers(self) -> list[int]:
        """Of a short list of int64. Raises ValueError."""
        if self.kind != INT64 or self.size > INTEGERS_LIMIT or self.place:
            raise ValueError(f"{self.name} is no short list of int64")
        return [int(one) for one in np.frombuffer(self.data, "<i8", self.size)]

    def read(self, folder: Path) -> Array:
        """In float32. folder: of the file. Raises ConversionFailed and ValueError."""
        dtype = DTYPES.get(self.kind)
        if dtype is None or min(self.shape, default=1) < 0:
            raise ConversionFailed(
                f"{self.name} holds no floating-point numbers. Received: type {self.kind} of ONNX"
            )
        size_bytes = self.size * ITEM_BYTES[dtype]
        data = self._outside(folder, size_bytes) if self.place else self.data
        if len(data) != size_bytes:
            raise ValueError(f"{self.name} has {len(data)} of {size_bytes} bytes")
        return to_float32(bytes(data), dtype).reshape(self.shape)

    def _outside(self, folder: Path, size_bytes: int) -> bytes:
        name, offset = self.place.get("location", ""), int(self.place.get("offset", "0"))
        if not is_file_name(name):
            raise ConversionFailed(
                f"The weights of an ONNX file must be in its folder. Received: {name[:100]!r}"
            )
        try:
            check_regular_file(folder / name)
            with (folder / name).open("rb") as file:
                file.seek(max(0, offset))
                return file.read(size_bytes)
        except OSError as error:
            raise ConversionFailed(
                f"{name}, which holds its weights, can't be read: {error}"
            ) from (error)


@dataclass(slots=True, eq=False)
class Node:
    """integers, floats, tensors: of its attributes, by name."""

    name: str = ""
    op: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    integers: dict[str, list[int]] = field(default_factory=dict)
    floats: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """For messages: "Mul_3 (Mul)"."""
        return f"{self.name or self.outputs[0]} ({self.op})"


@dataclass(slots=True, eq=False)
class Graph:
    """inputs: without those that are tensors of the file."""

    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


def read_graph(data: memoryview) -> Graph:
    """Raises ValueError where it is no network, ConversionFailed where it is a large one."""
    graphs = [content(value) for number, value in fields(data) if number == 7]
    if len(graphs) != 1:
        raise ValueError("no graph")
    graph = Graph()
    for number, value in fields(graphs[0]):
        if number == 1:
            graph.nodes.append(_node(content(value)))
        elif number == 5:
            tensor = _tensor(content(value))
            graph.tensors[tensor.name] = tensor
        elif number == 11:
            graph.inputs.append(_name(content(value)))
        elif number == 12:
            graph.outputs.append(_name(content(value)))
        if max(len(graph.nodes), len(graph.tensors), len(graph.inputs)) > NODES_LIMIT:
            raise ConversionFailed(f"A network of ONNX may have {NODES_LIMIT} nodes and tensors")
    # Up to version 3 of the format, tensors are among the inputs.
    graph.inputs = [name for name in graph.inputs if name not in graph.tensors]
    return graph


def _name(value_info: memoryview) -> str:
    return next((text(value) for number, value in fields(value_info) if number == 1), "")


def _node(message: memoryview) -> Node:
    node = Node()
    for number, value in fields(message):
        if number == 1:
            node.inputs.append(text(value))
        elif number == 2:
            node.outputs.append(text(value))
        elif number == 3:
            node.name = text(value)
        elif number == 4:
            node.op = text(value)
        elif number == 5:
            _add_attribute(node, content(value))
        elif number == 7:
            node.domain = text(value)
    if not node.outputs:
        raise ValueError(f"a node without outputs ({node.op})")
    return node


def _add_attribute(node: Node, message: memoryview) -> None:
    name, found = "", []
    for number, value in fields(message):
        if number == 1:
            name = text(value)
        else:
            found.append((number, value))
    for number, value in found:
        if number in (3, 8):
            node.integers.setdefault(name, []).extend(integers(value))
        elif number == 2:
            node.floats[name] = floating(value)
        elif number == 4:
            node.texts[name] = text(value)
        elif number == 5:
            node.tensors[name] = _tensor(content(value))


def _tensor(message: memoryview) -> Tensor:
    shape: list[int] = []
    kind, name, outside = 0, "", False
    data: list[memoryview] = []
    place: dict[str, str] = {}
    for number, value in fields(message):
        if number == 1:
            shape += integers(value)
        elif number == 2:
            kind = _single(value)
        elif number in (4, 9, 10):
            # Floats, any numbers that are raw, doubles: the same bytes.
            data.append(content(value))
        elif number == 7:
            data.append(memoryview(np.array(integers(value), "<i8").tobytes()))
        elif number == 8:
            name = text(value)
        elif number == 13:
            entry = dict(fields(content(value)))
            place[text(entry.get(1, memoryview(b"")))] = text(entry.get(2, memoryview(b"")))
        elif number == 14:
            outside = _single(value) == OUTSIDE
    joined = data[0] if len(data) == 1 else memoryview(b"".join(data))
    return Tensor(name, tuple(shape), kind, joined, place if outside else {})


def _single(value: Value) -> int:
    (number,) = integers(value)
    return number
