"""The classifier of a network as data: its hidden layers, and how logits become probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Activation = Literal["softmax", "sigmoid"]
HiddenActivation = Literal["relu", "none"]
# The name of the last dense layer, as torchvision's ResNet has it.
LAST_LAYER = "fc"


@dataclass(frozen=True, slots=True)
class HiddenLayer:
    """A dense layer between the pooled features and the last dense layer.

    width: its outputs, at least 1. activation: of its outputs. Raises ValueError.
    """

    width: int
    activation: HiddenActivation = "relu"

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"A hidden layer's width must be at least 1. Received: {self.width}")
        if self.activation not in ("relu", "none"):
            raise ValueError(
                f"A hidden layer's activation must be relu or none. Received: {self.activation!r}"
            )


def hidden_name(index: int) -> str:
    """The name of a hidden layer: "head_0" of the one on the pooled features."""
    return f"head_{index}"
