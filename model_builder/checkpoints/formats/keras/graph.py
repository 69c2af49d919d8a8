"""Follows an image through the config of a Keras network, without building the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_builder.checkpoints.formats.keras.classifier import after_pooling
from model_builder.checkpoints.formats.keras.image_steps import IMAGE_LAYERS, on_image
from model_builder.checkpoints.formats.keras.layers import (
    BODY,
    CONTAINERS,
    WITHOUT_EFFECT,
    kind_of,
)
from model_builder.checkpoints.formats.keras.nodes import Node, Source, nodes_of, output_names
from model_builder.checkpoints.formats.keras.values import (
    Channel,
    FeatureMap,
    Features,
    Image,
    Value,
)
from model_builder.errors import ConversionFailed

Layer = Mapping[str, Any]
# A layer may be called before others that are listed first. More than one such detour is rare.
MOST_PASSES = 20
# A hundred times a ResNet-152's.
MOST_CALLS = 50_000
BODY_OPERATIONS = {"ops.Add", "ops.Pad", "ops.GetItem", "ops.Cast"}


def follow(config: Layer) -> Value:
    """What the network makes of an image. Raises ConversionFailed, and KeyError and the like."""
    return _Follower().network(config, None)


class _Follower:
    """Counts the calls of layers: networks within networks may multiply them without end."""

    def __init__(self) -> None:
        self._calls = 0

    def network(self, config: Layer, value: Value | None) -> Value:
        """value: what a nested network is called on; None for the whole."""
        layers = config["config"]["layers"]
        if config["class_name"] == "Sequential":
            for layer in layers:
                value = self._applied(layer, [] if value is None else [value], None)
            if value is None:
                raise ConversionFailed("The network has no layers.")
            return value
        found: dict[Source, Value] = {}
        pending: Sequence[Layer] = layers
        for _ in range(MOST_PASSES):
            pending = [layer for layer in pending if not self._evaluated(layer, found, value)]
            if not pending:
                break
        outputs = output_names(config["config"])
        if len(outputs) != 1:
            raise ConversionFailed(
                f"The network has {len(outputs)} outputs, and a classifier has one."
            )
        if outputs[0] not in found:
            raise ConversionFailed(f"Nothing leads to {outputs[0][0]}, the network's output.")
        return found[outputs[0]]

    def _evaluated(self, layer: Layer, found: dict[Source, Value], value: Value | None) -> bool:
        """Puts the layer's results into `found`; False while an input is not there yet."""
        name = _name(layer)
        nodes = nodes_of(layer)
        if not nodes:
            found[name, 0] = self._applied(layer, [] if value is None else [value], None)
            return True
        for call, node in enumerate(nodes):
            if any(source not in found for source in node.inputs):
                return False
            if (name, call) not in found:
                inputs = [found[source] for source in node.inputs]
                found[name, call] = self._applied(layer, inputs, node)
        return True

    def _applied(self, layer: Layer, inputs: list[Value], node: Node | None) -> Value:
        self._calls += 1
        if self._calls > MOST_CALLS:
            raise ConversionFailed(f"The network has more than {MOST_CALLS} calls of layers.")
        kind, settings = kind_of(layer), layer["config"]
        if kind in CONTAINERS:
            if len(inputs) > 1:
                raise ConversionFailed(
                    f"{_name(layer)} has {len(inputs)} inputs, and images are one."
                )
            return self.network(layer, inputs[0] if inputs else None)
        if kind == "InputLayer":
            return inputs[0] if inputs else _image(settings)
        # Keras 2 states the shape in the first layer of a sequence.
        return _result(str(kind), _name(layer), settings, inputs or [_image(settings)], node)


def _name(layer: Layer) -> str:
    return str(layer.get("name") or layer["config"]["name"])


def _result(kind: str, name: str, settings: Layer, values: list[Value], node: Node | None) -> Value:
    """What one layer makes of its inputs. Raises ConversionFailed where a ResNet has none such."""
    first = values[0]
    if kind in WITHOUT_EFFECT:
        return first
    if isinstance(first, Image | Channel):
        if kind in IMAGE_LAYERS:
            return on_image(kind, name, settings, values, node)
        if isinstance(first, Image) and kind in ("Conv2D", "ZeroPadding2D"):
            return FeatureMap(first)
    elif isinstance(first, FeatureMap):
        if (kind in BODY or kind in BODY_OPERATIONS) and _is_body(kind, values, settings):
            return first
        if kind == "GlobalAveragePooling2D":
            return Features(first.image, is_map=bool(settings.get("keepdims")))
        if kind == "AveragePooling2D":
            return Features(first.image, _pool_edge(settings), is_map=True)
    else:
        result = after_pooling(first, kind, name, settings)
        if result is not None and len(values) == 1:
            return result
    raise ConversionFailed(
        f"{name} ({kind.removeprefix('ops.')}) is where a ResNet has no such layer: "
        f"{_where(first)}."
    )


def _is_body(kind: str, values: list[Value], settings: Layer) -> bool:
    if not all(isinstance(value, FeatureMap) for value in values):
        return False
    if kind == "ops.Add" and len(values) < 2:
        return False
    if kind == "BatchNormalization" and settings["axis"] not in (3, -1, [3], [-1]):
        raise ConversionFailed(
            f"{settings['name']} ({kind}) is not over channels. Received: axis {settings['axis']}"
        )
    return kind != "Activation" or settings["activation"] in ("relu", "linear")


def _image(settings: Layer) -> Image:
    """The input of the network, from the shape that its first layer states."""
    shape = settings.get("batch_shape") or settings.get("batch_input_shape") or [None] * 4
    if len(shape) != 4:
        return Image(None, 3)
    _, height, width, channels = (None if size is None else int(size) for size in shape)
    if height != width:
        raise ConversionFailed(f"Images are square for ResNets. Received: {height} x {width}")
    if channels not in (None, 1, 3):
        raise ConversionFailed(f"Images have 3 channels or 1. Received: {channels}")
    return Image(height, channels or 3)


def _pool_edge(settings: Layer) -> int:
    pool, strides = settings["pool_size"], settings.get("strides") or settings["pool_size"]
    edges = {*(pool if isinstance(pool, list) else [pool])}
    if len(edges) != 1:
        raise ConversionFailed(f"AveragePooling2D is not square. Received: {pool}, {strides}")
    return int(edges.pop())


def _where(value: Value) -> str:
    if isinstance(value, Image | Channel):
        return "before the first convolution"
    if isinstance(value, FeatureMap):
        return "between the first convolution and the pooling"
    if value.is_map:
        return "between the pooling and a Flatten"
    return "in the classifier"
