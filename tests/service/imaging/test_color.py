"""Embedded ICC profiles are applied, and ignored where they are broken or of no use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from service.imaging.decoder import decode
from tests.service.images import encoded, noise, orientation_tag, quadrants, recipe
from tests.service.imaging.profiles import (
    DISPLAY_P3,
    SRGB,
    SRGB_CURVE,
    cmyk_profile,
    grey_profile,
    profile,
    rgb_profile,
)

Pixels = npt.NDArray[np.uint8]

COLOR = (180, 120, 60)
P3 = rgb_profile(DISPLAY_P3)
# Red and green are exchanged, which every test notices.
SWAPPED = rgb_profile(SRGB[:, [1, 0, 2]])
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels_of(data: bytes, size: int = 32) -> Pixels:
    return decode(data, recipe(size, size), max_pixels=1_000_000)


def color_of(data: bytes) -> list[int]:
    """The color of an image of one color."""
    (color,) = np.unique(pixels_of(data).reshape(-1, 3), axis=0)
    return [int(level) for level in color]


def expected(color: tuple[int, int, int], primaries: npt.NDArray[np.float64]) -> list[float]:
    """sRGB of a color in `primaries` with gamma 2.2, by sRGB's transfer curve (IEC 61966-2-1)."""
    linear = np.linalg.inv(SRGB) @ primaries @ (np.array(color) / 255) ** 2.2
    linear = linear.clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return [float(level) for level in 255 * encoded]


@pytest.mark.parametrize(
    ("format", "options", "tolerance"),
    [
        ("JPEG", {"quality": 100, "subsampling": 0}, 3),
        ("PNG", {}, 2),
        ("WEBP", {"lossless": True}, 2),
        ("TIFF", {}, 2),
        ("TIFF", {"compression": "tiff_lzw"}, 2),
    ],
)
def test_display_p3_becomes_srgb(format: str, options: dict[str, object], tolerance: int) -> None:
    data = encoded(Image.new("RGB", (32, 32), COLOR), format, icc_profile=P3, **options)
    assert expected(COLOR, DISPLAY_P3)[0] > COLOR[0] + 8
    np.testing.assert_allclose(color_of(data), expected(COLOR, DISPLAY_P3), atol=tolerance)


@pytest.mark.parametrize("size", [(48, 32), (403, 257)], ids=["small", "drafted"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_profile_and_an_orientation_of_a_large_or_small_jpeg(
    size: tuple[int, int], orientation: int
) -> None:
    """Both are applied, also where the JPEG is decoded at a fraction."""
    options = {"quality": 95, "subsampling": 0, "exif": orientation_tag(orientation)}
    plain = encoded(quadrants(*size), "JPEG", **options)
    swapped = encoded(quadrants(*size), "JPEG", icc_profile=SWAPPED, **options)
    before, after = pixels_of(plain).astype(int), pixels_of(swapped).astype(int)
    inside = [(y, x) for y in (6, 26) for x in (6, 26)]
    for y, x in inside:
        np.testing.assert_allclose(after[y, x], before[y, x][[1, 0, 2]], atol=12)
    assert any(abs(before[y, x][0] - before[y, x][1]) > 100 for y, x in inside)


@pytest.mark.parametrize(
    "icc_profile",
    [SRGB_PROFILE, rgb_profile(SRGB)[:60], b"", b"no profile at all", bytes(5000)],
    ids=["sRGB", "cut off", "empty", "text", "zeros"],
)
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_an_srgb_profile_or_a_broken_one_changes_no_byte(format: str, icc_profile: bytes) -> None:
    image = noise(60, 50)
    tagged = encoded(image, format, icc_profile=icc_profile)
    np.testing.assert_array_equal(pixels_of(tagged), pixels_of(encoded(image, format)))


@pytest.mark.parametrize(("white", "seen"), [(253, 255), (252, 252)])
def test_a_profile_is_called_srgb_where_no_color_is_three_levels_off(white: int, seen: int) -> None:
    luminance = ((white / 255 + 0.055) / 1.055) ** 2.4
    nearly = rgb_profile(SRGB * luminance, SRGB_CURVE)
    data = encoded(Image.new("RGB", (32, 32), "white"), "PNG", icc_profile=nearly)
    assert color_of(data) == [seen] * 3


def test_a_profile_that_differs_from_srgb_in_one_primary_is_applied() -> None:
    """Blue has a hundredth of red's light, which shows in no grey and no pale color."""
    red, green, blue = SRGB.T
    data = encoded(
        Image.new("RGB", (32, 32), "blue"),
        "PNG",
        icc_profile=rgb_profile(np.array([0.99 * red, green, blue + 0.01 * red]).T, SRGB_CURVE),
    )
    np.testing.assert_allclose(color_of(data), [25, 0, 255], atol=1)


@pytest.mark.parametrize(
    ("mode", "color", "icc_profile"),
    [
        ("RGB", COLOR, grey_profile(1.0)),
        ("RGB", COLOR, cmyk_profile(0)),
        ("L", 90, SWAPPED),
        ("RGB", COLOR, P3[:16] + b"LUV " + P3[20:]),
        ("RGB", COLOR, P3 + b"mpet"),
    ],
    ids=["grey", "CMYK", "RGB on grey", "unknown space", "multi-process elements"],
)
def test_a_profile_for_other_colors_is_ignored(
    mode: str, color: object, icc_profile: bytes
) -> None:
    image = Image.new(mode, (32, 32), color)  # type: ignore[arg-type]
    data = encoded(image, "PNG", icc_profile=icc_profile)
    assert color_of(data) == color_of(encoded(image, "PNG"))


def test_a_profile_of_more_than_four_megabytes_is_ignored() -> None:
    image, largest = Image.new("RGB", (32, 32), COLOR), SWAPPED.ljust(4 * 2**20, b"\0")
    red, green, _ = color_of(encoded(image, "TIFF", icc_profile=largest))
    assert green > red
    assert color_of(encoded(image, "TIFF", icc_profile=largest + b"\0")) == list(COLOR)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "I;16"])
