"""Invalid preprocessing is refused."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from model_builder.artifact.preprocessing import CAFFE


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
    ],
)
def test_invalid_values(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        replace(CAFFE, **changes)  # type: ignore[arg-type]


def test_a_crop_may_be_the_whole_edge() -> None:
    assert replace(CAFFE, resize_edge=224).crop_size == 224


def test_caffe() -> None:
    assert (CAFFE.resize_edge, CAFFE.crop_size) == (256, 224)
    assert CAFFE.channel_order == "BGR"
    assert CAFFE.mean == (103.939, 116.779, 123.68)  # blue, green, red
    assert CAFFE.std == (1.0, 1.0, 1.0)
