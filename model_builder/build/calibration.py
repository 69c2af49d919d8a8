"""The images for the calibration of an int8 network: random crops of a few photos."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from model_builder.artifact.preprocessing import RESAMPLING, Preprocessing
from model_builder.errors import CalibrationFailed
from model_builder.exporters.base import CalibrationSet
from model_builder.system.regular_file import check_regular_file

Pixels = npt.NDArray[np.uint8]

SHIPPED = "the photos that come with the code"
SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
CROPS = 160
# Other crops of the same photos, on which the int8 network is compared with float32.
CHECKED_CROPS = 128
# A crop's edge as a share of its photo's shorter edge: about the share that the center crop has.
SMALLEST_CROP = 0.8


def calibration_set(folder: Path | None, preprocessing: Preprocessing) -> CalibrationSet:
    """Crops of the photos in a folder and its subfolders; None for those that come with the code.

    Deterministic. Raises CalibrationFailed where there are no photos, or one can't be read.
    """
    random = np.random.default_rng(0)
    photos = _shipped_photos(random) if folder is None else _photos(folder, random)
    crops = _crops(photos, CROPS, preprocessing, random)
    # The whole range of pixels, so that the quantized input has scale 1 and zero point 0.
    crops[0, 0, 0], crops[0, 0, 1] = 0, 255
    return CalibrationSet(
        SHIPPED if folder is None else str(folder),
        len(photos),
        crops,
        _crops(photos, CHECKED_CROPS, preprocessing, random),
    )


def shipped_crops(count: int, preprocessing: Preprocessing) -> Pixels:
    """uint8 [count, S, S, 3], each of another of the photos that come with the code."""
    random = np.random.default_rng(0)
    return _crops(_shipped_photos(random), count, preprocessing, random)


def _shipped_photos(random: np.random.Generator) -> list[Image.Image]:
    with as_file(files("model_builder.build") / "calibration_photos") as shipped:
        return _photos(shipped, random)


def _photos(folder: Path, random: np.random.Generator) -> list[Image.Image]:
    """At most CROPS photos, chosen at random."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = random.permutation(len(paths))[:CROPS]
    photos = []
    for path in (paths[index] for index in sorted(chosen)):
        try:
            check_regular_file(path)
            with Image.open(path) as photo:
                photos.append(ImageOps.exif_transpose(photo).convert("RGB"))
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise CalibrationFailed(f"{path} is no image: {error}") from error
    if not photos:
        raise CalibrationFailed(
            f"Calibration needs images ({', '.join(sorted(SUFFIXES))}). "
            f"Received: {folder}, which has none"
        )
    return photos


def _crops(
    photos: list[Image.Image], count: int, preprocessing: Preprocessing, random: np.random.Generator
) -> Pixels:
    """Square crops uint8 [count, S, S, 3] of each photo in turn, resized to the input size S."""
    size = preprocessing.crop_size
    crops = np.empty((count, size, size, 3), np.uint8)
    for index in range(count):
        photo = photos[index % len(photos)]
        edge = random.uniform(SMALLEST_CROP, 1) * min(photo.size)
        left, top = random.uniform(0, np.subtract(photo.size, edge))
        crop = photo.resize(
            (size, size),
            RESAMPLING[preprocessing.interpolation],
            box=(left, top, left + edge, top + edge),
        )
        if preprocessing.channel_order == "L":
            crop = crop.convert("L").convert("RGB")
        crops[index] = np.asarray(crop)
    return crops
