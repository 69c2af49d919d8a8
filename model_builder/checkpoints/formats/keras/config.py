"""Reads the JSON config that Keras writes with a network's weights, without building the network.

Building from such a config can run code that a Lambda layer carries. A layer whose config differs
from our networks' is refused by name instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from model_builder.checkpoints.formats.keras.graph import follow
from model_builder.checkpoints.formats.keras.layers import CONTAINERS, kind_of, problem
from model_builder.checkpoints.formats.keras.values import Channel, Features, Image, Value
from model_builder.errors import ConversionFailed


@dataclass(frozen=True, slots=True)
class KerasConfig:
    """The part of the config that is used.

    strides: of each convolution, by its Keras name.
    batch_norm_epsilon: of the batch norms outside of the classifier.
    names: of each layer, by its path in a `.weights.h5` ("layers/conv2d_5").
    output: what the network makes of an image.
    """

    strides: dict[str, int]
    batch_norm_epsilon: float | None
    names: dict[str, str]
    output: Value

    @property
    def classifier(self) -> Features | None:
        """What is behind the pooling; None where there is none."""
        return self.output if isinstance(self.output, Features) else None

    @property
    def image(self) -> Image | None:
        """What the first convolution gets; None where there is none."""
        return None if isinstance(self.output, Image | Channel) else self.output.image


def read_config(config: Mapping[str, Any]) -> KerasConfig:
    """Raises ConversionFailed on a layer that our networks don't have, or have otherwise."""
    strides: dict[str, int] = {}
    names: dict[str, str] = {}
    epsilons: dict[str, float] = {}
    try:
        for path, layer in _layers(config, ""):
            kind, settings = layer["class_name"], layer["config"]
            names[path] = name = settings["name"]
            if not isinstance(name, str):
                raise TypeError(f"a layer's name is {name!r}")
            if found := problem(kind, settings):
                raise ConversionFailed(f"{name} ({kind}) {found}")
            if kind == "Conv2D":
                strides[name] = settings["strides"][0]
            elif kind == "BatchNormalization":
                epsilons[name] = float(settings["epsilon"])
        output = follow(config)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ConversionFailed(
            f"The network's config can't be read. Received: {error!r}"
        ) from error
    in_head = {one.name for one in output.layers} if isinstance(output, Features) else set()
    of_body = {epsilon for name, epsilon in epsilons.items() if name not in in_head}
    if len(of_body) > 1:
        raise ConversionFailed(
            f"The batch norms have several epsilons. Received: {sorted(of_body)}"
        )
    return KerasConfig(strides, next(iter(of_body), None), names, output)


def _layers(config: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every layer with its path; nested networks are flattened.

    Raises ConversionFailed on a layer that is not built into Keras.
    """
    kind = config["class_name"]
    if kind_of(config) is None:
        name = config["config"].get("name", kind)
        registered, package = config.get("registered_name") or kind, config.get("module") or "keras"
        raise ConversionFailed(
            f"{name} is a layer that ResNets don't have, or carries code, which is never run. "
            f"Received: {registered} of {package}"
        )
    if kind not in CONTAINERS:
        yield path, config
        return
    counts: dict[str, int] = {}
    for layer in config["config"]["layers"]:
        snake = _snake_case(layer["class_name"])
        count = counts[snake] = counts.get(snake, -1) + 1
        name = f"{snake}_{count}" if count else snake
        yield from _layers(layer, f"{path}/layers/{name}".lstrip("/"))


def _snake_case(class_name: str) -> str:
    """The same as keras/src/utils/naming.py: "batch_normalization" for "BatchNormalization"."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
