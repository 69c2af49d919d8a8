"""The classifier of a checkpoint: its dense layers by our names, batch norm folded into them.

A file's classifier is "fc/kernel" and "fc/bias"; or several layers by their positions among the
classifier's modules, "head/0/kernel", "head/0/bias", "head/1/gamma", ..., "head/4/kernel", where
modules without tensors (ReLU, Dropout) count too. A bias may be missing: it is zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from model_builder.checkpoints.formats.state_dict import Array, StateDict, Tensors
from model_builder.errors import ConversionFailed
from model_builder.networks.head import LAST_LAYER, HiddenLayer, hidden_name
from model_builder.system.printable import shortlist

TENSOR = re.compile(r"head/(\d+)/(\w+)")
DENSE = ("kernel", "bias")
BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
# The default of torch.nn.BatchNorm1d, the only layer whose epsilon no option states.
EPSILON = 1e-5

Double = npt.NDArray[np.float64]


def name_head(state_dict: StateDict) -> tuple[StateDict, tuple[HiddenLayer, ...]]:
    """The same tensors with the classifier's as "head_0/kernel", ..., "fc/bias"; its hidden layers.

    Batch norm is folded into the dense layer before it, or after it where a ReLU is between.
    Where the file does not state `head_relu`, the first position without tensors behind a dense
    layer is taken for a ReLU, and others for Dropout. Raises ConversionFailed.
    """
    tensors, keys = dict(state_dict.tensors), dict(state_dict.keys)
    modules: dict[int, Tensors] = {}
    names: dict[tuple[int, str], str] = {}
    for name in state_dict.tensors:
        if match := TENSOR.fullmatch(name):
            position, field_name = int(match[1]), match[2]
            modules.setdefault(position, {})[field_name] = tensors.pop(name)
            names[position, field_name] = keys.pop(name)
    kernel = tensors.get(f"{LAST_LAYER}/kernel")
    if not modules:
        if kernel is not None and kernel.ndim == 2 and f"{LAST_LAYER}/bias" not in tensors:
            tensors[f"{LAST_LAYER}/bias"] = np.zeros(kernel.shape[1], np.float32)
            keys[f"{LAST_LAYER}/bias"] = keys[f"{LAST_LAYER}/kernel"]
        return replace(state_dict, tensors=tensors, keys=keys), ()
    if kernel is not None:
        raise ConversionFailed("The checkpoint has two classifiers, one of several layers.")
    layers = _Layers(state_dict.head_relu, state_dict.head_epsilon or EPSILON)
    for position, values in sorted(modules.items()):
        layers.add(position, values, names)
    dense = layers.finished()
    for index, layer in enumerate(dense):
        ours = LAST_LAYER if index == len(dense) - 1 else hidden_name(index)
        for field_name, wide in (("kernel", layer.kernel), ("bias", layer.bias)):
            tensors[f"{ours}/{field_name}"] = wide.astype(np.float32)
            keys[f"{ours}/{field_name}"] = names[layer.position, "kernel"]
    hidden = tuple(
        HiddenLayer(len(layer.bias), "relu" if layer.relu else "none") for layer in dense[:-1]
    )
    return replace(state_dict, tensors=tensors, keys=keys), hidden


@dataclass(slots=True, eq=False)
class _Dense:
    position: int
    kernel: Double
    bias: Double
    relu: bool


@dataclass(slots=True, eq=False)
class _Layers:
    """relu: the positions after which a ReLU stands; None where the file does not state it."""

    relu: frozenset[int] | None
    epsilon: float
    dense: list[_Dense] = field(default_factory=list)
    # Of a batch norm that no dense layer precedes without a ReLU between: of the next one's inputs.
    pending: tuple[Double, Double] | None = None
    last: int = -1

    def add(self, position: int, values: Tensors, names: Mapping[tuple[int, str], str]) -> None:
        """The module at the next position that has tensors. names: those in the file."""
        shown = shortlist(sorted(names[position, name] for name in values))
        if self.relu is None and self.dense and position > self.last + 1:
            self.dense[-1].relu = True
        if "kernel" in values and values.keys() <= set(DENSE):
            self._add_dense(position, values, shown)
        elif values.keys() == set(BATCH_NORM):
            self._add_batch_norm(values, shown)
        else:
            raise ConversionFailed(
                "A classifier has dense layers and batch norms, ReLU and Dropout. Received: "
                f"{shown}, which is neither a dense layer nor a batch norm"
            )
        if self.relu is not None and position in self.relu:
            if self.pending is not None or not self.dense:
                raise ConversionFailed(
                    f"A ReLU follows {shown}, and no dense layer is between it and the last ReLU."
                )
            self.dense[-1].relu = True
        self.last = position

    def finished(self) -> list[_Dense]:
        """Raises ConversionFailed unless the last module with an effect is a dense layer."""
        if self.pending is not None or not self.dense or self.dense[-1].relu:
            raise ConversionFailed("A classifier ends with a dense layer, which gives the logits.")
        return self.dense

    def _add_dense(self, position: int, values: Tensors, shown: str) -> None:
        kernel = np.asarray(values["kernel"], np.float64)
        if kernel.ndim != 2 or (self.dense and len(kernel) != len(self.dense[-1].bias)):
            before = f" of {len(self.dense[-1].bias)} inputs" if self.dense else ""
            raise ConversionFailed(
                f"{shown} should be a dense layer{before}. Received: kernel {kernel.shape}"
            )
        bias = np.asarray(values.get("bias", np.zeros(kernel.shape[1])), np.float64)
        _check_width(bias, kernel.shape[1], shown)
        if self.pending is not None:
            scale, shift = self.pending
            _check_width(scale, len(kernel), shown)
            kernel, bias = scale[:, None] * kernel, bias + shift @ kernel
            self.pending = None
        self.dense.append(_Dense(position, kernel, bias, relu=False))

    def _add_batch_norm(self, values: Tensors, shown: str) -> None:
        gamma, beta, mean, variance = (np.asarray(values[name], np.float64) for name in BATCH_NORM)
        for each in (beta, mean, variance):
            _check_width(each, len(gamma), shown)
        scale = gamma / np.sqrt(variance + self.epsilon)
        shift = beta - mean * scale
        if self.pending is not None:
            first_scale, first_shift = self.pending
            _check_width(scale, len(first_scale), shown)
            self.pending = scale * first_scale, scale * first_shift + shift
        elif self.dense and not self.dense[-1].relu:
            last = self.dense[-1]
            _check_width(scale, len(last.bias), shown)
            last.kernel, last.bias = last.kernel * scale, last.bias * scale + shift
        else:
            self.pending = scale, shift


def _check_width(values: Array | Double, width: int, shown: str) -> None:
    if values.shape != (width,):
        raise ConversionFailed(
            f"{shown} should have {width} values for its inputs or outputs. "
            f"Received: {values.shape}"
        )
