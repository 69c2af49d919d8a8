"""One preprocessing out of what options, files and the checkpoint of `--like` state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_builder.artifact.preprocessing import Preprocessing
from model_builder.checkpoints.recipe.partial import REQUIRED, PartialRecipe
from model_builder.checkpoints.recipe.scale import Scale, UnclearScale, on_255, scale_of
from model_builder.errors import ConversionFailed

# The option of each field.
OPTIONS = {
    "resize_edge": "--resize",
    "crop_size": "--crop",
    "interpolation": "--interpolation",
    "channel_order": "--channels",
    "mean": "--mean",
    "std": "--std",
    "resize_mode": "--resize-mode",
    "antialias": "--antialias",
    "fill": "--fill",
}


@dataclass(frozen=True, slots=True)
class Settled:
    """preprocessing: None where `missing` is not empty. missing: sentences for people.

    said: what was recognized, and where each part is from.
    """

    preprocessing: Preprocessing | None
    missing: tuple[str, ...]
    said: tuple[str, ...]


def settle(
    options: Mapping[str, Any],
    sources: Sequence[PartialRecipe],
    *,
    scale: Scale | None = None,
    crop_fraction: float | None = None,
) -> Settled:
    """The preprocessing by the first that states each field: the options, then the sources.

    options: fields of `Preprocessing` that were stated, mean and std on any scale. scale: theirs,
    or None where their size shows it. crop_fraction: crop_size over resize_edge. Raises
    ConversionFailed for values that contradict each other or that no network was trained with.
    """
    stated = {field: value for field, value in options.items() if value is not None}
    said: list[str] = []
    unclear = None
    try:
        _rescale(stated, scale, said)
    except UnclearScale as error:
        unclear = f"{error}."
    found = _with_edge(dict(stated), sources, crop_fraction)
    for source in sources:
        taken = {field: value for field, value in source.fields.items() if field not in found}
        found |= taken
        if taken:
            said.append(f"{_listed(taken)}: from {source.source}.")
    missing = [field for field in REQUIRED if field not in found]
    if unclear is not None:
        raise ConversionFailed(" ".join([unclear, *([_missing(missing)] if missing else [])]))
    if missing:
        return Settled(None, (_missing(missing),), tuple(said))
    try:
        return Settled(Preprocessing(**found), (), tuple(said))
    except ValueError as error:
        raise ConversionFailed(f"No network is fed like this: {error}") from error


def _rescale(stated: dict[str, Any], scale: Scale | None, said: list[str]) -> None:
    """Puts mean and std on the scale 0 to 255. Raises UnclearScale."""
    mean, std = stated.get("mean"), stated.get("std")
    if mean is None and std is None:
        return
    recognized = scale or scale_of(mean, std)
    for field in {"mean", "std"} & stated.keys():
        stated[field] = on_255(stated[field], recognized)
    if scale is None:
        said.append(f"--mean and --std are taken as of pixels of 0 to {recognized}.")


def _with_edge(
    found: dict[str, Any], sources: Sequence[PartialRecipe], crop_fraction: float | None
) -> dict[str, Any]:
    """With the resized edge where the crop and its fraction, or the mode, give it."""

    def of(field: str) -> Any:
        values = (source.fields[field] for source in sources if field in source.fields)
        return found[field] if field in found else next(values, None)

    size = of("crop_size")
    if crop_fraction is not None:
        if not 0 < crop_fraction <= 1:
            raise ConversionFailed(
                f"--crop-fraction must be above 0 and at most 1. Received: {crop_fraction}"
            )
        if "resize_edge" in found:
            raise ConversionFailed("--resize and --crop-fraction state the same: give one of them.")
        if size is not None:
            # As timm rounds it; the addition is for fractions such as 0.875 in binary.
            found["resize_edge"] = math.floor(size / crop_fraction + 1e-9)
    elif found.get("resize_mode") in ("squash", "letterbox") and size is not None:
        # Of a whole image: the edge of a source that crops is another thing.
        found.setdefault("resize_edge", size)
    return found


def _listed(taken: Mapping[str, Any]) -> str:
    if set(REQUIRED) <= taken.keys():
        return "How images are prepared"
    return ", ".join(sorted(taken)).replace("_", " ").capitalize()


def _missing(fields: Sequence[str]) -> str:
    needed = ", ".join(OPTIONS[field] for field in REQUIRED)
    return (
        f"How the network was fed has to be stated: --like CHECKPOINT or FILE, or {needed}. "
        f"Missing: {', '.join(OPTIONS[field] for field in fields)}."
    )
