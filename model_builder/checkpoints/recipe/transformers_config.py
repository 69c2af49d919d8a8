"""transformers' preprocessor_config.json.

Source: transformers/models/*/image_processing_*.py: ConvNext's, which ResNets have, ViT's, CLIP's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, PositiveInt

from model_builder.artifact.preprocessing import RESAMPLING

MEMBERS = ("image_processor_type", "feature_extractor_type", "image_mean", "do_resize", "resample")
# From this edge on ConvNext's processor squashes in place of cropping.
CONVNEXT_SQUASHES_FROM = 384
CONVNEXT_CROP_FRACTION = 224 / 256
# Those whose members mean what is read here. LeViT's, PoolFormer's and EfficientNet's resize or
# normalize in ways of their own under the same names.
READ = re.compile(
    r"(ConvNext|ViT|CLIP|ChineseCLIP|DeiT|Beit|Siglip|Bit|MobileNetV[12]|MobileViT)"
    r"(ImageProcessor|FeatureExtractor)"
)
Size = PositiveInt | dict[str, PositiveInt]
Channels = Annotated[list[FiniteFloat], Field(min_length=1, max_length=3)]


class Processor(BaseModel):
    """The members that say how an image is prepared."""

    image_processor_type: str | None = None
    feature_extractor_type: str | None = None
    do_resize: bool = True
    size: Size | None = None
    crop_pct: Annotated[float, Field(ge=0.1, le=1)] | None = None
    resample: int | None = None
    do_center_crop: bool = False
    crop_size: Size | None = None
    do_rescale: bool = True
    rescale_factor: Annotated[FiniteFloat, Field(gt=0)] = 1 / 255
    do_normalize: bool = True
    image_mean: FiniteFloat | Channels | None = None
    image_std: FiniteFloat | Channels | None = None
    do_flip_channel_order: bool = False

    @property
    def kind(self) -> str:
        """Of the processor; "" where the file does not state it."""
        return self.image_processor_type or self.feature_extractor_type or ""

    @property
    def is_convnext(self) -> bool:
        """Whether `crop_pct` decides, as in the processor of ResNets."""
        return self.kind.startswith("ConvNext") or (
            self.crop_pct is not None and not self.crop_size
        )


def is_transformers(content: Mapping[str, Any]) -> bool:
    """Whether an object is a preprocessor_config.json."""
    return any(member in content for member in MEMBERS)


def read_transformers(content: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `Preprocessing`, without those that the file leaves open. Raises ValueError."""
    processor = Processor.model_validate(content)
    if processor.kind and not READ.match(processor.kind):
        return {}
    found = {"antialias": True, **_geometry(processor), **_normalization(processor)}
    for name, resampling in RESAMPLING.items():
        if processor.resample == resampling.value:
            found["interpolation"] = name
    return found


def _geometry(processor: Processor) -> dict[str, Any]:
    if not processor.do_resize or processor.size is None:
        # Images of any size came in: what resized them before is not in the file.
        return {}
    size = processor.size
    if processor.is_convnext:
        edge = size if isinstance(size, int) else size.get("shortest_edge") or _square(size)
        if edge >= CONVNEXT_SQUASHES_FROM:
            return {"resize_mode": "squash", "resize_edge": edge, "crop_size": edge}
        fraction = processor.crop_pct or CONVNEXT_CROP_FRACTION
        return {"resize_mode": "crop", "resize_edge": int(edge / fraction), "crop_size": edge}
    crop = processor.crop_size if processor.do_center_crop else None
    cropped = None if crop is None else crop if isinstance(crop, int) else _square(crop)
    shortest = size.get("shortest_edge") if isinstance(size, dict) else cropped and size
    if shortest:
        if cropped is None:
            raise ValueError("images that are resized by their shortest edge alone are not square")
        return {"resize_mode": "crop", "resize_edge": shortest, "crop_size": cropped}
    edge = size if isinstance(size, int) else _square(size)
    return {"resize_mode": "squash", "resize_edge": edge, "crop_size": cropped or edge}


def _square(size: Mapping[str, int]) -> int:
    height, width = size.get("height"), size.get("width")
    if height is None or height != width:
        raise ValueError(f"size must be square, or a shortest_edge. Received: {dict(size)}")
    return height


def _normalization(processor: Processor) -> dict[str, Any]:
    order = "BGR" if processor.do_flip_channel_order else "RGB"
    factor = processor.rescale_factor if processor.do_rescale else 1.0
    if not processor.do_normalize:
        return {"channel_order": order, "mean": (0.0,) * 3, "std": (1 / factor,) * 3}
    found: dict[str, Any] = {"channel_order": order}
    for name, values in (("mean", processor.image_mean), ("std", processor.image_std)):
        if values is None:
            continue
        listed = [values] * 3 if isinstance(values, float) else values
        if len(listed) == 1:
            found["channel_order"], listed = "L", listed * 3
        elif len(listed) != 3:
            raise ValueError(f"image_{name} must have 1 or 3 values. Received: {listed}")
        found[name] = tuple(value / factor for value in listed)
    return found
