"""Computes a network in NumPy up to its pooled features, for the inputs of its batch norms.

Needs neither Keras nor an engine, and can halve the image in ways that our networks don't have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from model_builder.networks.blocks import Block, Convolution
from model_builder.networks.config import ResNetConfig

Array = npt.NDArray[np.float32]
# Of fewer input channels, all pixels under a kernel are multiplied at once.
FEW_CHANNELS = 8


@dataclass(frozen=True, slots=True)
class Wiring:
    """What tensors don't show of how a network halves the image.

    antialias: what follows each 3x3 convolution, and the max pool, whose stride is 1 then: an
        average of 2x2 pixels (timm's resnetaa50), which replaces the max pool, or a blur
        (resnetblur50, arXiv 1904.11486).
    """

    stride_in_1x1: bool
    antialias: Literal["average", "blur"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of each channel, over all images and pixels: [C]."""

    mean: Array
    variance: Array


def observe(
    tensors: Mapping[str, Array], architecture: ResNetConfig, images: Array, wiring: Wiring
) -> dict[str, Moments]:
    """The moments of what enters each batch norm, by the batch norm's name.

    tensors: by our names. images: [N, H, W, input channels], normalized. Values that float32 does
    not hold are infinite or NaN.
    """
    with np.errstate(all="ignore"):
        return _Network(tensors, architecture, wiring).run(images)


class _Network:
    def __init__(
        self, tensors: Mapping[str, Array], architecture: ResNetConfig, wiring: Wiring
    ) -> None:
        self._tensors = tensors
        self._architecture = architecture
        self._wiring = wiring
        self._moments: dict[str, Moments] = {}

    def run(self, x: Array) -> dict[str, Moments]:
        for spec in self._architecture.stem_convolutions:
            x = _relu(self._convolution(x, spec, spec.stride))
        if (stride := self._architecture.max_pool_stride) > 1:
            if self._wiring.antialias == "average":
                x = _average(x)
            elif self._wiring.antialias == "blur":
                x = _blur(_max_pool(x, 1))
            else:
                x = _max_pool(x, stride)
        for block in self._architecture.blocks():
            x = self._block(x, block)
        return self._moments

    def _block(self, x: Array, block: Block) -> Array:
        stride, halving = block.stride, 0
        if len(block.convolutions) == 3 and not self._wiring.stride_in_1x1:
            halving = 1
        residual = x
        for index, spec in enumerate(block.convolutions):
            own = stride if index == halving else 1
            smooth = own > 1 and self._wiring.antialias
            residual = self._convolution(residual, spec, 1 if smooth else own)
            if index < len(block.convolutions) - 1:
                residual = _relu(residual)
            if smooth:
                residual = _average(residual) if smooth == "average" else _blur(residual)
        if not block.has_shortcut:
            return _relu(residual)
        if block.projection is None:
            x = x[:, ::stride, ::stride]
            x = np.pad(x, ((0, 0), (0, 0), (0, 0), (0, residual.shape[3] - x.shape[3])))
        elif block.average_pool:
            x = self._convolution(_average(x) if stride > 1 else x, block.projection, 1)
        else:
            x = self._convolution(x, block.projection, stride)
        return _relu(residual + x)

    def _convolution(self, x: Array, spec: Convolution, stride: int) -> Array:
        """A convolution, whose moments are kept, and its batch norm."""
        kernel, norm = self._tensors[f"{spec.name}/kernel"], spec.batch_norm
        y = _grouped(x, kernel, stride, spec.groups)
        if (bias := self._tensors.get(f"{spec.name}/bias")) is not None:
            y += bias
        self._moments[norm] = Moments(y.mean((0, 1, 2)), y.var((0, 1, 2)))
        gamma, beta, mean, variance = (
            self._tensors[f"{norm}/{field}"]
            for field in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / np.sqrt(variance + self._architecture.batch_norm_epsilon)
        return np.asarray(y * scale + (beta - mean * scale), np.float32)


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _grouped(x: Array, kernel: Array, stride: int, groups: int) -> Array:
    pad = kernel.shape[0] // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    if groups == 1:
        return _convolved(x, kernel, stride)
    parts = zip(np.split(x, groups, 3), np.split(kernel, groups, 3), strict=True)
    return np.concatenate([_convolved(*part, stride) for part in parts], 3)


def _convolved(x: Array, kernel: Array, stride: int) -> Array:
    """x: [N, H, W, C], padded. kernel: [K, K, C, filters]."""
    edge, _, channels, filters = kernel.shape
    height, width = ((length - edge) // stride + 1 for length in x.shape[1:3])
    if channels < FEW_CHANNELS:
        seen = np.lib.stride_tricks.sliding_window_view(x, (edge, edge), axis=(1, 2))
        rows = seen[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
        made = rows.reshape(-1, edge * edge * channels) @ kernel.reshape(-1, filters)
        return np.asarray(made.reshape(-1, height, width, filters), np.float32)
    total = np.zeros((len(x) * height * width, filters), np.float32)
    for row in range(edge):
        for column in range(edge):
            part = _every(x, row, column, height, width, stride)
            total += np.ascontiguousarray(part).reshape(-1, channels) @ kernel[row, column]
    return total.reshape(-1, height, width, filters)


def _every(x: Array, row: int, column: int, height: int, width: int, stride: int) -> Array:
    """[N, height, width, C]: each `stride`-th pixel from there on."""
    rows = slice(row, row + (height - 1) * stride + 1, stride)
    return x[:, rows, column : column + (width - 1) * stride + 1 : stride]


def _max_pool(x: Array, stride: int) -> Array:
    """3x3; zeros around what a ReLU has made change no maximum."""
    height, width = ((length - 1) // stride + 1 for length in x.shape[1:3])
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    parts = [_every(x, i, j, height, width, stride) for i in range(3) for j in range(3)]
    return np.asarray(np.max(parts, axis=0), np.float32)


def _average(x: Array) -> Array:
    """2x2 with stride 2; a last row or column alone is its own average."""
    x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), mode="edge")
    total = x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
    return np.asarray(total / 4, np.float32)


def _blur(x: Array) -> Array:
    """1 2 1 both ways with stride 2."""
    height, width = (-(-length // 2) for length in x.shape[1:3])
    mode = "reflect" if min(x.shape[1:3]) > 1 else "edge"
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=mode)  # type: ignore[call-overload]
    weights = (1, 2, 1)
    total = sum(
        weights[i] * weights[j] * _every(x, i, j, height, width, 2)
        for i in range(3)
        for j in range(3)
    )
    return np.asarray(total / 16, np.float32)
