"""HEIF and HEIC, by pillow-heif where it is installed: importing this registers its reader.

libheif decodes them, and checks its own limits of items and of memory as well as ours.
"""

from __future__ import annotations

import io

from PIL import Image
from PIL.ImageFile import ImageFile

from service.imaging.limits.heif import check_extents

try:
    import pillow_heif
except ImportError:
    READER: type[ImageFile] | None = None
else:
    READER = pillow_heif.HeifImageFile
    # The service counts the CPUs that decode; and it needs the image alone.
    pillow_heif.register_heif_opener(
        decode_threads=1, thumbnails=False, depth_images=False, aux_images=False
    )


def check(image: ImageFile) -> None:
    """Raises InvalidImage for an image of which a part is missing."""
    if isinstance(image.fp, io.BytesIO):
        check_extents(image.fp.getvalue())


def shown(image: Image.Image) -> Image.Image:
    """With alpha that its colors are not multiplied by."""
    return image.convert("RGBA") if image.mode == "RGBa" else image
