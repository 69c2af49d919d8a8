"""Images in JSON: `{"image": text}` or `{"images": [text, ...]}`, in base64 or as data: URLs."""

from __future__ import annotations

from typing import Any

from service.errors import MalformedRequest
from service.http.request.body import Body
from service.protocols.base64_text import without_data_url
from service.protocols.json_text import LongText, parse_json
from service.protocols.tensor_rows import decode_image

ONE, SEVERAL = "image", "images"
JSON_HINT = f'Send {{"{ONE}": "BASE64"}} or {{"{SEVERAL}": ["BASE64", ...]}}.'
MAX_NAME_LENGTH, MAX_NAMES = 100, 8


async def decode_images(text: memoryview, body: Body, max_images: int) -> None:
    """Adds each image to the body. Raises MalformedRequest, PayloadTooLarge and MemoryFull."""
    try:
        images = _given(await parse_json(text))
        if len(images) > max_images:
            raise MalformedRequest(
                f"A request may have {max_images} images. Received: {len(images)}"
            )
        for image in images:
            await decode_image(without_data_url(image), body)
    except MalformedRequest as error:
        raise MalformedRequest(f"{error} {JSON_HINT}") from error


def _given(value: Any) -> list[str | LongText]:
    if not isinstance(value, dict):
        raise MalformedRequest("The body's JSON is no object.")
    if len(value) != 1 or not value.keys() <= {ONE, SEVERAL}:
        names = ", ".join(repr(name[:MAX_NAME_LENGTH]) for name in [*value][:MAX_NAMES])
        raise MalformedRequest(
            f"The body's JSON has one member, {ONE!r} or {SEVERAL!r}. Received: {names or 'none'}."
        )
    ((name, given),) = value.items()
    images = given if name == SEVERAL else [given]
    if not isinstance(images, list) or not images:
        raise MalformedRequest(f"{SEVERAL!r} is a list of one or more images.")
    if not all(isinstance(image, str | LongText) for image in images):
        raise MalformedRequest("An image is a string in base64.")
    return images
