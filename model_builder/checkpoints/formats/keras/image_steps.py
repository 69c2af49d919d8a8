"""The layers of a Keras network that prepare an image before the first convolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from model_builder.artifact.preprocessing import Interpolation
from model_builder.checkpoints.formats.keras.nodes import Node, Tensor
from model_builder.checkpoints.formats.keras.values import Channel, Image, Step, Value
from model_builder.errors import ConversionFailed

Settings: TypeAlias = Mapping[str, Any]
ARITHMETIC = {"ops.Add", "ops.Subtract", "ops.Multiply", "ops.TrueDivide", "ops.Divide"}
IMAGE_LAYERS = ARITHMETIC | {
    "CenterCrop",
    "Normalization",
    "Preprocess",
    "Rescaling",
    "Resizing",
    "ops.Cast",
    "ops.Flip",
    "ops.GetItem",
    "ops.Stack",
}
# Keras's name, by whether it antialiases; the others are computed unlike ours.
FILTERS: dict[tuple[str, bool], Interpolation] = {
    ("nearest", False): "nearest",
    ("nearest", True): "nearest",
    ("bilinear", False): "bilinear",
    ("bilinear", True): "bilinear",
    ("bicubic", True): "bicubic",
    ("lanczos3", True): "lanczos",
}


def on_image(
    kind: str, name: str, settings: Settings, values: list[Value], node: Node | None
) -> Value:
    """What a layer of IMAGE_LAYERS makes of an image or its channels. Raises ConversionFailed."""
    if kind == "ops.Stack":
        return _stacked(name, values)
    image = values[0]
    if not isinstance(image, Image) or len(values) != 1:
        raise _unlike(name, kind)
    if kind == "ops.GetItem":
        return _item(name, image, node)
    if kind == "ops.Cast":
        return image
    if kind == "Resizing":
        return _resized(name, image, settings)
    if kind == "CenterCrop":
        edge = _square(name, settings)
        return replace(_with(image, Step("crop", name, (edge,))), edge=edge)
    return _with(image, _step(kind, name, settings, image, node))


def _step(kind: str, name: str, settings: Settings, image: Image, node: Node | None) -> Step:
    if kind == "Preprocess":
        return Step("preprocess_input", name)
    if kind == "Rescaling":
        scale, offset = (_numbers(settings[key], image, name) for key in ("scale", "offset"))
        return Step("affine", name, (scale, offset))
    if kind == "Normalization":
        if settings.get("invert"):
            raise _unlike(name, kind)
        if settings.get("mean") is None:
            return Step("normalize", name)
        stated = (_numbers(settings[key], image, name) for key in ("mean", "variance"))
        return Step("normalize", name, tuple(stated))
    if kind == "ops.Flip":
        axis = settings.get("axis", None if node is None else node.keywords.get("axis"))
        if axis not in (-1, 3, [-1], [3]):
            raise _unlike(name, kind)
        return Step("order", name, tuple(reversed(range(image.channels))))
    return _arithmetic(kind, name, image, node)


def _arithmetic(kind: str, name: str, image: Image, node: Node | None) -> Step:
    if node is None:
        raise _unlike(name, kind)
    operands = [*node.arguments]
    operands += [node.keywords[key] for key in ("y", "x2", "bias", "value") if key in node.keywords]
    others = [value for value in operands if not isinstance(value, Tensor)]
    if len(operands) != 2 or len(others) != 1:
        raise _unlike(name, kind)
    number, is_first = _numbers(others[0], image, name), operands[0] is others[0]
    one, zero = (1.0,), (0.0,)
    if kind == "ops.Multiply":
        return Step("affine", name, (number, zero))
    if kind == "ops.Add":
        return Step("affine", name, (one, number))
    if kind == "ops.Subtract" and not is_first:
        return Step("affine", name, (one, tuple(-value for value in number)))
    if kind in ("ops.TrueDivide", "ops.Divide") and not is_first and all(number):
        return Step("affine", name, (tuple(1 / value for value in number), zero))
    raise _unlike(name, kind)


def _resized(name: str, image: Image, settings: Settings) -> Image:
    edge = _square(name, settings)
    antialias = bool(settings.get("antialias"))
    fields: dict[str, Any] = {"resize_mode": "squash", "resize_edge": edge, "crop_size": edge}
    if settings.get("crop_to_aspect_ratio"):
        fields["resize_mode"] = "crop"
    if settings.get("pad_to_aspect_ratio"):
        fields["resize_mode"] = "letterbox"
        if settings.get("fill_mode", "constant") != "constant":
            raise _unlike(name, "Resizing")
    interpolation = FILTERS.get((settings.get("interpolation", "bilinear"), antialias))
    if interpolation is not None:
        fields |= {"interpolation": interpolation, "antialias": antialias}
    fill = float(settings.get("fill_value") or 0)
    return replace(_with(image, Step("resize", name, (fields, fill))), edge=edge)


def _item(name: str, image: Image, node: Node | None) -> Value:
    """One channel, or the channels in reverse."""
    index: Any = None
    if node is not None:
        index = node.keywords.get("slice_spec", ([*node.arguments, None])[1])
    if not isinstance(index, list) or not index or not all(map(_is_whole, index[:-1])):
        raise _unlike(name, "GetItem")
    last = index[-1]
    if isinstance(last, int) and 0 <= last < image.channels:
        return Channel(image, last)
    if isinstance(last, dict) and _bounds(last) == (None, None, -1):
        return _with(image, Step("order", name, tuple(reversed(range(image.channels)))))
    raise _unlike(name, "GetItem")


def _is_whole(index: Any) -> bool:
    if not isinstance(index, dict):
        return False
    return index.get("class_name") == "__ellipsis__" or _bounds(index) == (None, None, None)


def _bounds(index: Mapping[str, Any]) -> tuple[Any, ...]:
    stated = index.get("config") or index
    return tuple(stated.get(key, 0) for key in ("start", "stop", "step"))


def _stacked(name: str, values: list[Value]) -> Image:
    channels = [value for value in values if isinstance(value, Channel)]
    image = channels[0].image if channels else None
    if image is None or len(channels) != len(values) or len(values) != image.channels:
        raise _unlike(name, "Stack")
    if any(channel.image != image for channel in channels):
        raise _unlike(name, "Stack")
    return _with(image, Step("order", name, tuple(channel.index for channel in channels)))


def _with(image: Image, step: Step) -> Image:
    return replace(image, steps=(*image.steps, step))


def _square(name: str, settings: Settings) -> int:
    height, width = int(settings["height"]), int(settings["width"])
    if height != width:
        raise ConversionFailed(
            f"{name} makes images of {height} x {width}, and they are square for ResNets."
        )
    return height


def _numbers(value: Any, image: Image, name: str) -> tuple[float, ...]:
    """A constant: one number, or one a channel."""
    if isinstance(value, dict):
        value = value["config"]["value"]
    flat: list[float] = []
    pending = [value]
    while pending:
        one = pending.pop(0)
        if isinstance(one, list):
            pending = one + pending
        else:
            flat.append(float(one))
        if len(flat) + len(pending) > 2 * image.channels:
            break
    if len(flat) not in (1, image.channels):
        raise ConversionFailed(
            f"{name} has {len(flat)} numbers, and an image {image.channels} channels."
        )
    return tuple(flat)


def _unlike(name: str, kind: str) -> ConversionFailed:
    return ConversionFailed(
        f"{name} ({kind.removeprefix('ops.')}) does something to images that no recipe states."
    )
