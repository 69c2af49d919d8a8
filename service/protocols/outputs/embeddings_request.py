"""A request of OpenAI's embeddings API whose input is images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from service.errors import InvalidParameter, MalformedRequest, ServiceError, TooManyImages
from service.protocols.base64_text import without_data_url
from service.protocols.json_text import LongText
from service.protocols.outputs.wanted import BASE64, ENCODINGS, FLOAT
from service.protocols.tensor_rows import ImageBuffer, decode_image

# `user` names the client's own user there, and is ignored.
MEMBERS = ("model", "input", "encoding_format", "dimensions", "user", "normalized")
SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,30}):", re.IGNORECASE)
MAX_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingsRequest:
    """model: None for the default. images: each in base64. base64: of the embeddings."""

    model: str | None
    images: list[str | LongText]
    base64: bool = False
    normalized: bool = False


def embeddings_request(body: Any, max_images: int) -> EmbeddingsRequest:
    """Raises MalformedRequest, InvalidParameter or TooManyImages."""
    if not isinstance(body, dict):
        raise MalformedRequest("The body's JSON is no object.")
    for name in body:
        if name not in MEMBERS:
            raise InvalidParameter(
                f"The members are {', '.join(MEMBERS)}. Received: {name[:MAX_NAME_LENGTH]!r}"
            )
    if body.get("dimensions") is not None:
        raise InvalidParameter("dimensions: an embedding has as many numbers as the model gives.")
    model = body.get("model")
    if not isinstance(model, str | None):
        raise InvalidParameter("model is the name of a served model.")
    encoding = body.get("encoding_format") or FLOAT
    if encoding not in ENCODINGS:
        raise InvalidParameter(f"encoding_format is {FLOAT!r} or {BASE64!r}.")
    normalized = body.get("normalized", False)
    if not isinstance(normalized, bool):
        raise InvalidParameter("normalized is true or false.")
    return EmbeddingsRequest(
        model or None, _images(body, max_images), encoding == BASE64, normalized
    )


async def decode_inputs(asked: EmbeddingsRequest, buffer: ImageBuffer) -> None:
    """Adds each image to the buffer. Raises MalformedRequest, and what the buffer raises."""
    for index, image in enumerate(asked.images):
        try:
            await decode_image(image, buffer)
        except ServiceError as error:
            if not isinstance(error, MalformedRequest):
                raise
            raise MalformedRequest(f"input[{index}]: {error}") from None


def _images(body: dict[str, Any], max_images: int) -> list[str | LongText]:
    given = body.get("input")
    if isinstance(given, str | LongText):
        given = [given]
    if not isinstance(given, list) or not given:
        raise InvalidParameter(
            "input is an image, or a list of images: each a data: URL or base64. "
            "Tokens and other input have no embedding here."
        )
    if len(given) > max_images:
        raise TooManyImages(f"input may have {max_images} images. Received: {len(given)}")
    return [_image(one, index) for index, one in enumerate(given)]


def _image(given: Any, index: int) -> str | LongText:
    if not isinstance(given, str | LongText):
        raise InvalidParameter(f"input[{index}] is a string: a data: URL or base64.")
    image = without_data_url(given)
    if isinstance(image, str) and (scheme := SCHEME.match(image)):
        name = scheme[1].lower()
        if name == "data":
            raise InvalidParameter(f"input[{index}]: a data: URL of an image is in base64.")
        raise InvalidParameter(
            f"input[{index}]: {name}: URLs are not fetched. "
            "Send the image itself, as a data: URL or base64."
        )
    if not image:
        raise InvalidParameter(f"input[{index}] is empty.")
    return image
