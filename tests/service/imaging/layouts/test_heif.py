"""HEIF and HEIC: what they become, their limits, and the refusal where they are not read."""

from __future__ import annotations

import os
import struct
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from service.errors import ImageTooLarge, InvalidImage
from service.imaging.decoder import decode, open_image
from service.imaging.header import read_header
from service.imaging.limits.isobmff import count_samples
from tests.service.images import (
    SIDES,
    as_stored,
    box,
    encoded,
    noise,
    orientation_tag,
    quadrants,
    recipe,
)
from tests.service.imaging.processes import decoder_process
from tests.service.imaging.profiles import SRGB, rgb_profile

pytest.importorskip("pillow_heif", reason="the extra heif is not installed")

SIZE = 64


def heif(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "HEIF", quality=95, **options)


def pixels_of(data: bytes) -> npt.NDArray[np.int64]:
    return decode(data, recipe(SIZE, SIZE), max_pixels=10**6).astype(np.int64)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_modes(mode: str) -> None:
    image = quadrants(SIZE, SIZE)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image = image.convert(mode)
    assert abs(pixels_of(heif(image)) - pixels_of(encoded(image))).mean() < 2


@pytest.mark.parametrize("orientation", SIDES)
def test_every_orientation_is_turned_upright(orientation: int) -> None:
    scene = quadrants(SIZE, SIZE)
    exif = orientation_tag(orientation).tobytes()
    data = heif(as_stored(scene, orientation), exif=exif)
    assert data.count(b"irot") + data.count(b"imir") == (0, 0, 1, 1, 1, 2, 1, 2, 1)[orientation]
    assert abs(pixels_of(data) - np.asarray(scene)).mean() < 2


def test_a_profile_is_applied() -> None:
    swapped = rgb_profile(SRGB[:, [1, 0, 2]])
    red = Image.new("RGB", (SIZE, SIZE), (200, 30, 60))
    expected = pixels_of(encoded(red, icc_profile=swapped))
    assert abs(expected - (200, 30, 60)).max() > 50
    assert abs(pixels_of(heif(red, icc_profile=swapped)) - expected).max() <= 4


def test_tiles() -> None:
    """As phones write it: the image is a grid of others."""
    data = heif(noise(300, 200).resize((900, 600)), tile_size=256)
    image = open_image(data, max_pixels=10**6)
    assert image.size == (900, 600)
    assert data.count(b"hvc1") > 4
    assert pixels_of(data).shape == (SIZE, SIZE, 3)


def test_the_header_states_the_size_before_anything_is_decoded() -> None:
    data = heif(noise(300, 200))
    header = read_header(data)
    assert (header.kind, header.pixels) == ("HEIF", 60_000)
    with pytest.raises(ImageTooLarge, match="300 x 200"):
        open_image(data, max_pixels=59_999)


def test_what_is_cut_off_is_refused() -> None:
    """libheif would show it as another color."""
    data = heif(noise(300, 200).resize((900, 600)), tile_size=256)
    for cut in (1, 10, 1000, len(data) // 2):
        with pytest.raises(InvalidImage, match="HEIF image"):
            pixels_of(data[:-cut])


def test_a_sequence_without_an_image_is_refused() -> None:
    with pytest.raises(InvalidImage, match="HEIF"):
        pixels_of(box(b"ftyp", b"hevc\0\0\0\0hevcmsf1") + box(b"moov", b""))
    assert count_samples(box(b"ftyp", b"hevc\0\0\0\0")) == 0


def test_an_image_that_is_larger_than_it_says_is_refused_in_its_process() -> None:
    data = bytearray(heif(Image.new("RGB", (3000, 2000), "red")))
    place = -1
    while (place := data.find(b"ispe", place + 1)) > 0:
        data[place + 8 : place + 16] = struct.pack(">II", 16, 16)
    with decoder_process(max_pixels=10**6, timeout_seconds=10) as process:
        process.decode(heif(quadrants(SIZE, SIZE)), recipe(SIZE, SIZE))
        survivor = process.pid
        with pytest.raises(InvalidImage, match="HEIF image can't be decoded"):
            process.decode(bytes(data), recipe(SIZE, SIZE))
        decoded = process.decode(heif(quadrants(SIZE, SIZE)), recipe(SIZE, SIZE))
        assert (process.pid, decoded.image_pixels) == (survivor, SIZE * SIZE)


def test_it_is_named_where_the_extra_is_not_installed() -> None:
    script = """
import sys
sys.modules["pillow_heif"] = None
from service.errors import UnsupportedMedia
from service.imaging.decoder import open_image
try:
    open_image(bytes.fromhex(sys.argv[1]), max_pixels=10**6)
except UnsupportedMedia as error:
    print(error)
"""
    printed = subprocess.run(
        [sys.executable, "-c", script, heif(quadrants(16, 16)).hex()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert printed.endswith(
        "Received: HEIC or HEIF, which this server takes where the extra 'heif' is installed\n"
    )
