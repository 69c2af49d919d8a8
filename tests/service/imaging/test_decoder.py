"""Images of every mode that Pillow can write, and damaged ones."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageFile

from model_builder.artifact.preprocessing import Interpolation
from service.errors import ImageTooLarge, InvalidImage, UnsupportedMedia
from service.imaging.decoder import decode
from service.imaging.formats import ACCEPTED
from service.imaging.transforms import crop
from tests.service.images import (
    SIDES,
    as_stored,
    encoded,
    header_alone,
    noise,
    orientation_tag,
    plain,
    png_chunk,
    quadrants,
    recipe,
    reference,
)

Pixels = npt.NDArray[np.uint8]

MAX_PIXELS = 1_000_000
LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "BMP": {},
}
# Pillow warns of what is unusual in a file.
STRANGE = pytest.mark.filterwarnings("ignore:::PIL")


def pixels_of(data: bytes, edge: int = 32, size: int = 32) -> Pixels:
    """An image whose shorter edge is `edge` is not resized."""
    pixels = decode(data, recipe(edge, size), max_pixels=MAX_PIXELS)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (size, size, 3)
    return pixels


def assert_color(data: bytes, color: tuple[int, int, int], tolerance: int = 0) -> None:
    """Every pixel has the color, to within `tolerance` levels."""
    pixels = pixels_of(data).astype(int)
    np.testing.assert_allclose(pixels, np.broadcast_to(color, pixels.shape), atol=tolerance)


@pytest.mark.parametrize("orientation", SIDES)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_every_orientation_is_turned_upright(format: str, orientation: int) -> None:
    scene = quadrants(48, 32)
    data = encoded(
        as_stored(scene, orientation),
        format,
        exif=orientation_tag(orientation),
        **LOSSLESS[format],
    )
    np.testing.assert_array_equal(pixels_of(data), np.asarray(scene)[:, 8:40])


@pytest.mark.parametrize("orientation", SIDES)
def test_every_orientation_of_a_jpeg_is_turned_upright(orientation: int) -> None:
    scene = quadrants(64, 32)
    data = encoded(
        as_stored(scene, orientation),
        "JPEG",
        exif=orientation_tag(orientation),
        quality=95,
        subsampling=0,
    )
    np.testing.assert_allclose(pixels_of(data).astype(int), np.asarray(scene)[:, 16:48], atol=6)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(orientation: int) -> None:
    scene = quadrants(32, 32)
    data = encoded(scene, "PNG", exif=orientation_tag(orientation))
    np.testing.assert_array_equal(pixels_of(data), np.asarray(scene))


@STRANGE
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\x00\x00",
        b"Exif\x00\x00no TIFF header at all",
        b"Exif\x00\x00II*\x00\xff\xff\xff\xff",
        b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff\x01\x12",
    ],
    ids=["empty", "text", "offset beyond the end", "too few entries"],
)
def test_broken_exif_is_ignored(format: str, exif: bytes) -> None:
    scene = quadrants(32, 32)
    broken, without = encoded(scene, format, exif=exif), encoded(scene, format)
    np.testing.assert_array_equal(pixels_of(broken), pixels_of(without))


def palette(transparent: bool) -> bytes:
    image = Image.new("P", (32, 32), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    return encoded(image, "PNG", transparency=1) if transparent else encoded(image, "PNG")


def sixteen_bits(value: int, format: str) -> bytes:
    return encoded(Image.fromarray(np.full((32, 32), value, np.uint16)), format)


def floats(value: float) -> bytes:
    return encoded(Image.fromarray(np.full((32, 32), value, np.float32)), "TIFF")


def one(mode: str, color: Any, format: str = "PNG", **options: Any) -> bytes:
    return encoded(Image.new(mode, (32, 32), color), format, **options)


@pytest.mark.parametrize(
    ("data", "color"),
    [
        pytest.param(one("RGB", (1, 2, 3)), (1, 2, 3), id="RGB"),
        pytest.param(one("L", 77), (77, 77, 77), id="grey"),
        pytest.param(one("L", 77, transparency=77), (255, 255, 255), id="grey, that grey clear"),
        pytest.param(one("1", 1), (255, 255, 255), id="1 bit, white"),
        pytest.param(one("1", 0), (0, 0, 0), id="1 bit, black"),
        pytest.param(one("LA", (100, 255)), (100, 100, 100), id="grey and alpha, opaque"),
        pytest.param(one("LA", (100, 0)), (255, 255, 255), id="grey and alpha, clear"),
        pytest.param(one("RGBA", (10, 20, 30, 255)), (10, 20, 30), id="RGBA, opaque"),
        pytest.param(one("RGBA", (10, 20, 30, 0)), (255, 255, 255), id="RGBA, clear"),
        pytest.param(one("RGB", (9, 9, 9), transparency=(9, 9, 9)), (255, 255, 255), id="RGB key"),
        pytest.param(palette(False), (40, 50, 60), id="palette"),
        pytest.param(palette(True), (255, 255, 255), id="palette, that entry clear"),
        pytest.param(one("RGB", (1, 2, 3), "BMP"), (1, 2, 3), id="BMP"),
        pytest.param(one("RGB", (1, 2, 3), "TIFF"), (1, 2, 3), id="TIFF"),
        pytest.param(
            one("RGB", (1, 2, 3), "TIFF", compression="tiff_lzw"), (1, 2, 3), id="TIFF, LZW"
        ),
        pytest.param(one("RGB", (0, 0, 255), "GIF"), (0, 0, 255), id="GIF"),
        pytest.param(sixteen_bits(40_000, "PNG"), (156, 156, 156), id="16-bit PNG"),
        pytest.param(sixteen_bits(65_535, "PNG"), (255, 255, 255), id="16-bit PNG, white"),
        pytest.param(sixteen_bits(255, "PNG"), (0, 0, 0), id="16-bit PNG, nearly black"),
        pytest.param(sixteen_bits(40_000, "TIFF"), (156, 156, 156), id="16-bit TIFF"),
        pytest.param(floats(0.5), (127, 127, 127), id="float TIFF, to 1"),
        pytest.param(floats(1.0), (255, 255, 255), id="float TIFF, to 1, white"),
        pytest.param(floats(200.0), (200, 200, 200), id="float TIFF, to 255"),
        pytest.param(floats(float("nan")), (0, 0, 0), id="float TIFF, not a number"),
    ],
)
def test_colors(data: bytes, color: tuple[int, int, int]) -> None:
    assert_color(data, color)


@pytest.mark.parametrize(
    ("data", "color"),
    [
        pytest.param(one("RGBA", (200, 0, 100, 128)), (227, 127, 177), id="RGBA, half"),
        pytest.param(one("LA", (100, 128)), (177, 177, 177), id="grey and alpha, half"),
        pytest.param(
            one("RGBA", (200, 0, 100, 128), "WEBP", lossless=True), (227, 127, 177), id="WebP, half"
        ),
        pytest.param(one("RGB", (200, 90, 30), "JPEG"), (200, 90, 30), id="JPEG"),
        pytest.param(one("L", 90, "JPEG"), (90, 90, 90), id="grey JPEG"),
        pytest.param(one("CMYK", (255, 0, 0, 0), "JPEG"), (0, 255, 255), id="CMYK JPEG, cyan"),
        pytest.param(one("CMYK", (0, 0, 0, 255), "JPEG"), (0, 0, 0), id="CMYK JPEG, black"),
        pytest.param(one("RGB", (200, 90, 30), "WEBP"), (200, 90, 30), id="WebP"),
    ],
)
def test_colors_of_blended_and_lossy_images(data: bytes, color: tuple[int, int, int]) -> None:
    assert_color(data, color, tolerance=4)


def test_a_progressive_jpeg_is_the_same_as_a_baseline_one() -> None:
    image = noise(40, 40).resize((32, 32), Image.Resampling.BICUBIC)
    baseline, progressive = (
        encoded(image, "JPEG", quality=90, progressive=progressive) for progressive in (False, True)
    )
    assert Image.open(io.BytesIO(progressive)).info["progressive"]
    np.testing.assert_array_equal(pixels_of(progressive), pixels_of(baseline))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_is_decoded(format: str) -> None:
    first, second = (Image.new("RGB", (32, 32), color) for color in ((255, 0, 0), (0, 0, 255)))
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(first, format, save_all=True, append_images=[second], **options)
    assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 2
    assert_color(data, (255, 0, 0))


@pytest.mark.parametrize("format", ACCEPTED)
def test_every_accepted_format_is_decoded(format: str) -> None:
    assert_color(plain("red", (40, 32), format), (255, 0, 0), tolerance=4)


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2), (5, 3), (1, 900), (900, 1), (3000, 7), (2, 3000), (31, 31), (33, 2000)]
)
def test_tiny_and_very_long_images(size: tuple[int, int]) -> None:
    pixels = pixels_of(plain("green", size), edge=40)
    assert np.unique(pixels.reshape(-1, 3), axis=0).tolist() == [[0, 255, 0]]


def test_a_very_long_image_shows_its_middle() -> None:
    image = Image.new("RGB", (3000, 10), "red")
    image.paste((0, 0, 255), (1400, 0, 1600, 10))
    assert_color(encoded(image), (0, 0, 255))


@pytest.mark.parametrize(
    ("size", "taken"),
    [
        ((5000, 5), (40, 5)),
        ((5, 5000), (5, 40)),
        ((85, 10), (80, 10)),
        ((80, 10), (80, 10)),
        ((79, 10), (79, 10)),
    ],
)
def test_no_image_is_resized_to_more_than_eight_to_one(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], taken: tuple[int, int]
) -> None:
    """A line of a few kilobytes would need gigabytes to be resized as a whole."""
    from_sizes: list[tuple[int, int]] = []
    to_sizes: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def recorded(
        image: Image.Image, size: tuple[int, int], *options: Any, **named: Any
    ) -> Image.Image:
        from_sizes.append(image.size)
        to_sizes.append(size)
        return resize(image, size, *options, **named)

    monkeypatch.setattr(Image.Image, "resize", recorded)
    pixels_of(plain("green", size), edge=40)
    assert from_sizes[0][0] == taken[0]
    assert from_sizes[0][1] <= taken[1]
    assert all(max(resized) <= 8 * 40 for resized in to_sizes)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("edge", "crop_size"), [(256, 224), (37, 32), (33, 32), (32, 32)])
@pytest.mark.parametrize(
    "size",
    [
        (500, 375),
        (375, 500),
        (333, 251),
        (251, 333),
        (256, 256),
        (257, 256),
        (256, 257),
        (641, 427),
        (100, 101),
        (17, 23),
        (37, 90),
        (33, 65),
        (799, 100),
        (100, 800),
        (1, 1),
        (3, 2),
    ],
)
def test_resize_and_crop_equal_torchvision_bit_for_bit(
    size: tuple[int, int], edge: int, crop_size: int, interpolation: Interpolation
) -> None:
    image = noise(*size, seed=sum(size))
    preprocessing = recipe(edge, crop_size, interpolation)
    expected = np.asarray(reference(image, preprocessing))
    np.testing.assert_array_equal(np.asarray(crop(image, preprocessing)), expected)
    decoded = decode(encoded(image), preprocessing, max_pixels=MAX_PIXELS)
    np.testing.assert_array_equal(decoded, expected)


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    crop_size=st.integers(1, 40),
    margin=st.integers(0, 9),
)
@settings(deadline=None)
def test_resize_and_crop_equal_torchvision_for_any_size(
    width: int, height: int, crop_size: int, margin: int
) -> None:
    preprocessing = recipe(crop_size + margin, crop_size)
    if max(width, height) > 8 * min(width, height):
        # Longer ones are cropped first, see ASPECT_LIMIT.
        width = height
    image = noise(width, height)
    np.testing.assert_array_equal(
        np.asarray(crop(image, preprocessing)), np.asarray(reference(image, preprocessing))
    )


@pytest.mark.parametrize("format", ["WEBP", "AVIF", "TIFF"])
def test_a_file_that_states_its_end_is_compared_with_it(format: str) -> None:
    options = {"compression": "tiff_lzw"} if format == "TIFF" else {}
    data = encoded(noise(40, 40), format, **options)
    half = len(data) // 2
    with pytest.raises(InvalidImage, match=rf"The {format} image is truncated: .*: {half} bytes"):
        pixels_of(data[:half])


@STRANGE
@pytest.mark.parametrize("format", ACCEPTED)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_invalid(format: str, part: float) -> None:
    data = encoded(noise(40, 40), format)
    with pytest.raises(InvalidImage):
        pixels_of(data[: int(len(data) * part)])


def test_what_is_missing_is_said_for_its_sender() -> None:
    data = encoded(noise(40, 40), "JPEG")
    with pytest.raises(InvalidImage, match="The JPEG image can't be decoded: its data ends before"):
        pixels_of(data[: len(data) // 2])


@STRANGE
@pytest.mark.parametrize(
    "magic",
    [
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x00\x00\x00\x00WEBP",
        b"BM",
        b"GIF89a",
        b"II*\x00",
        b"\x00\x00\x00\x18ftypavis",
    ],
)
def test_a_signature_without_an_image_is_invalid(magic: bytes) -> None:
    with pytest.raises(InvalidImage):
        pixels_of(magic + b"\x00" * 40)


def test_an_empty_file_is_invalid() -> None:
    with pytest.raises(InvalidImage, match="0 bytes"):
        pixels_of(b"")


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "JPEG"])
@pytest.mark.parametrize("size", [(60_000, 60_000), (1001, 1000)])
def test_too_many_pixels_are_refused_from_the_header(format: str, size: tuple[int, int]) -> None:
    data = header_alone(format, *size)
    assert len(data) < 100
    with pytest.raises(ImageTooLarge, match=str(size[0] * size[1])):
        pixels_of(data)


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "JPEG"])
def test_the_same_header_with_few_pixels_is_truncated(format: str) -> None:
    with pytest.raises(InvalidImage):
        pixels_of(header_alone(format, 32, 32))


def test_limit_of_pixels() -> None:
    data = plain("blue", (50, 40))
    assert decode(data, recipe(32, 32), max_pixels=2000).shape == (32, 32, 3)
    with pytest.raises(ImageTooLarge) as refusal:
        decode(data, recipe(32, 32), max_pixels=1999)
    assert str(refusal.value) == "An image may have 1999 pixels. Received: 50 x 40 = 2000"


def test_a_text_chunk_that_unpacks_to_megabytes_is_dropped() -> None:
    bomb = b"\x00" + zlib.compress(b"x" * 70_000_000)
    header = plain("red", (32, 32))
    data = header[:33] + png_chunk(b"zTXt", b"Comment\x00" + bomb) + header[33:]
    assert_color(data, (255, 0, 0))


SEEDS = [encoded(quadrants(24, 20), format) for format in ACCEPTED]


@STRANGE
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    end=st.integers(0, 10_000),
)
@settings(deadline=None, max_examples=400)
def test_damaged_files_give_pixels_or_a_refusal(
    seed: bytes, changes: list[tuple[int, int]], end: int
) -> None:
    data = bytearray(seed)
    for position, value in changes:
        # Squared, because headers are at the beginning.
        data[int(len(data) * (position / 10_001) ** 2)] = value
    try:
        pixels = decode(bytes(data[: end + 1]), recipe(16, 16), max_pixels=MAX_PIXELS)
    except (ImageTooLarge, InvalidImage, UnsupportedMedia):
        return
    assert pixels.shape == (16, 16, 3)


def ycck_jpeg(ink: tuple[int, int, int, int]) -> bytes:
    """As Adobe writes it: C, M, Y as YCC, K inverted (Adobe technical note 5116, marker APP14)."""
    ycc = Image.new("RGB", (32, 32), ink[:3]).convert("YCbCr")
    # Pillow inverts what it writes, so the components are inverted first.
    stored = [ImageChops.invert(component) for component in ycc.split()]
    four = Image.merge("CMYK", [*stored, Image.new("L", (32, 32), ink[3])])
    data = bytearray(encoded(four, "JPEG", quality=100))
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


@pytest.mark.parametrize("ink", [(0, 0, 0, 0), (200, 40, 90, 10), (0, 255, 255, 0), (9, 9, 9, 200)])
def test_a_ycck_jpeg(ink: tuple[int, int, int, int]) -> None:
    """Also the same inks as CMYK without YCC, which Adobe inverts too."""
    red, green, blue = ((255 - part) * (255 - ink[3]) // 255 for part in ink[:3])
    assert_color(ycck_jpeg(ink), (red, green, blue), tolerance=4)
    assert_color(one("CMYK", ink, "JPEG", quality=100), (red, green, blue), tolerance=4)


def test_the_first_of_several_images_is_decoded() -> None:
    first, second = (Image.new("RGB", (32, 32), color) for color in ((255, 0, 0), (0, 0, 255)))
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert_color(data, (254, 0, 0), tolerance=4)


@pytest.mark.parametrize("format", ACCEPTED)
def test_the_first_of_a_hundred_frames_is_decoded(format: str) -> None:
    frames = [Image.new("RGB", (32, 32), (0, level, 0)) for level in range(100)]
    options = {"lossless": True} if format == "WEBP" else {}
    if format in ("BMP", "JPEG"):
        data = encoded(frames[0], format)
    else:
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert_color(data, (0, 0, 0), tolerance=4)


@pytest.mark.parametrize("size", [(65_536, 1), (1, 65_536), (200_000, 2)])
def test_limit_of_an_edge(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge, match="edges may have 65535 pixels"):
        pixels_of(plain("green", size))
    assert_color(plain("green", (65_535, 1)), (0, 255, 0))


def test_a_gif_whose_first_frame_covers_a_corner_is_white_elsewhere() -> None:
    """No frame draws the rest, which is transparent where the file has a transparent color."""
    corner = Image.new("P", (32, 32), 0)
    corner.putpalette([255, 0, 0, 0, 0, 255])
    data = bytearray(encoded(corner, "GIF", transparency=1))
    screen = data.index(b"GIF89a") + 6
    data[screen : screen + 4] = struct.pack("<HH", 64, 64)
    pixels = decode(bytes(data), recipe(64, 64), max_pixels=MAX_PIXELS)
    assert pixels[5, 5].tolist() == [255, 0, 0]
    assert pixels[50, 50].tolist() == [255, 255, 255]


def test_a_truncated_file_is_refused_at_any_length() -> None:
    """Pillow has a switch to fill the missing part with grey; it is off."""
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert Image.MAX_IMAGE_PIXELS is not None
    for format in ACCEPTED:
        data = encoded(noise(64, 64), format)
        for part in range(1, 20):
            with pytest.raises((InvalidImage, UnsupportedMedia)):
                pixels_of(data[: len(data) * part // 20])
