"""Decodes an image to the pixels that a network takes: upright, sRGB, resized and cropped."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image
from PIL.ImageFile import ImageFile

from model_builder.artifact.preprocessing import Preprocessing
from service.errors import ImageTooLarge, InvalidImage
from service.imaging.color import flatten_alpha, srgb, transform_of
from service.imaging.formats import (
    ACCEPTED,
    FORMATS,
    MAGIC_BYTES,
    check_signature,
    name_of,
    not_taken,
)
from service.imaging.limits.dimensions import MAX_FRAMES, check_header_frames, check_size
from service.imaging.repair.damage import reason_of, truncated
from service.imaging.transforms import (
    TRANSPOSES,
    TURNED,
    add_borders,
    apply_orientation,
    crop,
    crop_draft,
    draft,
)

Pixels = npt.NDArray[np.uint8]
# Makes a context that is entered while Pillow reads a header or Exif, and may end it.
Bound = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """pixels: uint8 [crop_size, crop_size, 3]. width, height: of the whole image, upright."""

    pixels: Pixels
    width: int
    height: int


def decode(
    data: bytes, preprocessing: Preprocessing, *, max_pixels: int, max_frames: int = MAX_FRAMES
) -> Pixels:
    """uint8 [crop_size, crop_size, 3] in sRGB, resized and cropped as the network's training did.

    data: a whole file. Of an animation the first frame is decoded. Raises UnsupportedMedia,
    ImageTooLarge (before any pixel is decoded) or InvalidImage.
    """
    image = open_image(data, max_pixels=max_pixels, max_frames=max_frames)
    return render(image, preprocessing).pixels


def open_image(
    data: bytes, *, max_pixels: int, max_frames: int = MAX_FRAMES, bound: Bound = nullcontext
) -> ImageFile:
    """Reads the header and checks it against all limits; decodes no pixels.

    bound: entered while Pillow reads the header. Raises UnsupportedMedia, ImageTooLarge or
    InvalidImage.
    """
    limits = {"max_pixels": max_pixels, "max_frames": max_frames}
    try:
        return _open_checked(data, limits, bound)
    except _Unreadable as error:
        # In Python, as headers are read: a file may have any number of parts.
        with bound():
            candidates = list(_repairs(name_of(data), data))
        for repaired in candidates:
            with suppress(_Unreadable):
                return _open_checked(repaired, limits, bound)
        raise InvalidImage(str(error)) from error


def render(
    image: ImageFile, preprocessing: Preprocessing, *, bound: Bound = nullcontext
) -> Rendered:
    """The crop of an image from `open_image`, and the size of the whole.

    bound: entered while Pillow reads the Exif. Raises InvalidImage.
    """
    # Pillow forgets it once the pixels are decoded.
    file, format, size = image.fp, image.format, image.size
    try:
        return _render(image, preprocessing, bound)
    except Exception as error:
        data = file.getvalue() if isinstance(file, io.BytesIO) else b""
        if isinstance(error, MemoryError):
            data = b""
        with bound():
            candidates = list(_repairs(format, data))
        for repaired in chain(candidates, _completed(format, data)):
            with suppress(Exception):
                again = _open(repaired)
                if again.size == size:
                    return _render(again, preprocessing, bound)
        raise InvalidImage(f"The {format} image can't be decoded: {reason_of(error)}") from error


def _render(image: ImageFile, preprocessing: Preprocessing, bound: Bound) -> Rendered:
    transform = transform_of(image)
    full = image.size
    extent = draft(image, preprocessing)
    image.load()
    # After load(): Pillow applies a TIFF's orientation in it, and removes the tag.
    with bound():
        orientation = _orientation(image)
    if extent is None:
        shown = FORMATS[image.format].shown if image.format in FORMATS else None
        whole, transform = flatten_alpha(image if shown is None else shown(image), transform)
        upright = apply_orientation(whole, orientation)
        width, height = upright.size
        square = srgb(crop(upright, preprocessing), transform)
    else:
        square = crop_draft(image, extent, orientation, preprocessing)
        square = apply_orientation(srgb(square, transform), orientation)
        width, height = full[::-1] if orientation in TURNED else full
    if preprocessing.channel_order == "L":
        # Pixels have three channels; rounding to whole levels belongs to what was trained on.
        square = square.convert("L").convert("RGB")
    pixels = np.asarray(add_borders(square, preprocessing), dtype=np.uint8)
    return Rendered(pixels, width, height)


class _Unreadable(Exception):
    """The header can't be read: without what is broken it may be."""


