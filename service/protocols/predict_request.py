"""A request of TensorFlow Serving's REST API: images as rows, as a column, or as examples.

The texts of errors that clients know are TensorFlow Serving's (util/json_tensor.cc).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from service.errors import InvalidParameter, MalformedRequest
from service.protocols.json_text import LongText, Numbers
from service.protocols.pixel_arrays import parse_pixels
from service.protocols.tensor_request import IMAGE, MAX_NAME_LENGTH, OUTPUT_NAMES, PIXELS
from service.protocols.tensor_rows import ImageBuffer, Row, check_count, decode_image

# The image input in the metadata; the other names are as good.
IMAGE_BYTES = "image_bytes"
INPUTS = (IMAGE_BYTES, IMAGE, PIXELS)
SIGNATURE = "serving_default"
# Each signature's one output. Maps are of the most probable class.
SIGNATURES = {SIGNATURE: OUTPUT_NAMES[0], **{name: name for name in OUTPUT_NAMES[1:]}}
# Brackets of pixels [N, H, W, 3].
BATCH_DEPTH = 4
# The key of the answer by the key of the request.
ANSWERS: dict[str, str] = {"instances": "predictions", "inputs": "outputs", "examples": "results"}

Form = Literal["instances", "inputs", "examples"]


@dataclass(frozen=True, slots=True, eq=False)
class PredictRequest:
    """images: each `{"b64": text}` or an array of pixels; or one array for all of them.

    output: the signature's, a name of OUTPUT_NAMES.
    """

    form: Form
    images: Any
    output: str


def predict_request(body: Any) -> PredictRequest:
    """Of `:predict`. Raises MalformedRequest or InvalidParameter."""
    given = _object(body)
    output = _output(given)
    forms = [name for name in ("instances", "inputs") if name in given]
    if not forms:
        raise MalformedRequest("Missing 'inputs' or 'instances' key")
    if len(forms) == 2:
        raise MalformedRequest(
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
        )
    if forms == ["instances"]:
        return PredictRequest("instances", _instances(given, "instances"), output)
    column = given["inputs"]
    if isinstance(column, dict) and "b64" not in column:
        column = _named(column)
    return PredictRequest("inputs", [column] if isinstance(column, dict) else column, output)


def classify_request(body: Any) -> PredictRequest:
    """Of `:classify`. Raises MalformedRequest or InvalidParameter."""
    given = _object(body)
    if _output(given) != OUTPUT_NAMES[0]:
        raise InvalidParameter(f'Only the signature "{SIGNATURE}" classifies.')
    if "examples" not in given:
        raise MalformedRequest("Missing 'examples' key")
    return PredictRequest("examples", _instances(given, "examples"), OUTPUT_NAMES[0])


async def images_of(
    asked: PredictRequest, buffer: ImageBuffer, *, size: int, max_images: int, model: str
) -> list[Row]:
    """Rows of an InferenceRequest. size: of pixels.

    Raises InvalidParameter, MalformedRequest, TooManyImages, and what the buffer raises.
    """
    images = asked.images
    if isinstance(images, Numbers) or (isinstance(images, list) and _depth(images) == BATCH_DEPTH):
        return list(await parse_pixels(images, size, max_images, flat=False))
    if not isinstance(images, list):
        raise MalformedRequest(f"'{asked.form}' has images as {{\"b64\": text}} or as pixels.")
    check_count(len(images), max_images, model)
    given = [_named(one) if isinstance(one, dict) and "b64" not in one else one for one in images]
    if all(isinstance(one, list | Numbers) for one in given):
        rows: list[Row] = []
        for one in given:
            rows += await parse_pixels(_one_image(one), size, 1, flat=False)
        return rows
    for index, one in enumerate(given):
        await decode_image(_encoded(one, index, asked.form), buffer)
    return list(buffer.images)


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise MalformedRequest("JSON Value: Is not object")
    return body


def _output(given: dict[str, Any]) -> str:
    name = given.get("signature_name", SIGNATURE)
    if not isinstance(name, str):
        raise MalformedRequest("'signature_name' key must be a string value.")
    return output_of(name)


def output_of(signature: str) -> str:
    """The output of the signature; "" for the default. Raises InvalidParameter."""
    output = SIGNATURES.get(signature or SIGNATURE)
    if output is None:
        raise InvalidParameter(
            f'Serving signature name: "{signature[:MAX_NAME_LENGTH]}" not found in signature def'
        )
    return output


def _instances(given: dict[str, Any], name: str) -> list[Any] | Numbers:
    images = given[name]
    if not isinstance(images, list | Numbers):
        raise MalformedRequest(f"Expecting '{name}' to be an list/array")
    if not isinstance(images, Numbers) and not images:
        raise MalformedRequest(f"No values in '{name}' array")
    return images


def _named(given: dict[str, Any]) -> Any:
    """The value of the one image input."""
    if len(given) != 1 or next(iter(given)) not in INPUTS:
        names = ", ".join(repr(name[:MAX_NAME_LENGTH]) for name in [*given][:8])
        raise MalformedRequest(
            f'Each image is {{"b64": text}} or has one of the names {", ".join(INPUTS)}. '
            f"Received: {names or 'none'}"
        )
    return next(iter(given.values()))


def _encoded(given: Any, index: int, form: Form) -> str | LongText:
    if not isinstance(given, dict) or [*given] != ["b64"]:
        raise MalformedRequest(
            f"Failed to process element: {index} of '{form}' list. Error: an image is an object "
            'with the key "b64" alone, or an array of pixels.'
        )
    text = given["b64"]
    if not isinstance(text, str | LongText):
        raise MalformedRequest("Unable to base64 decode: it is not a string")
    return text


def _depth(value: Any) -> int:
    """Of an array of numbers that is too short to have stayed text; else 0."""
    depth = 0
    while isinstance(value, list) and value:
        value, depth = value[0], depth + 1
    return depth if isinstance(value, int) else 0


def _one_image(given: Numbers | list[Any]) -> Numbers | list[Any]:
    """With a dimension for the number of images."""
    if isinstance(given, list):
        return [given]
    return Numbers(memoryview(b"[" + bytes(given.data) + b"]"))
