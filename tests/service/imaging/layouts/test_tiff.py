"""No layout of a TIFF is shown with wrong pixels: each is right, or refused by its name."""

from __future__ import annotations

import numpy as np
import pytest

from service.errors import InvalidImage
from service.imaging.decoder import decode
from tests.service.images import recipe
from tests.service.imaging.layouts.tiff_files import BLACK_IS_ZERO, FLOAT, RGB, UNSIGNED, Layout
from tests.service.imaging.layouts.tiff_grid import SIZE, Group, groups, outcome

REFUSALS = ("This layout of a TIFF is not supported: ", "A big-endian BigTIFF is not supported")


@pytest.mark.parametrize("group", list(groups()), ids=str)
def test_a_layout_is_right_or_refused_by_its_name(group: Group) -> None:
    for layout in group.layouts():
        found = outcome(group, layout)
        assert found == "right" or found.startswith(REFUSALS), layout


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


def test_samples_of_different_sizes_are_refused() -> None:
    layout = Layout(RGB, 8, UNSIGNED, 3, mixed_bits=(8, 8, 4))
    with pytest.raises(InvalidImage, match="4 and 8 bits a sample"):
        decode(layout.write(np.zeros((SIZE, SIZE, 3), int)), recipe(SIZE, SIZE), max_pixels=10**6)