def _open_checked(data: bytes, limits: dict[str, int], bound: Bound) -> ImageFile:
    # A file can have the signatures of two formats, and Pillow tries each.
    for format in FORMATS.values():
        if format.may_read(data):
            format.check_file(data, **limits)
    with bound():
        image = _open(data)
    check_size(image, file_bytes=len(data), max_pixels=limits["max_pixels"])
    check_header_frames(image, limits["max_frames"])
    for format in FORMATS.values():
        if format.check_work is not None and isinstance(image, format.reader):
            format.check_work(image, data)
    return image


def _open(data: bytes) -> ImageFile:
    """As Image.open, which does not say why a reader refuses a file."""
    check_signature(data)
    reasons: dict[str, str] = {}
    for name in ACCEPTED:
        reader, accepts = Image.OPEN[name]
        if accepts is not None and accepts(data[:MAGIC_BYTES]) is not True:
            continue
        try:
            image = reader(io.BytesIO(data), "")
        except Image.DecompressionBombError as error:
            raise ImageTooLarge(str(error)) from error
        # By these a reader says that the file is none of its format, or is broken.
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            reasons[name] = reason_of(error)
        except MemoryError as error:
            raise InvalidImage(
                f"The {name} image's header can't be read: {reason_of(error)}"
            ) from error
        # Pillow's readers raise exceptions of any class on unexpected bytes.
        except Exception as error:
            reasons[name] = reason_of(error)
            break
        else:
            return _with_known_layout(image)
    found = name_of(data)
    if found in reasons:
        refusal = _explanation(found, data)
        if refusal is not None:
            raise _Unreadable(str(refusal))
        raise _Unreadable(f"The {found} image's header can't be read: {reasons[found]}")
    if found in ACCEPTED:
        raise InvalidImage(f"It begins as {found}, and its header can't be read.")
    raise not_taken(data, len(data))


def _explanation(name: str, data: bytes) -> InvalidImage | None:
    format = FORMATS[name]
    # What can't be read can't be explained either.
    with suppress(Exception):
        stated = 0 if format.stated_bytes is None else format.stated_bytes(data)
        if (refusal := truncated(name, stated, len(data))) is not None:
            return refusal
    with suppress(Exception):
        return None if format.explain is None else format.explain(data)
    return None


def _with_known_layout(image: ImageFile) -> ImageFile:
    for format in FORMATS.values():
        if format.check_layout is not None and isinstance(image, format.reader):
            try:
                format.check_layout(image)
            except InvalidImage:
                raise
            # As Pillow's readers: a tag is read when it is first asked for.
            except Exception as error:
                raise InvalidImage(
                    f"The {image.format} image's layout can't be read: {reason_of(error)}"
                ) from error
    return image


def _repairs(name: str | None, data: bytes) -> Iterator[bytes]:
    repairs = None if name not in FORMATS else FORMATS[name].repairs
    return iter(()) if repairs is None else repairs(data)


def _completed(name: str | None, data: bytes) -> Iterator[bytes]:
    complete = None if name not in FORMATS else FORMATS[name].completed
    with suppress(Exception):
        if complete is not None and (completed := complete(data)) is not None:
            yield completed


def _orientation(image: Image.Image) -> int:
    """Exif's, 1 to 8; 1 where the image states none or one that does not exist."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    # Broken Exif is no reason to refuse the image.
    except Exception:
        return 1
    return orientation if orientation in TRANSPOSES else 1
