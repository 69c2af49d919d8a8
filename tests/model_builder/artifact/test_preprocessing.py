"""Invalid preprocessing is refused."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from model_builder.artifact.preprocessing import CAFFE, Preprocessing


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"crop_size": 257},
            "crop_size must be at least 1 and at most resize_edge. "
            "Received: crop_size=257, resize_edge=256",
        ),
        (
            {"crop_size": 0},
            "crop_size must be at least 1 and at most resize_edge. "
            "Received: crop_size=0, resize_edge=256",
        ),
        (
            {"resize_edge": 223},
            "crop_size must be at least 1 and at most resize_edge. "
            "Received: crop_size=224, resize_edge=223",
        ),
        ({"std": (1.0, 0.0, 1.0)}, "std must be positive. Received: (1.0, 0.0, 1.0)"),
        ({"std": (1.0, 1.0, -1.0)}, "std must be positive. Received: (1.0, 1.0, -1.0)"),
        ({"std": (1.0, 1.0, math.nan)}, "std must be positive. Received: (1.0, 1.0, nan)"),
        (
            {"std": (1e-6,) * 3},
            "std must be 0.01 to 1000 on the scale 0 to 255. Received: (1e-06, 1e-06, 1e-06)",
        ),
        (
            {"std": (58.0, 57.0, math.inf)},
            "std must be 0.01 to 1000 on the scale 0 to 255. Received: (58.0, 57.0, inf)",
        ),
        (
            {"mean": (300.0, 1.0, 1.0)},
            "mean must be on the scale 0 to 255. Received: (300.0, 1.0, 1.0)",
        ),
        (
            {"mean": (-1.0, 1.0, math.nan)},
            "mean must be on the scale 0 to 255. Received: (-1.0, 1.0, nan)",
        ),
        (
            {"channel_order": "L"},
            "An image of the channel order L has one channel, and so one mean and one std: state "
            "each three times. Received: (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)",
        ),
        ({"resize_edge": 5000}, "resize_edge must be at most 4096. Received: 5000"),
        (
            {"interpolation": "cubic"},
            "interpolation must be one of nearest, bilinear, bicubic, lanczos, box, hamming. "
            "Received: 'cubic'",
        ),
        (
            {"interpolation": "lanczos", "antialias": False},
            "interpolation must be one of nearest, bilinear, bicubic without antialias. "
            "Received: 'lanczos'",
        ),
        (
            {"resize_mode": "stretch"},
            "resize_mode must be crop, squash or letterbox. Received: 'stretch'",
        ),
        ({"channel_order": "GBR"}, "channel_order must be RGB, BGR or L. Received: 'GBR'"),
        ({"fill": (0, 0, 256)}, "fill must be three levels of 0 to 255. Received: (0, 0, 256)"),
    ],
)
def test_invalid_values(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        replace(CAFFE, **changes)  # type: ignore[arg-type]


def test_a_crop_may_be_the_whole_edge() -> None:
    assert replace(CAFFE, resize_edge=224).crop_size == 224


def test_the_preprocessing_of_earlier_versions_is_read() -> None:
    """Their manifests have six fields: a crop, antialiased."""
    earlier = (
        b'{"resize_edge": 256, "crop_size": 224, "interpolation": "bilinear", '
        b'"channel_order": "BGR", "mean": [103.939, 116.779, 123.68], "std": [1.0, 1.0, 1.0]}'
    )
    assert TypeAdapter(Preprocessing).validate_json(earlier) == CAFFE


@pytest.mark.parametrize(
    "changes",
    [
        {"resize_mode": "squash"},
        {"resize_mode": "letterbox"},
        {"antialias": False},
        {"interpolation": "lanczos"},
        {"channel_order": "L", "mean": (1.0,) * 3},
    ],
)
def test_what_earlier_versions_would_misread_is_told_from_the_rest(changes: Any) -> None:
    assert not CAFFE.is_extended
    assert replace(CAFFE, **changes).is_extended


def test_caffe() -> None:
    assert (CAFFE.resize_edge, CAFFE.crop_size) == (256, 224)
    assert CAFFE.channel_order == "BGR"
    assert CAFFE.mean == (103.939, 116.779, 123.68)  # blue, green, red
    assert CAFFE.std == (1.0, 1.0, 1.0)