def test_a_grey_profile(mode: str) -> None:
    """Of linear light: 128 of 255 is 188 in sRGB."""
    image = Image.new("L", (32, 32), 128)
    if mode == "I;16":
        image = Image.fromarray(np.full((32, 32), 128 * 257, np.uint16))
    data = encoded(
        image if mode == "I;16" else image.convert(mode), "PNG", icc_profile=grey_profile(1.0)
    )
    if mode == "1":
        assert set(np.unique(pixels_of(data))) <= {0, 255} | set(range(120, 256))
    else:
        np.testing.assert_allclose(color_of(data), [188] * 3, atol=1)


@pytest.mark.parametrize("size", [(32, 32), (300, 257)], ids=["small", "drafted"])
@pytest.mark.parametrize(
    ("ink", "lightness"), [((0, 0, 0, 0), 100), ((255, 255, 0, 0), 50), ((255,) * 4, 0)]
)
def test_a_cmyk_profile(
    ink: tuple[int, int, int, int], lightness: float, size: tuple[int, int]
) -> None:
    """The result is grey of a known L*; Pillow's own conversion would give blue and black."""
    data = encoded(Image.new("CMYK", size, ink), "JPEG", quality=100, icc_profile=cmyk_profile(0))
    luminance = ((lightness + 16) / 116) ** 3
    grey = 255 * (1.055 * luminance ** (1 / 2.4) - 0.055) if lightness else 0
    np.testing.assert_allclose(color_of(data), [grey] * 3, atol=3)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_a_profile_is_applied_before_transparency(mode: str) -> None:
    image = Image.new("RGBA", (32, 32), (200, 40, 40, 128))
    data = encoded(image if mode == "RGBA" else image.quantize(2), "PNG", icc_profile=SWAPPED)
    red, green, blue = color_of(data)
    assert green > red + 60
    np.testing.assert_allclose([red, green, blue], [148, 227, 148], atol=12)


def test_lab_becomes_srgb() -> None:
    image = ImageCms.applyTransform(
        Image.new("RGB", (32, 32), COLOR),
        ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        ),
    )
    assert image is not None
    np.testing.assert_allclose(color_of(encoded(image, "TIFF")), COLOR, atol=4)


def test_many_threads_share_a_transform() -> None:
    """Each gets the pixels that it gets alone."""
    images = [encoded(noise(40, 40, seed), "PNG", icc_profile=P3) for seed in range(8)]
    alone = [pixels_of(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(pixels_of, images * 20))
    for index, pixels in enumerate(together):
        np.testing.assert_array_equal(pixels, alone[index % 8])


def test_a_profile_that_states_a_wrong_size_is_ignored() -> None:
    lying = profile(b"RGB ", b"mntr", b"XYZ ", {})
    lying = b"\xff\xff\xff\xff" + lying[4:]
    data = encoded(Image.new("RGB", (32, 32), COLOR), "PNG", icc_profile=lying)
    assert color_of(data) == list(COLOR)
