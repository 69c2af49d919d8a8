"""What of a JPEG may be missing or broken without a pixel being lost, and what may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from service.errors import InvalidImage
from service.imaging.decoder import decode
from tests.service.images import encoded, inserted, recipe

SIZE = 64
PHOTO = Image.open(Path(__file__).parents[3] / "photos" / "coffee_cup.jpg").resize((200, 133))
KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "baseline, restarts": {"restart_marker_blocks": 3},
    "optimized": {"optimize": True},
    "progressive": {"progressive": True},
    "progressive, fine": {"progressive": True, "quality": 95},
    "progressive, restarts": {"progressive": True, "restart_marker_blocks": 3},
    "progressive, grey": {"progressive": True},
}
FILES = {
    name: encoded(PHOTO.convert("L" if "grey" in name else "RGB"), "JPEG", **options)
    for name, options in KINDS.items()
}
END = 2


def pixels_of(data: bytes) -> npt.NDArray[np.uint8]:
    return decode(data, recipe(SIZE, SIZE), max_pixels=10**7)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("missing", [1, 2])
def test_the_end_marker_may_be_missing(name: str, missing: int) -> None:
    data = FILES[name]
    np.testing.assert_array_equal(pixels_of(data[:-missing]), pixels_of(data))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("trailer", [bytes(500) + b"SEFT", b"\xff\xe1\xff\xffExif" + bytes(99)])
def test_a_trailer_in_its_place_is_ignored(name: str, trailer: bytes) -> None:
    data = FILES[name]
    np.testing.assert_array_equal(pixels_of(data[:-END] + trailer), pixels_of(data))


@pytest.mark.parametrize("name", FILES)
def test_a_scan_that_breaks_off_is_refused(name: str) -> None:
    """Wherever, up to its last byte but one: the last may have nothing but bits that fill it up."""
    data = FILES[name][:-END]
    cuts = [*range(2, 40), *range(40, len(data) - 700, len(data) // 40)]
    for cut in cuts:
        # A download that breaks off may be filled up with zeros.
        for end in (b"", bytes(500)):
            with pytest.raises(InvalidImage, match="The JPEG image can't be decoded: "):
                pixels_of(data[:-cut] + end)


def test_a_missing_scan_is_refused() -> None:
    data = FILES["progressive"]
    scans = [at for at in range(len(data)) if data.startswith(b"\xff\xda", at)]
    assert len(scans) > 5
    for start in scans[1:]:
        with pytest.raises(InvalidImage, match="its data ends before its last pixel"):
            pixels_of(data[: data.rindex(b"\xff\xc4", 0, start)])


SEGMENTS = {
    "empty": b"\0\2",
    "of length 0": b"\0\0",
    "of length 1": b"\0\1",
    "a short Exif": b"\0\x0aExif\0\0II",
    "a short JFIF": b"\0\7JFIF\0",
    "a short Adobe": b"\0\7Adobe",
    "a profile without parts": b"\0\x0fICC_PROFILE\0\5",
    "a broken index of images": b"\0\x0aMPF\0abcd",
    "broken Photoshop": b"\0\x1cPhotoshop 3.0\x008BIM\4\4\0\0\0\0\xff\xff",
}


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("content", SEGMENTS)
@pytest.mark.parametrize("code", [*range(0xE0, 0xF0), 0xFE], ids=hex)
def test_a_broken_segment_is_dropped(code: int, content: str) -> None:
    data = FILES["baseline"]
    segment = bytes([0xFF, code]) + SEGMENTS[content]
    for place in (2, data.index(b"\xff\xda")):
        np.testing.assert_array_equal(pixels_of(inserted(data, place, segment)), pixels_of(data))


def test_a_trailing_marker_of_a_large_photo_that_is_decoded_at_a_fraction() -> None:
    data = encoded(PHOTO.convert("RGB").resize((1200, 800)), "JPEG", progressive=True)
    np.testing.assert_array_equal(pixels_of(data[:-END]), pixels_of(data))
