"""Images in JSON: `{"image": text}` or `{"images": [text, ...]}`, in base64 or as data: URLs, and
beside them members that are parameters.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from service.errors import MalformedRequest
from service.http.request.body import Body
from service.protocols.base64_text import without_data_url
from service.protocols.json_text import LongText, parse_json
from service.protocols.tensor_rows import decode_image

ONE, SEVERAL = "image", "images"
JSON_HINT = f'Send {{"{ONE}": "BASE64"}} or {{"{SEVERAL}": ["BASE64", ...]}}.'
MAX_NAME_LENGTH, MAX_NAMES = 100, 8


async def decode_images(
    text: memoryview, body: Body, max_images: int, members: Collection[str]
) -> dict[str, Any]:
    """Adds each image to the body, and returns what there is of the other members.

    Raises MalformedRequest, PayloadTooLarge and MemoryFull.
    """
    try:
        images, others = _given(await parse_json(text), members)
        if len(images) > max_images:
            raise MalformedRequest(
                f"A request may have {max_images} images. Received: {len(images)}"
            )
        for image in images:
            await decode_image(without_data_url(image), body)
        return others
    except MalformedRequest as error:
        raise MalformedRequest(f"{error} {JSON_HINT}") from error


def _given(value: Any, members: Collection[str]) -> tuple[list[str | LongText], dict[str, Any]]:
    if not isinstance(value, dict):
        raise MalformedRequest("The body's JSON is no object.")
    others = {name: value[name] for name in value if name in members}
    if len(value) != len(others) + 1 or not value.keys() & {ONE, SEVERAL}:
        names = ", ".join(repr(name[:MAX_NAME_LENGTH]) for name in [*value][:MAX_NAMES])
        besides = f", and may have {', '.join(members)}" if members else ""
        raise MalformedRequest(
            f"The body's JSON has one member, {ONE!r} or {SEVERAL!r}{besides}. "
            f"Received: {names or 'none'}."
        )
    ((name, given),) = ((name, value[name]) for name in value if name not in others)
    images = given if name == SEVERAL else [given]
    if not isinstance(images, list) or not images:
        raise MalformedRequest(f"{SEVERAL!r} is a list of one or more images.")
    if not all(isinstance(image, str | LongText) for image in images):
        raise MalformedRequest("An image is a string in base64.")
    return images, others
