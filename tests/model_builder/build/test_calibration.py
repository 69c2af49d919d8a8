"""The crops for the calibration of int8 networks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from model_builder.artifact.preprocessing import CAFFE
from model_builder.build.calibration import (
    CHECKED_CROPS,
    CROPS,
    SHIPPED,
    calibration_set,
)
from model_builder.errors import CalibrationFailed
from model_builder.exporters.base import calibration_of

SMALL = replace(CAFFE, resize_edge=40, crop_size=32)


def save(path: Path, color: str, size: tuple[int, int] = (80, 60)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def test_the_crops_of_the_shipped_photos_are_deterministic() -> None:
    first, second = (calibration_set(None, SMALL) for _ in range(2))
    assert first.crops.shape == (CROPS, 32, 32, 3)
    assert first.checked.shape == (CHECKED_CROPS, 32, 32, 3)
    assert first.crops.dtype == np.uint8
    assert calibration_of(first) == calibration_of(second)
    assert (first.source, first.photos) == (SHIPPED, 8)
    # Real images that differ.
    assert len({crop.tobytes() for crop in (*first.crops, *first.checked)}) == CROPS + CHECKED_CROPS
    assert first.crops.std() > 40


def test_the_crops_have_the_whole_range_of_pixels(tmp_path: Path) -> None:
    save(tmp_path / "grey.png", "grey")
    made = calibration_set(tmp_path, SMALL)
    assert (made.crops.min(), made.crops.max()) == (0, 255)
    assert set(made.checked.reshape(-1)) == {128}


def test_a_folder_and_its_subfolders(tmp_path: Path) -> None:
    save(tmp_path / "red.png", "red")
    save(tmp_path / "more" / "BLUE.JPG", "blue")
    (tmp_path / "notes.txt").write_text("no image")
    made = calibration_set(tmp_path, SMALL)
    assert (made.source, made.photos) == (str(tmp_path), 2)
    blue, red = made.checked[0, 5, 5], made.checked[1, 5, 5]
    assert blue[2] > 250
    assert red.tolist() == [255, 0, 0]


def test_other_images_are_another_calibration(tmp_path: Path) -> None:
    for color in ("red", "blue"):
        save(tmp_path / color / "image.png", color)
    red, blue = (calibration_set(tmp_path / color, SMALL) for color in ("red", "blue"))
    assert calibration_of(red).digest != calibration_of(blue).digest


def test_photos_are_upright(tmp_path: Path) -> None:
    """Left half red, right half blue, rotated: red is at the top."""
    image = Image.new("RGB", (80, 80), "red")
    image.paste("blue", (40, 0, 80, 80))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    for crop in calibration_set(tmp_path, SMALL).checked:
        assert (np.diff(crop[:, 16, 2].astype(int)) >= -1).all()
        assert np.ptp(crop[16, :, 2].astype(int)) <= 1


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(CalibrationFailed, match=r"Calibration needs images .* which has none"):
        calibration_set(tmp_path, SMALL)


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(CalibrationFailed, match=r"broken\.jpg is no image"):
        calibration_set(tmp_path, SMALL)


def test_a_pipe_among_the_images_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "photo.jpg")
    with pytest.raises(CalibrationFailed, match=r"photo\.jpg is a pipe, not a file"):
        calibration_set(tmp_path, SMALL)
