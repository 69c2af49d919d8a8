"""Fields of a preprocessing that one source states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from model_builder.artifact.preprocessing import Preprocessing

# Those that have no default: each has to be stated by something.
REQUIRED = ("resize_edge", "crop_size", "interpolation", "channel_order", "mean", "std")


@dataclass(frozen=True, slots=True)
class PartialRecipe:
    """What one source states.

    fields: by the names of `Preprocessing`, mean and std on the scale 0 to 255. source: what
    states them, for people: "preprocessor_config.json", "resnet50.tv_in1k".
    """

    fields: Mapping[str, Any]
    source: str


def whole(preprocessing: Preprocessing, source: str) -> PartialRecipe:
    """Every field of a preprocessing."""
    stated = {field.name: getattr(preprocessing, field.name) for field in fields(preprocessing)}
    return PartialRecipe(stated, source)
