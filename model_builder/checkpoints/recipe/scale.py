"""The scale of a mean and a standard deviation: pixels of 0 to 1, or of 0 to 255."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Scale = Literal["1", "255"]
Values = Sequence[float]


class UnclearScale(ValueError):
    """Mean and std are on two scales, or may be on either."""


def scale_of(mean: Values | None, std: Values | None) -> Scale:
    """The scale that the sizes of the values show; either may be unknown.

    A mean above 1 is on the scale 0 to 255; Caffe's networks have one with a std of 1. Raises
    UnclearScale.
    """
    text = f"mean {_shown(mean)}, std {_shown(std)}"
    if mean is not None and max(mean) > 1:
        if std is not None and min(std) < 1:
            raise UnclearScale(
                f"The mean is on the scale 0 to 255 and the std on the scale 0 to 1: {text}"
            )
        return "255"
    if std is not None and max(std) > 1:
        if mean is not None and any(mean):
            raise UnclearScale(
                f"The mean is on the scale 0 to 1 and the std on the scale 0 to 255: {text}"
            )
        return "255"
    if std is not None and set(std) == {1.0} and not any(mean or ()):
        raise UnclearScale(
            f"Pixels of 0 to 1 and of 0 to 255 may both be meant: {text}. State it: --scale 1, "
            "or --scale 255"
        )
    return "1"


def on_255(values: Values, scale: Scale) -> tuple[float, ...]:
    """The values on the scale 0 to 255."""
    return tuple(value * 255 if scale == "1" else float(value) for value in values)


def _shown(values: Values | None) -> str:
    return "unknown" if values is None else " ".join(f"{value:g}" for value in values)
