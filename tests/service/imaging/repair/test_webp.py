"""What of a WebP may be missing without a pixel being lost, and what may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from service.errors import InvalidImage
from service.imaging.decoder import decode
from tests.service.images import encoded, noise, recipe

KINDS: dict[str, dict[str, Any]] = {"lossy": {}, "lossless": {"lossless": True}}


def pixels_of(data: bytes) -> npt.NDArray[np.uint8]:
    return decode(data, recipe(40, 40), max_pixels=10**6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [1, 4, 8, 20, 40])
def test_metadata_behind_the_image_may_be_cut_off(kind: str, cut: int) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0" + bytes(20)
    data = encoded(noise(40, 40), "WEBP", exif=exif, xmp=b"<x:xmpmeta/>" * 9, **KINDS[kind])
    np.testing.assert_array_equal(pixels_of(data[:-cut]), pixels_of(data))


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_the_file_may_be_wrong(kind: str) -> None:
    data = encoded(noise(40, 40), "WEBP", **KINDS[kind])
    wrong = data[:4] + (len(data) + 5000).to_bytes(4, "little") + data[8:]
    np.testing.assert_array_equal(pixels_of(wrong), pixels_of(data))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [2, 4, 30, 200])
def test_an_image_that_is_cut_off_is_refused(kind: str, cut: int) -> None:
    data = encoded(noise(40, 40), "WEBP", **KINDS[kind])
    with pytest.raises(InvalidImage, match="The WEBP image is truncated"):
        pixels_of(data[:-cut])
