"""How a model sees an image, in words and on both scales, for people to compare with training."""

from __future__ import annotations

from collections.abc import Sequence

from model_builder.artifact.preprocessing import Preprocessing

CHANNELS = {
    "RGB": "red, green, blue (RGB)",
    "BGR": "blue, green, red (BGR)",
    "L": "one, grey (L)",
}


def view(preprocessing: Preprocessing) -> list[str]:
    """Lines of a table: resize, crop, channels, mean and std."""
    size = preprocessing.crop_size
    rows = [
        ("resize", f"{_resize(preprocessing)}, {_filter(preprocessing)}"),
        ("crop", _crop(preprocessing)),
        ("channels", CHANNELS[preprocessing.channel_order]),
        ("mean", _both_scales(preprocessing.mean)),
        ("std", _both_scales(preprocessing.std)),
        ("input", f"(pixels - mean) / std, {size} x {size}"),
    ]
    return [f"  {name:<9}{text}" for name, text in rows]


def _resize(preprocessing: Preprocessing) -> str:
    edge = preprocessing.resize_edge
    if preprocessing.resize_mode == "squash":
        return f"squashed to {edge} x {edge} pixels"
    if preprocessing.resize_mode == "letterbox":
        fill = " ".join(map(str, preprocessing.fill))
        return f"longer edge to {edge} pixels, borders of the color {fill}"
    return f"shorter edge to {edge} pixels"


def _filter(preprocessing: Preprocessing) -> str:
    if preprocessing.interpolation == "nearest":
        return "nearest"
    antialias = "with" if preprocessing.antialias else "without"
    return f"{preprocessing.interpolation} {antialias} antialiasing"


def _crop(preprocessing: Preprocessing) -> str:
    edge, size = preprocessing.resize_edge, preprocessing.crop_size
    if edge == size and preprocessing.resize_mode != "crop":
        return "none"
    return f"center, {size} x {size} pixels ({size / edge:.3g} of the edge)"


def _both_scales(values: Sequence[float]) -> str:
    of_255 = " ".join(f"{value:.6g}" for value in values)
    of_1 = " ".join(f"{value / 255:.4g}" for value in values)
    return f"{of_255} for pixels of 0 to 255; {of_1} for pixels of 0 to 1"
