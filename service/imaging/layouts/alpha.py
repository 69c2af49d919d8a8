"""Alpha channels that a file has and does not use."""

from __future__ import annotations

from PIL import Image


def without_unused_alpha(image: Image.Image) -> Image.Image:
    """Opaque where the alpha channel is zero everywhere: browsers take that for an unused one."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")
    return image
