"""Converts any of Pillow's modes to sRGB of 8 bits, with transparency over white."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

# ICC.1:2022, section 7.2: the header's field that names the color space, and Pillow's modes for it.
COLOR_SPACE = slice(16, 20)
SPACES = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}
# Profiles of printers are the largest, and are smaller than this.
MAX_PROFILE_BYTES = 4 * 2**20
# Multi-process elements: a profile of a few kilobytes can have 30 000, each computed for every
# pixel.
UNBOUNDED = b"mpet"
# A profile that differs from sRGB by no more than this many levels of 255 is taken for sRGB.
SAME_LEVELS = 2


def transform_of(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """From the embedded ICC profile to sRGB; `input_mode` of the result is the mode that it takes.

    None without a profile, for sRGB, and for a profile that is ignored: one that is broken, larger
    than MAX_PROFILE_BYTES, for another color space than the image has, or with UNBOUNDED elements.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or len(profile) > MAX_PROFILE_BYTES:
        return None
    mode = SPACES.get(profile[COLOR_SPACE])
    if mode != _space(image) or UNBOUNDED in profile:
        return None
    return _transform(profile, mode)


def flatten_alpha(
    image: Image.Image, transform: ImageCms.ImageCmsTransform | None
) -> tuple[Image.Image, ImageCms.ImageCmsTransform | None]:
    """The image without transparency, and the transform that is still to be applied to it, if any.

    The image has mode RGB or L, or the transform's `input_mode`. With transparency the transform is
    applied here, since the profile describes colors before they are mixed with white.
    """
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if transform is not None:
            colors = srgb(image.convert(transform.input_mode), transform)
            colors.putalpha(image.getchannel("A"))
            image = colors
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB"), None
    if transform is not None:
        return _converted(image, transform.input_mode), transform
    # Grey as one channel is a third of the work to resize, with the same result.
    return _converted(image, "L" if image.mode in ("1", "L") else "RGB"), None


def srgb(image: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Image.Image:
    """Mode RGB, from what `flatten_alpha` returns."""
    return _converted(image, "RGB") if transform is None else transform.apply(image)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    if image.mode == "LAB":
        image = _lab().apply(image)
    return image.convert(mode)


def _space(image: Image.Image) -> str:
    """The mode that a profile of this image must take: L, RGB or CMYK."""
    if image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I"):
        return "L"
    return "CMYK" if image.mode == "CMYK" else "RGB"


def _eight_bits(image: Image.Image) -> Image.Image:
    """Mode L, of integers of 16 bits the high 8: Pillow would clip at 255."""
    values = np.clip(np.asarray(image), 0, 65535) >> 8
    return Image.fromarray(values.astype(np.uint8))


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
    probe = _probe().convert(mode)
    if mode == "CMYK":
        return transform
    difference = np.asarray(transform.apply(probe)).astype(int) - np.asarray(probe.convert("RGB"))
    return None if abs(difference).max() <= SAME_LEVELS else transform


def _probe() -> Image.Image:
    """RGB of 27 x 27 pixels: 9 levels of each channel, in all combinations."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    return Image.fromarray(grid.reshape(27, 27, 3))


@lru_cache(maxsize=1)
def _lab() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
