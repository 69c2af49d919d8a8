"""Reads the JSON config that Keras writes with a network's weights, without building the network.

Building from such a config can run code that a Lambda layer carries. A layer whose config differs
from our networks' is refused by name instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from model_builder.errors import ConversionFailed

CONTAINERS = {"Functional", "Model", "Sequential"}
# The layers of a ResNet, and layers without an effect at inference.
LAYERS = {
    "Activation",
    "Add",
    "BatchNormalization",
    "Conv2D",
    "Dense",
    "Dropout",
    "GlobalAveragePooling2D",
    "InputLayer",
    "MaxPooling2D",
    "Pad",
    "ReLU",
    "Softmax",
    "ZeroPadding2D",
}


@dataclass(frozen=True, slots=True)
class KerasConfig:
    """The part of the config that is used.

    strides: of each convolution, by its Keras name.
    names: of each layer, by its path in a `.weights.h5` ("layers/conv2d_5").
    """

    strides: dict[str, int]
    batch_norm_epsilon: float | None
    names: dict[str, str]


def read_config(config: Mapping[str, Any]) -> KerasConfig:
    """Raises ConversionFailed on a layer that our networks don't have, or have otherwise."""
    strides: dict[str, int] = {}
    names: dict[str, str] = {}
    epsilons: set[float] = set()
    try:
        for path, layer in _layers(config, ""):
            kind, settings = layer["class_name"], layer["config"]
            names[path] = settings["name"]
            if problem := _problem(kind, settings):
                raise ConversionFailed(f"{settings['name']} ({kind}) {problem}")
            if kind == "Conv2D":
                strides[settings["name"]] = settings["strides"][0]
            elif kind == "BatchNormalization":
                epsilons.add(float(settings["epsilon"]))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ConversionFailed(
            f"The network's config can't be read. Received: {error!r}"
        ) from error
    if len(epsilons) > 1:
        raise ConversionFailed(
            f"The batch norms have several epsilons. Received: {sorted(epsilons)}"
        )
    return KerasConfig(strides, next(iter(epsilons), None), names)


def _layers(config: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every layer with its path; nested networks are flattened.

    Raises ConversionFailed on a layer that is not built into Keras.
    """
    kind = config["class_name"]
    name = config["config"].get("name", kind)
    # Keras 3 states the module of a class; earlier versions prefixed users' classes only.
    package = config.get("module") or "keras"
    registered = config.get("registered_name") or kind
    if kind not in CONTAINERS | LAYERS or package.split(".")[0] != "keras" or registered != kind:
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


def _problem(kind: str, settings: Mapping[str, Any]) -> str | None:
    """How a layer differs from ours although its tensors have our shapes; None if it does not."""
    if settings.get("data_format", "channels_last") != "channels_last":
        return f"is not channels_last. Received: {settings['data_format']}"
    if kind == "Conv2D":
        kernel, stride = settings["kernel_size"], settings["strides"]
        if stride[0] != stride[1] or kernel[0] != kernel[1]:
            return f"is not square. Received: kernel {kernel}, strides {stride}"
        if stride[0] > 1 and kernel[0] > 1 and settings["padding"] != "valid":
            return (
                "pads at the bottom and right only, ours on every side. "
                f"Received: padding {settings['padding']!r}"
            )
        if set(settings["dilation_rate"]) != {1} or settings.get("groups", 1) != 1:
            return "is dilated or grouped."
        if settings["activation"] != "linear":
            return f"has an activation. Received: {settings['activation']!r}"
    elif kind == "MaxPooling2D" and settings["padding"] != "valid":
        return f"is not padded on every side. Received: padding {settings['padding']!r}"
    elif kind == "ZeroPadding2D":
        padding = settings["padding"]
        if padding[0] != padding[1] or padding[0][0] != padding[0][1]:
            return f"does not pad every side alike. Received: {padding}"
    elif kind == "BatchNormalization":
        if settings["axis"] not in (3, -1, [3], [-1]):
            return f"is not over channels. Received: axis {settings['axis']}"
        if not (settings["center"] and settings["scale"]):
            return "has no shift or no scale."
    elif kind == "ReLU" and (settings.get("max_value") or settings.get("negative_slope")):
        return "is capped or leaky."
    elif kind == "Activation" and settings["activation"] not in ("relu", "linear", "softmax"):
        return f"is neither relu nor softmax. Received: {settings['activation']!r}"
    elif kind == "Dense" and settings["activation"] not in ("linear", "softmax"):
        return f"gives neither logits nor softmax. Received: {settings['activation']!r}"
    return None


def _snake_case(class_name: str) -> str:
    """The same as keras/src/utils/naming.py: "batch_normalization" for "BatchNormalization"."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
