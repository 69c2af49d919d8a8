"""An input tensor to the rows of an InferenceRequest."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from service.errors import InvalidParameter, MalformedRequest, TooManyImages
from service.protocols.base64_text import decode_base64
from service.protocols.bytes_tensor import split_elements
from service.protocols.json_text import LongText, Numbers
from service.protocols.pixel_arrays import CHANNELS, parse_pixels, pixels_of
from service.protocols.tensor_request import MAX_NAME_LENGTH, InputTensor

Row = memoryview | npt.NDArray[np.uint8]


class ImageBuffer(Protocol):
    """Where decoded base64 goes: bytes counted in the byte budget."""

    @property
    def images(self) -> list[memoryview]: ...

    def __len__(self) -> int: ...

    def append(self, data: bytes | memoryview) -> None: ...

    def add_image(self, start: int = 0) -> None: ...


async def rows_of(
    tensor: InputTensor, buffer: ImageBuffer, *, size: int, max_images: int, model: str
) -> list[Row]:
    """Encoded images of a BYTES tensor [N] or [N, 1], or pixels of a UINT8 tensor [N, H, W, 3].

    size: H and W. Raises InvalidParameter, MalformedRequest, TooManyImages, and what the buffer
    raises.
    """
    count = check_tensor(tensor, size=size, max_images=max_images, model=model)
    if isinstance(tensor.content, memoryview):
        if tensor.datatype == "UINT8":
            return list(pixels_of(tensor.content, count, size))
        return list(split_elements(tensor.content, count, tensor.name))
    if tensor.datatype == "BYTES":
        return list(await _decoded(tensor, count, buffer))
    if not isinstance(tensor.content, list | Numbers):
        raise MalformedRequest(f"'data' of input '{tensor.name}' is an array of integers.")
    pixels = await parse_pixels(tensor.content, size, max_images, flat=True)
    if len(pixels) != count:
        raise MalformedRequest(
            f"'shape' of input '{tensor.name}' has {count} images, and 'data' {len(pixels)}."
        )
    return list(pixels)


def check_tensor(tensor: InputTensor, *, size: int, max_images: int, model: str) -> int:
    """How many images it has, by its shape. Raises InvalidParameter or TooManyImages."""
    shape = tensor.shape
    if tensor.datatype == "BYTES":
        if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
            raise _unexpected_shape(tensor, model, "[-1] or [-1,1]")
    elif tensor.datatype != "UINT8":
        raise InvalidParameter(
            f"inference input '{tensor.name}' data-type is "
            f"'{tensor.datatype[:MAX_NAME_LENGTH]}', but model '{model}' expects 'UINT8' for "
            "pixels or 'BYTES' for encoded images"
        )
    elif shape[1:] != (size, size, CHANNELS):
        raise _unexpected_shape(tensor, model, f"[-1,{size},{size},{CHANNELS}]")
    count = shape[0]
    check_count(count, max_images, model)
    return count


def check_count(count: int, max_images: int, model: str) -> None:
    """Raises TooManyImages, or InvalidParameter for none."""
    if count > max_images:
        raise TooManyImages(
            f"inference request batch-size must be <= {max_images} for '{model}'. Received: {count}"
        )
    if not count:
        raise InvalidParameter(f"model '{model}' takes at least one image. Received: none")


async def _decoded(tensor: InputTensor, count: int, buffer: ImageBuffer) -> list[memoryview]:
    texts = _flat(tensor.content)
    if len(texts) != count:
        raise MalformedRequest(
            f"expected {count} string elements for inference input '{tensor.name}', "
            f"got {len(texts)}"
        )
    for text in texts:
        if not isinstance(text, str | LongText):
            raise MalformedRequest(
                f"'data' of input '{tensor.name}' is an array of strings, each an encoded image "
                "in base64."
            )
        await decode_image(text, buffer)
    return buffer.images


async def decode_image(text: str | LongText, buffer: ImageBuffer) -> None:
    """Adds the image in base64. Raises MalformedRequest, and what the buffer raises."""
    start = len(buffer)
    await decode_base64(text, buffer.append)
    buffer.add_image(start)


def _flat(data: Any) -> list[Any]:
    """Of shape [N] or [N, 1], nested or not."""
    if not isinstance(data, list):
        return []
    return [part for one in data for part in (one if isinstance(one, list) else [one])]


def _unexpected_shape(tensor: InputTensor, model: str, expected: str) -> InvalidParameter:
    given = ",".join(map(str, tensor.shape))
    return InvalidParameter(
        f"unexpected shape for input '{tensor.name}' for model '{model}'. "
        f"Expected {expected}, got [{given}]"
    )
