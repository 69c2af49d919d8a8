"""An image's colors as a person sees them: sRGB, transparency over white, 8 bits."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

# ICC.1:2022, section 7.2: the header's fields that are looked at.
COLOR_SPACE = slice(16, 20)
SPACES = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}
# Printers' profiles are the largest and stay under it.
MAX_PROFILE_BYTES = 4 * 2**20
# Elements that a profile of a few kilobytes can name 30 000 of, each computed for each pixel.
UNBOUNDED = b"mpet"
# Levels by which a profile may differ from sRGB and still be called sRGB.
SAME_LEVELS = 2


def transform_of(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """From the embedded profile to sRGB; its `input_mode` is the colors that it takes.

    None where there is no profile, where it is sRGB, or where it can't be used: a broken profile
    is no reason not to show the image.
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
    """RGB or grey without transparency, or what `transform` takes; then it is still to be applied.

    Where a color is partly transparent, the profile says what it is before white shines through.
    """
    if image.mode == "F" or image.mode.startswith("I"):
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
    # A third of the work for what comes next, and the same numbers.
    return _converted(image, "L" if image.mode in ("1", "L") else "RGB"), None


def srgb(image: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Image.Image:
    return _converted(image, "RGB") if transform is None else transform.apply(image)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    if image.mode == "LAB":
        image = _lab().apply(image)
    return image.convert(mode)


def _space(image: Image.Image) -> str:
    """Whose colors a profile of this image would speak of."""
    if image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I"):
        return "L"
    return "CMYK" if image.mode == "CMYK" else "RGB"


def _eight_bits(image: Image.Image) -> Image.Image:
    """Pillow clips what is above 255 when it converts these modes; a person sees the high bits."""
    values = np.asarray(image)
    if image.mode == "F":
        values = np.nan_to_num(values)
        values = np.clip(values * 255 if values.max() <= 1 else values, 0, 255)
    else:
        values = np.clip(values, 0, 65535) >> 8
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
    """Every color of a grid through the cube of RGB."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    return Image.fromarray(grid.reshape(27, 27, 3))


@lru_cache(maxsize=1)
def _lab() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
