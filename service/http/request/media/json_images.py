"""Images in JSON: `{"image": text}` or `{"images": [text, ...]}`, in base64 or as data: URLs.

Beside them `abstain_below`, as the query has it.
"""

from __future__ import annotations

from typing import Any

from service.errors import MalformedRequest
from service.http.confidence import ABSTAIN_BELOW, check_threshold
from service.http.request.body import Body
from service.protocols.base64_text import without_data_url
from service.protocols.json_text import LongText, parse_json
from service.protocols.tensor_rows import decode_image

ONE, SEVERAL = "image", "images"
JSON_HINT = f'Send {{"{ONE}": "BASE64"}} or {{"{SEVERAL}": ["BASE64", ...]}}.'
MAX_NAME_LENGTH, MAX_NAMES = 100, 8


async def decode_images(text: memoryview, body: Body, max_images: int) -> float | None:
    """Adds each image to the body, and returns `abstain_below` where it is there.

    Raises InvalidParameter, MalformedRequest, PayloadTooLarge and MemoryFull.
    """
    below: float | None = None
    try:
        value = await parse_json(text)
        if isinstance(value, dict) and ABSTAIN_BELOW in value:
            below = check_threshold(value.pop(ABSTAIN_BELOW))
        images = _given(value)
        if len(images) > max_images:
            raise MalformedRequest(
                f"A request may have {max_images} images. Received: {len(images)}"
            )
        for image in images:
            await decode_image(without_data_url(image), body)
    except MalformedRequest as error:
        raise MalformedRequest(f"{error} {JSON_HINT}") from error
    return below


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
