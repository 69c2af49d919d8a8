"""Transparency of a PNG by one color, which Pillow compares with samples of 8 bits only."""

from __future__ import annotations

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from service.errors import InvalidImage

KEY = "transparency"
# By the bits of a grey sample, which become 8: what the color is multiplied by. Pillow's raw modes.
SCALES = {"L;2": 85, "L;4": 17}
SIXTEEN_BITS = "RGB;16B"


def check(image: PngImageFile) -> None:
    """Corrects a transparent grey of 2 or 4 bits. Raises InvalidImage for a color of 16 bits: what
    Pillow decodes has 8, and other colors would be taken for the transparent one.
    """
    if KEY not in image.info or not image.tile:
        return
    raw_mode = image.tile[0].args
    if raw_mode == SIXTEEN_BITS:
        raise InvalidImage(
            "A PNG of 16 bits a sample with a transparent color is not supported. Save it with 8 "
            "bits or with an alpha channel."
        )
    key = image.info[KEY]
    if isinstance(key, int) and isinstance(raw_mode, str):
        image.info[KEY] = key * SCALES.get(raw_mode, 1)


def shown(image: Image.Image) -> Image.Image:
    """Of 16 bits of grey the high 8, and what is transparent by all 16."""
    if not image.mode.startswith("I") or not isinstance(image.info.get(KEY), int):
        return image
    values = np.asarray(image)
    levels = Image.fromarray((np.clip(values, 0, 65535) >> 8).astype(np.uint8))
    opaque = Image.fromarray(np.where(values == image.info[KEY], 0, 255).astype(np.uint8))
    return Image.merge("LA", (levels, opaque))
