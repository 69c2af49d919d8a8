"""ONNX files of a reference network, as torch.onnx.export writes them, without ONNX's library.

Source: onnx/onnx.proto of ONNX 1.17.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.model_builder.reference import BLOCKS, Reference

Array = npt.NDArray[np.float32]
CODES = {"float32": 1, "int64": 7, "float16": 10, "float64": 11}


def varint(number: int) -> bytes:
    number %= 1 << 64
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def block(number: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(data)) + data


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def tensor(name: str, values: npt.NDArray[Any]) -> bytes:
    head = b"".join(integer(1, length) for length in values.shape)
    head += integer(2, CODES[values.dtype.name]) + block(8, name)
    return head + block(9, np.ascontiguousarray(values).tobytes())


def outside(name: str, shape: Sequence[int], place: Mapping[str, str]) -> bytes:
    """A tensor whose numbers are in another file."""
    head = b"".join(integer(1, length) for length in shape) + integer(2, 1) + block(8, name)
    entries = (block(13, block(1, key) + block(2, value)) for key, value in place.items())
    return head + b"".join(entries) + integer(14, 1)


def attribute(name: str, value: int | float | str | Sequence[int]) -> bytes:
    found = block(1, name)
    if isinstance(value, float):
        return found + varint(2 << 3 | 5) + struct.pack("<f", value) + integer(20, 1)
    if isinstance(value, int):
        return found + integer(3, value) + integer(20, 2)
    if isinstance(value, str):
        return found + block(4, value) + integer(20, 3)
    return found + b"".join(integer(8, one) for one in value) + integer(20, 7)


def node(op: str, inputs: Sequence[str], output: str, **attributes: Any) -> bytes:
    found = b"".join(block(1, name) for name in inputs) + block(2, output)
    found += block(3, f"/{output}/{op}") + block(4, op)
    return found + b"".join(block(5, attribute(*one)) for one in attributes.items())


def model(
    nodes: Sequence[bytes], tensors: Sequence[bytes], inputs: Sequence[str], output: str
) -> bytes:
    graph = b"".join(block(1, one) for one in nodes) + block(2, "main_graph")
    graph += b"".join(block(5, one) for one in tensors)
    graph += b"".join(block(11, block(1, name)) for name in inputs)
    return integer(1, 8) + block(2, "pytorch") + block(7, graph + block(12, block(1, output)))


@dataclass
class Exporter:
    """Writes a reference's layers as nodes.

    folded: as exporters do, with names that say nothing. dtype: of the tensors.
    """

    reference: Reference
    folded: bool = True
    dtype: str = "float32"
    nodes: list[bytes] = field(default_factory=list)
    tensors: list[bytes] = field(default_factory=list)
    count: int = 0

    def add(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        self.count += 1
        name = f"v{self.count}"
        self.nodes.append(node(op, inputs, name, **attributes))
        return name

    def store(self, name: str, values: npt.NDArray[Any]) -> str:
        if self.folded and not name.startswith("fc"):
            name = f"onnx::Conv_{193 + len(self.tensors)}"
        self.tensors.append(tensor(name, values.astype(self.dtype)))
        return name

    def convolution(self, name: str, norm: str, value: str, stride: int) -> str:
        state = self.reference.state_dict
        kernel = state[f"{name}.weight"].astype(np.float64)
        gamma, beta, mean, variance = (
            state[f"{norm}.{one}"].astype(np.float64)
            for one in ("weight", "bias", "running_mean", "running_var")
        )
        edge = kernel.shape[-1]
        # The second convolution of a block has as many inputs as outputs.
        groups = kernel.shape[0] // kernel.shape[1] if name.endswith("conv2") else 1
        stated = {
            "dilations": [1, 1],
            "group": groups,
            "kernel_shape": [edge, edge],
            "pads": [edge // 2] * 4,
            "strides": [stride, stride],
        }
        if self.folded:
            scale = gamma / np.sqrt(variance + self.reference.epsilon)
            weights = [
                self.store("w", kernel * scale[:, None, None, None]),
                self.store("b", beta - mean * scale),
            ]
            return self.add("Conv", [value, *weights], **stated)
        value = self.add("Conv", [value, self.store(f"{name}.weight", kernel)], **stated)
        names = (f"{norm}.{one}" for one in ("weight", "bias", "running_mean", "running_var"))
        weights = [*map(self.store, names, (gamma, beta, mean, variance))]
        epsilon = self.reference.epsilon
        return self.add("BatchNormalization", [value, *weights], epsilon=epsilon, momentum=0.9)

    def relu(self, value: str) -> str:
        return self.add("Relu", [value])

    def features(self, image: str) -> str:
        """What is pooled."""
        state = self.reference.state_dict
        pooled = True
        if "conv1.0.weight" in state:
            value = self.relu(self.convolution("conv1.0", "conv1.1", image, 2))
            value = self.relu(self.convolution("conv1.3", "conv1.4", value, 1))
            value = self.relu(self.convolution("conv1.6", "bn1", value, 1))
        else:
            pooled = state["conv1.weight"].shape[-1] == 7
            value = self.relu(self.convolution("conv1", "bn1", image, 2 if pooled else 1))
        if pooled:
            stated = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [2, 2]}
            value = self.add("MaxPool", [value], **stated, ceil_mode=0)
        for stage, count in enumerate(BLOCKS[self.reference.depth], start=1):
            for index in range(count):
                value = self.block(f"layer{stage}.{index}", value, 2 if stage > 1 > index else 1)
        return value

    def block(self, name: str, start: str, stride: int) -> str:
        state = self.reference.state_dict
        last = 3 if f"{name}.conv3.weight" in state else 2
        striding = 2 if last == 3 and not self.reference.stride_in_1x1 else 1
        value = start
        for index in range(1, last + 1):
            own = stride if index == striding else 1
            value = self.convolution(f"{name}.conv{index}", f"{name}.bn{index}", value, own)
            if index < last:
                value = self.relu(value)
        shortcut = start
        if f"{name}.downsample.2.weight" in state:
            if stride > 1:
                stated = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}
                shortcut = self.add("AveragePool", [start], **stated)
            names = f"{name}.downsample.1", f"{name}.downsample.2"
            shortcut = self.convolution(*names, shortcut, 1)
        elif f"{name}.downsample.0.weight" in state:
            names = f"{name}.downsample.0", f"{name}.downsample.1"
            shortcut = self.convolution(*names, start, stride)
        return self.relu(self.add("Add", [value, shortcut]))

    def classified(self, value: str) -> str:
        value = self.add("Flatten", [self.add("GlobalAveragePool", [value])], axis=1)
        state = self.reference.state_dict
        weights = [self.store(f"fc.{one}", state[f"fc.{one}"]) for one in ("weight", "bias")]
        return self.add("Gemm", [value, *weights], alpha=1.0, beta=1.0, transB=1)

    def write(self, path: Path, output: str) -> Path:
        path.write_bytes(model(self.nodes, self.tensors, ["x"], output))
        return path


def save_onnx(path: Path, reference: Reference, **options: Any) -> Path:
    """options: of `Exporter`."""
    exporter = Exporter(reference, **options)
    return exporter.write(path, exporter.classified(exporter.features("x")))
