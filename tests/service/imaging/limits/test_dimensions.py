"""A file that decodes to too many values for its length is refused; a large plain one is not."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageFile, features

from service.errors import ImageTooLarge
from service.imaging.decoder import open_image
from service.imaging.limits.dimensions import channels_of, check_size
from tests.service.images import box, encoded, header_alone

MAX_PIXELS = 50_000_000
# 49 939 200 pixels; and slightly more than a file of any length may have.
WIDTH, HEIGHT = 8160, 6120
BARELY = (5000, 2700)
BOMB_BYTES = 3 * WIDTH * HEIGHT // 600
assert 600 * BOMB_BYTES == 3 * WIDTH * HEIGHT


@pytest.fixture(autouse=True)
def nothing_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: ImageFile.ImageFile) -> None:
        raise AssertionError(f"pixels of a {image.format} were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


@pytest.mark.parametrize("format", ["PNG", "BMP", "JPEG"])
def test_limit_of_values_for_each_byte(format: str) -> None:
    header = header_alone(format, WIDTH, HEIGHT)
    enough = header.ljust(BOMB_BYTES, b"\xff")
    assert open_image(enough, max_pixels=MAX_PIXELS).size == (WIDTH, HEIGHT)
    with pytest.raises(ImageTooLarge) as refusal:
        open_image(enough[:-1], max_pixels=MAX_PIXELS)
    few = BOMB_BYTES - 1
    assert str(refusal.value) == (
        f"{few} bytes of {format} may unpack to {600 * few}. "
        f"Received: {WIDTH} x {HEIGHT} x 3 channels = {3 * WIDTH * HEIGHT}"
    )


@pytest.mark.parametrize("format", ["PNG", "BMP", "JPEG"])
def test_limit_of_values_for_any_number_of_bytes(format: str) -> None:
    """A phone's photo of a dark wall compresses to almost nothing, and is accepted."""
    data = header_alone(format, 4080, 3060)
    assert open_image(data, max_pixels=MAX_PIXELS).size == (4080, 3060)
    with pytest.raises(ImageTooLarge, match="may unpack to 40000000"):
        open_image(header_alone(format, 4000, 3334), max_pixels=MAX_PIXELS)


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("GIF", {}),
        ("WEBP", {"lossless": True, "method": 0}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ],
)
def test_one_color(
    format: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten megapixels of it may be a screenshot, thirteen and a half are refused."""
    monkeypatch.undo()
    screenshot = encoded(Image.new("RGB", (3840, 2600), "white"), format, **options)
    assert open_image(screenshot, max_pixels=MAX_PIXELS).size == (3840, 2600)
    bomb = encoded(Image.new("RGB", BARELY, "white"), format, **options)
    with pytest.raises(ImageTooLarge, match="may unpack to"):
        open_image(bomb, max_pixels=MAX_PIXELS)


def test_a_jpeg_of_one_color_is_accepted() -> None:
    """A block of 64 pixels takes at least two bits, so a complete JPEG can't be a bomb."""
    data = encoded(Image.new("RGB", BARELY, "red"), "JPEG", optimize=True)
    assert open_image(data, max_pixels=MAX_PIXELS).size == BARELY


def test_a_gif_may_have_twice_as_many_values_for_each_byte() -> None:
    enough = 3 * 4000 * 3400 // 1200
    image = Image.new("P", (4000, 3400))
    image.format = "GIF"
    check_size(image, file_bytes=enough, max_pixels=MAX_PIXELS)
    with pytest.raises(ImageTooLarge, match=f"{enough - 1} bytes of GIF may unpack to"):
        check_size(image, file_bytes=enough - 1, max_pixels=MAX_PIXELS)


def test_limits_of_pixels_and_edges() -> None:
    image = Image.new("1", (65_535, 1))
    check_size(image, file_bytes=100, max_pixels=65_535)
    with pytest.raises(ImageTooLarge, match=r"may have 65534 pixels\. Received: 65535 x 1 = 65535"):
        check_size(image, file_bytes=100, max_pixels=65_534)
    longer = Image.new("1", (1, 65_536))
    with pytest.raises(ImageTooLarge, match=r"may have 65535 pixels\. Received: 1 x 65536"):
        check_size(longer, file_bytes=100, max_pixels=MAX_PIXELS)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_an_avif_may_have_twice_as_many_values_for_each_byte() -> None:
    data = encoded(Image.new("RGB", (4000, 3400), "red"), "AVIF", speed=10)
    enough = data + box(b"free", bytes(3 * 4000 * 3400 // 1200 - len(data) - 8))
    assert open_image(enough, max_pixels=MAX_PIXELS).size == (4000, 3400)
    with pytest.raises(ImageTooLarge, match=f"{len(enough) - 1} bytes of AVIF may unpack to"):
        open_image(enough[:-1], max_pixels=MAX_PIXELS)


@pytest.mark.parametrize(
    ("mode", "channels"),
    [
        ("1", 1),
        ("L", 1),
        ("I;16", 1),
        ("I", 1),
        ("F", 1),
        ("LA", 2),
        ("P", 3),
        ("RGB", 3),
        ("RGBA", 4),
        ("CMYK", 4),
    ],
)
def test_channels_of_a_decoded_pixel(mode: str, channels: int) -> None:
    image = Image.open(io.BytesIO(encoded(Image.new(mode, (1, 1)), "TIFF")))
    assert image.mode == mode
    assert channels_of(image) == channels
