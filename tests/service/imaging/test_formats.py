"""Each accepted format is recognized and limited; every other one is named in the refusal."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from typing import Any

import pytest
from PIL import Image, ImageFile, features
from PIL.TiffImagePlugin import PREFIXES

from service.errors import ImageTooLarge, InvalidImage, UnsupportedMedia
from service.imaging.decoder import decode, open_image
from service.imaging.formats import ACCEPTED, FORMATS
from tests.service.images import encoded, noise, recipe

RECIPE = recipe(16, 14)
MAX_PIXELS = 10_000
FRAMES = [noise(24, 20, seed=number) for number in range(5)]
ANIMATIONS: dict[str, dict[str, Any]] = {
    "GIF": {},
    "PNG": {},
    "PNG, with another image first": {"default_image": True},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "TIFF, big": {"big_tiff": True},
    "MPO": {},
}
if "AVIF" in ACCEPTED:
    ANIMATIONS["AVIF"] = {"speed": 10}
PNM, TGA = (encoded(Image.new("RGB", (32, 32)), format) for format in ("PPM", "TGA"))


def animated(name: str, frames: list[Image.Image]) -> bytes:
    # A copy, because an image keeps the options that it was saved with.
    first, *rest = (frame.copy() for frame in frames)
    format = name.partition(",")[0]
    return encoded(first, format, save_all=True, append_images=rest, **ANIMATIONS[name])


def check_file(data: bytes, max_frames: int) -> None:
    """All checks that come before Pillow reads the file."""
    for format in FORMATS.values():
        if format.may_read(data):
            format.check_file(data, max_pixels=MAX_PIXELS, max_frames=max_frames)


@pytest.fixture
def nothing_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: ImageFile.ImageFile) -> None:
        raise AssertionError(f"pixels of a {image.format} were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_its_reader_and_signature(name: str) -> None:
    assert FORMATS[name].reader.format == name
    if name in ACCEPTED:
        assert FORMATS[name].may_read(encoded(FRAMES[0], name))


def test_all_formats_are_accepted_but_for_an_avif_that_pillow_lacks() -> None:
    assert set(FORMATS) - set(ACCEPTED) == (set() if features.check("avif") else {"AVIF"})


@pytest.mark.parametrize(
    ("name", "beginnings"),
    [
        ("TIFF", PREFIXES),
        ("AVIF", [b"\0\0\0 ftyp" + brand for brand in (b"avif", b"avis", b"mif1", b"msf1")]),
    ],
)
def test_what_pillow_tries_is_checked(name: str, beginnings: list[bytes]) -> None:
    """Also where it does not name the format: a HEIC may begin as an AVIF does."""
    assert all(FORMATS[name].may_read(data + bytes(40)) for data in beginnings)


@pytest.mark.parametrize("name", ANIMATIONS)
@pytest.mark.usefixtures("nothing_decoded")
def test_limit_of_frames(name: str) -> None:
    data = animated(name, FRAMES)
    count = Image.open(io.BytesIO(data)).n_frames  # type: ignore[attr-defined]
    assert count >= len(FRAMES)
    open_image(data, max_pixels=MAX_PIXELS, max_frames=count)
    with pytest.raises(ImageTooLarge) as refusal:
        open_image(data, max_pixels=MAX_PIXELS, max_frames=count - 1)
    assert str(refusal.value) == (
        f"An image may have {count - 1} frames, pages or images. Received: {count} or more"
    )


@pytest.mark.parametrize("name", [name for name in ANIMATIONS if name[:3] not in ("PNG", "MPO")])
def test_frames_are_counted_before_pillow_reads_the_file(name: str) -> None:
    data = animated(name, FRAMES)
    check_file(data, len(FRAMES))
    with pytest.raises(ImageTooLarge, match="Received: 5 or more"):
        check_file(data, len(FRAMES) - 1)


@pytest.mark.parametrize("format", ACCEPTED)
def test_a_still_image_has_one_frame(format: str) -> None:
    decode(encoded(FRAMES[0], format), RECIPE, max_pixels=MAX_PIXELS, max_frames=1)


@pytest.mark.parametrize("name", ["GIF", "WEBP"])
def test_an_ordinary_animation_is_accepted(name: str) -> None:
    """Half a minute at 30 frames a second."""
    frames = [Image.new("L", (8, 8), number % 256) for number in range(900)]
    assert decode(animated(name, frames), RECIPE, max_pixels=MAX_PIXELS).shape == (14, 14, 3)


@pytest.mark.parametrize("name", ANIMATIONS)
def test_a_truncated_file_is_left_to_the_reader(name: str) -> None:
    data = animated(name, FRAMES[:2])
    for end in range(len(data)):
        check_file(data[:end], max_frames=1000)


def test_a_file_is_checked_as_every_format_whose_signature_it_has() -> None:
    """A TIFF's first page may lie anywhere; here a WebP's signature precedes it."""
    data = animated("TIFF", FRAMES)
    entries = struct.unpack_from("<H", data, 8)[0]
    first_page = data[8 : 8 + 2 + 12 * entries + 4]
    moved = b"II*\0" + struct.pack("<I", len(data)) + b"WEBP" + data[12:] + first_page
    open_image(moved, max_pixels=MAX_PIXELS, max_frames=5)
    with pytest.raises(ImageTooLarge, match="Received: 5 or more"):
        open_image(moved, max_pixels=MAX_PIXELS, max_frames=4)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7\n1 0 obj", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"\xc5\xd0\xd3\xc6" + bytes(60), "PostScript"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b'<?xml version="1.0"?><svg/>', "XML, SVG perhaps"),
        (b"\xd7\xcd\xc6\x9a" + bytes(60), "WMF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "OLE, FlashPix perhaps"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x0a" + bytes(60), "JPEG XL"),
        (b"8BPS\x00\x01", "Photoshop"),
        (encoded(Image.new("RGB", (32, 32)), "ICO"), "ICO"),
        (b"just a line of text", "19 bytes of text"),
        (PNM, f"{len(PNM)} bytes that begin with 50 36 0a 33 32 20 33 32 (hexadecimal)"),
        (TGA, f"{len(TGA)} bytes that begin with {TGA[:8].hex(' ')} (hexadecimal)"),
        (
            b"RIFF\x24\x00\x00\x00WAVE",
            f"12 bytes that begin with {b'RIFF$'.hex(' ')} 00 00 00 (hexadecimal)",
        ),
        (
            b"MM*\x00\0\0\0\x08" + bytes(40),
            "48 bytes that begin with 4d 4d 2a 00 00 00 00 08 (hexadecimal)",
        ),
        (b"\0\0\0\x18ftypisom", "12 bytes that begin with 00 00 00 18 66 74 79 70 (hexadecimal)"),
    ],
)
def test_other_formats_are_named_in_the_refusal(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedMedia) as refusal:
        open_image(data, max_pixels=MAX_PIXELS)
    assert str(refusal.value) == f"Images are taken as {', '.join(ACCEPTED)}. Received: {name}"


@pytest.mark.parametrize("brand", [b"heic", b"hevc", b"mif1"])
@pytest.mark.parametrize("beginning", [b"\0\0\0\x18ftyp", b"BM\0\x18ftyp"])
def test_heif_is_named_whether_it_is_read_or_not(beginning: bytes, brand: bytes) -> None:
    with pytest.raises((InvalidImage, UnsupportedMedia), match="HEIF"):
        open_image(beginning + brand, max_pixels=MAX_PIXELS)


@pytest.mark.parametrize(
    "data", [b"MMXXVI" + bytes(range(256)) * 90, b"II." + bytes(40)], ids=["a numeral", "dots"]
)
def test_a_byte_order_alone_does_not_make_a_tiff(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia):
        open_image(data, max_pixels=MAX_PIXELS, max_frames=1)


def test_no_other_reader_of_pillow_is_imported() -> None:
    """A reader that is not imported can't be attacked."""
    files = [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"%PDF-1.7", b"\xd7\xcd\xc6\x9a" + bytes(60), PNM]
    script = """
import sys
from PIL import Image
from service.errors import UnsupportedMedia
from service.imaging.decoder import open_image
for data in eval(sys.argv[1]):
    try:
        open_image(data, max_pixels=10**6)
    except UnsupportedMedia:
        pass
print(*sorted(name for name in sys.modules if name.startswith("PIL.") and "Plugin" in name))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    imported = subprocess.run(
        [sys.executable, "-c", script, repr(files)],
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split()
    # Pillow always imports PPM's reader; `formats` keeps it from reading the file.
    assert set(imported) <= {
        f"PIL.{name}ImagePlugin"
        for name in ("Avif", "Bmp", "Gif", "Jpeg", "Mpo", "Png", "Ppm", "Tiff", "WebP")
    }
    assert "PIL.JpegImagePlugin" in imported
