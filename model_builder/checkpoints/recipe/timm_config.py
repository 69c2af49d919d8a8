"""timm's `pretrained_cfg`, in the config.json of a model on the hub.

Source: timm/data/config.py (`resolve_data_config`) and transforms_factory.py
(`transforms_imagenet_eval`) of timm 1.0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, FiniteFloat

from model_builder.artifact.preprocessing import RESAMPLING, ResizeMode

MODES: dict[str, ResizeMode] = {"center": "crop", "squash": "squash", "border": "letterbox"}
Channels = Annotated[list[FiniteFloat], Field(min_length=1, max_length=3)]


class PretrainedConfig(BaseModel):
    """The members that say how an image is prepared; timm's defaults."""

    input_size: tuple[int, int, int]
    mean: Channels
    std: Channels
    interpolation: str = "bicubic"
    crop_pct: Annotated[float, Field(ge=0.1, le=1)] | None = None
    crop_mode: Literal["center", "squash", "border"] | None = None


def is_timm(content: Mapping[str, Any]) -> bool:
    """Whether an object is a config.json of timm, or a `pretrained_cfg` alone."""
    return isinstance(content.get("pretrained_cfg"), dict) or (
        "input_size" in content and "mean" in content
    )


def read_timm(content: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `Preprocessing`. Raises ValueError."""
    config = PretrainedConfig.model_validate(content.get("pretrained_cfg") or content)
    channels, height, width = config.input_size
    if height != width:
        raise ValueError(f"input_size must be square. Received: {height} x {width}")
    mean, std = (_three(values, channels) for values in (config.mean, config.std))
    found: dict[str, Any] = {
        "resize_edge": math.floor(width / (config.crop_pct or 0.875)),
        "crop_size": width,
        "resize_mode": MODES[config.crop_mode or "center"],
        "antialias": True,
        "channel_order": "RGB" if channels == 3 else "L",
        "mean": tuple(255 * value for value in mean),
        "std": tuple(255 * value for value in std),
    }
    # "random" is of training alone, and leaves the filter of inference open.
    if config.interpolation in RESAMPLING:
        found["interpolation"] = config.interpolation
    if found["resize_mode"] == "letterbox":
        found["fill"] = tuple(min(255, max(0, round(255 * value))) for value in mean)
    return found


def _three(values: list[float], channels: int) -> tuple[float, ...]:
    if channels not in (1, 3):
        raise ValueError(f"input_size must have 1 or 3 channels. Received: {channels}")
    if len(values) not in (1, channels):
        raise ValueError(f"mean and std must have {channels} values. Received: {values}")
    return tuple(values * 3 if len(values) == 1 else values)
