"""No layout of a TIFF is shown with wrong pixels: each is right, or refused by its name."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from service.errors import InvalidImage
from service.imaging.decoder import decode
from tests.service.images import encoded, recipe
from tests.service.imaging.layouts.tiff_files import (
    BLACK_IS_ZERO,
    CMYK,
    FLOAT,
    RGB,
    UNSIGNED,
    Layout,
)
from tests.service.imaging.layouts.tiff_grid import SIZE, Group, groups, outcome
from tests.service.imaging.layouts.tiff_table import row_of

REFUSALS = ("This layout of a TIFF is not supported: ", "A big-endian BigTIFF is not supported")


@pytest.mark.parametrize("group", list(groups()), ids=str)
def test_a_layout_is_right_or_refused_by_its_name(group: Group) -> None:
    for layout in group.layouts():
        found = outcome(group, layout)
        assert found == "right" or found.startswith(REFUSALS), layout
    row = row_of(group)
    page = (Path(__file__).parents[4] / "docs/images.md").read_text(encoding="utf-8")
    listed = f"| {group} |" in page if row is None else row not in page
    assert not listed, "python -m docs.refresh"


@pytest.mark.parametrize(
    "group",
    [
        Group(BLACK_IS_ZERO, 8, UNSIGNED),
        Group(BLACK_IS_ZERO, 16, UNSIGNED),
        Group(RGB, 8, UNSIGNED),
        Group(RGB, 8, UNSIGNED, (2,)),
        Group(RGB, 16, UNSIGNED),
    ],
    ids=str,
)
def test_what_most_programs_write_is_right(group: Group) -> None:
    for layout in group.layouts():
        usual = not (layout.low_bit_first or layout.planar or layout.big)
        assert not usual or outcome(group, layout) == "right", layout


def test_a_refusal_names_the_layout() -> None:
    group = Group(RGB, 32, FLOAT, (2,))
    layout = next(layout for layout in group.layouts() if layout.planar)
    assert outcome(group, layout) == (
        "This layout of a TIFF is not supported: RGB, 32 bits a sample, floating-point, extra "
        "samples: alpha, in planes, little-endian, uncompressed. Save it with 8 bits a sample, as "
        "RGB or grey."
    )


def floats(lowest: float, highest: float) -> bytes:
    values = np.full((SIZE, SIZE, 1), highest, np.float32)
    values[0, 0] = lowest
    return Layout(BLACK_IS_ZERO, 32, FLOAT, 1).write(values)


@pytest.mark.parametrize(
    ("highest", "level"), [(0.5, 127), (1.0, 255), (1.05, 255), (16.0, 16), (200.0, 200)]
)
def test_floats_are_of_one_or_of_255(highest: float, level: int) -> None:
    pixels = decode(floats(0, highest), recipe(SIZE, SIZE), max_pixels=10**6)
    assert pixels[10, 10].tolist() == [level] * 3


@pytest.mark.parametrize(
    ("lowest", "highest"), [(0, 1.2), (0, 15), (0, 300), (0, np.inf), (-0.5, 1), (-200, 200)]
)
def test_floats_of_another_range_are_refused(lowest: float, highest: float) -> None:
    with pytest.raises(InvalidImage, match=r"from 0 to 1 or from 0 to 255\. Received: from"):
        decode(floats(lowest, highest), recipe(SIZE, SIZE), max_pixels=10**6)


def test_inks_other_than_cmyk_are_refused() -> None:
    data = Layout(CMYK, 8, UNSIGNED, 4).write(np.zeros((SIZE, SIZE, 4), int))
    ink_set = struct.pack("<HHIHH", 332, 3, 1, 1, 0)
    assert data.count(ink_set) == 1
    with pytest.raises(InvalidImage, match="inks other than CMYK, 8 bits a sample"):
        decode(
            data.replace(ink_set, struct.pack("<HHIHH", 332, 3, 1, 2, 0)),
            recipe(SIZE, SIZE),
            max_pixels=10**6,
        )


@pytest.mark.parametrize(("alpha", "level"), [(0, 10), (255, 10), (51, 206)])
def test_a_fourth_sample_that_nothing_explains(alpha: int, level: int) -> None:
    """It is alpha, unless it is zero everywhere."""
    samples = np.full((SIZE, SIZE, 4), (10, 10, 10, alpha))
    pixels = decode(
        Layout(RGB, 8, UNSIGNED, 4).write(samples), recipe(SIZE, SIZE), max_pixels=10**6
    )
    assert pixels[0, 0].tolist() == [level] * 3


def test_samples_of_different_sizes_are_refused() -> None:
    layout = Layout(RGB, 8, UNSIGNED, 3, mixed_bits=(8, 8, 4))
    with pytest.raises(InvalidImage, match="4 and 8 bits a sample"):
        decode(layout.write(np.zeros((SIZE, SIZE, 3), int)), recipe(SIZE, SIZE), max_pixels=10**6)


@pytest.mark.parametrize(
    ("compression", "mode"),
    [
        ("jpeg", "L"),
        ("jpeg", "RGB"),
        ("zstd", "RGB"),
        ("lzma", "RGB"),
        ("group3", "1"),
        ("group4", "1"),
        ("tiff_ccitt", "1"),
    ],
)
def test_other_compressions_give_the_same_samples(compression: str, mode: str) -> None:
    """As libtiff's writer and an independent reader have them."""
    image = Image.radial_gradient("L").resize((SIZE, SIZE)).convert(mode)
    data = encoded(image, "TIFF", compression=compression)
    samples = np.asarray(tifffile.imread(io.BytesIO(data))).astype(int)
    samples = samples * 255 if mode == "1" else samples
    expected = samples if samples.ndim == 3 else samples[:, :, None]
    pixels = decode(data, recipe(SIZE, SIZE), max_pixels=10**6).astype(int)
    assert abs(pixels - expected).max() <= 3


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_jpeg_compression_of_ycbcr(subsampling: tuple[int, int]) -> None:
    y, x = np.mgrid[0:SIZE, 0:SIZE] * 5
    colors = np.stack([x, y, (x + y) // 2], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    tifffile.imwrite(file, colors, photometric="rgb", compression="jpeg", subsampling=subsampling)
    expected = np.asarray(tifffile.imread(io.BytesIO(file.getvalue()))).astype(int)
    pixels = decode(file.getvalue(), recipe(SIZE, SIZE), max_pixels=10**6).astype(int)
    assert abs(pixels - expected).max() <= 6


def test_jpeg_compression_of_12_bits_is_refused() -> None:
    file = io.BytesIO()
    values = np.full((SIZE, SIZE), 2000, np.uint16)
    options = {"bitspersample": 12}
    tifffile.imwrite(file, values, compression="jpeg", compressionargs=options)
    with pytest.raises(InvalidImage, match="This layout of a TIFF is not supported: grey"):
        decode(file.getvalue(), recipe(SIZE, SIZE), max_pixels=10**6)
