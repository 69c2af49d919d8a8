"""What an answer says of a class activation map and of the crop, beside the map's numbers."""

from __future__ import annotations

from typing import Any

from model_builder.artifact.labels import Label
from model_builder.artifact.preprocessing import Preprocessing
from service.imaging.transforms import crop_box
from service.inference.outputs import Array

EDGES = ("left", "top", "right", "bottom")


def described_map(values: Array, class_id: int, label: Label) -> dict[str, Any]:
    """values: float32 [h, w] of the class."""
    return {
        "class_id": class_id,
        "label": label.name,
        **({} if label.wnid is None else {"wnid": label.wnid}),
        "shape": list(values.shape),
        "min": float(values.min()),
        "max": float(values.max()),
    }


def described_crop(size: tuple[int, int], preprocessing: Preprocessing) -> dict[str, float]:
    """In pixels of the upright image. size: its width and height."""
    edges = zip(EDGES, crop_box(*size, preprocessing), strict=True)
    return {**dict(edges), "width": size[0], "height": size[1]}
