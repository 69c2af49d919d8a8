"""The tensors of a file, complete for a network, and what the caller must state of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from model_builder.checkpoints.formats.state_dict import CheckpointFormat, Tensors
from model_builder.checkpoints.recipe.partial import PartialRecipe
from model_builder.errors import ConversionFailed
from model_builder.networks.config import ResNetConfig, Shortcut
from model_builder.networks.head import Activation

T = TypeVar("T")
# How `resnet import` is told what no tensor shows.
OPTIONS = {
    "shortcut": "--shortcut A, or --shortcut none for a plain network",
    "stride_in_1x1": "--variant v1 (True) for the paper's, Caffe's and Keras's networks, --variant "
    "v1.5 (False) for torchvision's, timm's and transformers'",
    "batch_norm_epsilon": "--epsilon 1e-5 in PyTorch and Caffe, 1e-3 by default in Keras",
}
ONE_LOGIT = (
    "The classifier has one logit, of which a softmax is always 1: --activation sigmoid makes it "
    "the probability of its class."
)


@dataclass(frozen=True, slots=True, eq=False)
class PublishedTensors:
    """The tensors of a file, complete for the network that they belong to.

    tensors: by our names, as `loader.assign` takes them.
    shown: the network as far as tensors show it.
    shortcut: None where no shortcut has weights, which both option A and "none" have.
    stride_in_1x1, batch_norm_epsilon, activation: no tensor shows them; None unless the file or
        the library that wrote it settles them.
    recipe: what the network's own layers say of its images, None where they say nothing.
    has_statistics: whether its batch norms are those of training, and not folded.
    notes: sentences for the user about what was chosen in the file.
    """

    format: CheckpointFormat
    tensors: Tensors
    shown: ResNetConfig
    shortcut: Shortcut | None
    stride_in_1x1: bool | None
    batch_norm_epsilon: float | None
    activation: Activation | None = None
    recipe: PartialRecipe | None = None
    has_statistics: bool = True
    notes: tuple[str, ...] = ()

    @property
    def network(self) -> str:
        """The family's name, "resnet50"."""
        return self.shown.name

    @property
    def classes(self) -> int:
        return self.shown.classes

    @property
    def depth(self) -> int:
        """18 for "resnet18"."""
        return self.shown.depth

    def architecture(
        self,
        *,
        shortcut: Shortcut | None = None,
        stride_in_1x1: bool | None = None,
        batch_norm_epsilon: float | None = None,
        activation: Activation | None = None,
    ) -> ResNetConfig:
        """The network's configuration. The arguments state what the file does not show; a softmax
        needs no statement.

        Raises ConversionFailed where a value is neither in the file nor stated, or the two differ.
        """
        if missing := self.unstated(
            shortcut=shortcut,
            stride_in_1x1=stride_in_1x1,
            batch_norm_epsilon=batch_norm_epsilon,
            activation=activation,
        ):
            raise ConversionFailed(" ".join(missing))
        default: Activation | None = "softmax" if self.activation is None else None
        return replace(
            self.shown,
            shortcut=_settled("shortcut", self.shortcut, shortcut),
            stride_in_1x1=_settled("stride_in_1x1", self.stride_in_1x1, stride_in_1x1),
            batch_norm_epsilon=_settled(
                "batch_norm_epsilon", self.batch_norm_epsilon, batch_norm_epsilon
            ),
            activation=_settled("activation", self.activation, activation or default),
        )

    def unstated(
        self,
        *,
        shortcut: Shortcut | None = None,
        stride_in_1x1: bool | None = None,
        batch_norm_epsilon: float | None = None,
        activation: Activation | None = None,
    ) -> list[str]:
        """A sentence for each value that is neither in the file nor stated, with its option."""
        one_logit = self.classes == 1 and "sigmoid" not in (self.activation, activation)
        values = {
            "shortcut": (self.shortcut, shortcut),
            "stride_in_1x1": (self.stride_in_1x1, stride_in_1x1),
            "batch_norm_epsilon": (self.batch_norm_epsilon, batch_norm_epsilon),
        }
        return [
            f"The file does not show {name}, and it has to be stated: {OPTIONS[name]}."
            for name, value in values.items()
            if value == (None, None)
        ] + [ONE_LOGIT] * one_logit

    def check(self, architecture: ResNetConfig) -> None:
        """Raises ConversionFailed unless the tensors belong to this network.

        The file's epsilon is not compared: some files state their library's default where the
        weights were trained with another value.
        """
        stated = (architecture.name, architecture.classes, architecture.shortcut)
        shown = replace(
            self.shown,
            shortcut=self.shortcut or architecture.shortcut,
            stride_in_1x1=architecture.stride_in_1x1,
            batch_norm_epsilon=architecture.batch_norm_epsilon,
            activation=self.activation or architecture.activation,
        )
        if shown != architecture or (
            self.shortcut is None and architecture.shortcut not in ("A", "none")
        ):
            raise ConversionFailed(
                f"The file holds a {self.network} with {self.classes} classes and shortcuts "
                f"{self.shortcut or 'without weights'}. Expected: {stated[0]}, {stated[1]}, "
                f"{stated[2]}"
            )
        if (
            architecture.block == "bottleneck"
            and self.stride_in_1x1 is not None
            and self.stride_in_1x1 != architecture.stride_in_1x1
        ):
            raise ConversionFailed(
                f"The file's network has stride_in_1x1={self.stride_in_1x1}. "
                f"Expected: {architecture.stride_in_1x1}"
            )


def _settled(name: str, found: T | None, given: T | None) -> T:
    if found is not None and given is not None and found != given:
        raise ConversionFailed(f"The file's network has {name}={found!r}. Received: {given!r}")
    settled = given if found is None else found
    assert settled is not None
    return settled
