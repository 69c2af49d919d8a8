"""The classifier behind the pooled features: dense layers in float32, and what logits mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_builder.networks.head import Activation, HiddenActivation

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """A hidden dense layer. kernel: [in, out]. bias: [out]. activation: of its outputs."""

    kernel: Array
    bias: Array
    activation: HiddenActivation = "relu"

    def __call__(self, values: Array) -> Array:
        """float32 [N, in] to float32 [N, out]."""
        found = values @ self.kernel + self.bias
        if self.activation == "relu":
            found = np.maximum(found, 0)
        return np.asarray(found, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The classifier after global average pooling, float32.

    kernel: [features, classes], or [width of the last hidden layer, classes]. bias: [classes].
    hidden: the dense layers between the pooled features and these, in order.
    activation: "softmax" where every image has one class, "sigmoid" where the classes are
    independent of each other.
    """

    kernel: Array
    bias: Array
    hidden: tuple[Dense, ...] = ()
    activation: Activation = "softmax"

    @property
    def features(self) -> int:
        """The number of pooled features."""
        first = self.hidden[0] if self.hidden else self
        return int(first.kernel.shape[0])

    @property
    def is_linear(self) -> bool:
        """Whether there is one dense layer: only then is a class activation map defined."""
        return not self.hidden

    def logits(self, pooled: Array) -> Array:
        """Pooled features, float32 [N, features], to float32 [N, classes]."""
        for layer in self.hidden:
            pooled = layer(pooled)
        return np.asarray(pooled @ self.kernel + self.bias, np.float32)

    def probabilities(self, logits: Array) -> Array:
        """Logits, float32 [..., classes], to probabilities, 0 to 1.

        Softmax's sum to 1 over the last axis. Sigmoid's are independent of each other.
        """
        return sigmoid(logits) if self.activation == "sigmoid" else softmax(logits)

    def answer(self, logits: Array) -> tuple[int, ...]:
        """The classes that a row of logits, float32 [classes], names; for comparing precisions.

        Softmax's most probable class; of sigmoid's all that have a probability of 0.5 or more.
        """
        if self.activation == "sigmoid":
            return tuple(np.flatnonzero(logits >= 0).tolist())
        return (int(logits.argmax()),)


def softmax(values: Array) -> Array:
    """Logits, float32 [..., classes], to probabilities that sum to 1 over the last axis."""
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), np.float32)


def sigmoid(values: Array) -> Array:
    """Logits of any shape, float32, each to its own probability: 1 / (1 + exp(-value))."""
    # exp of a negative number only: it can't overflow.
    small = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1, small) / (1 + small), np.float32)
