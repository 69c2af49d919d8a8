"""The query parameters of POST /predict that choose its outputs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query

from service.errors import InvalidParameter
from service.inference.outputs import MAX_MAP_CLASSES
from service.protocols.outputs.wanted import ENCODINGS, MAX_OVERLAYS, OUTPUTS

OutputsQuery = Annotated[
    list[str] | None,
    Query(
        description=f"What each image's result has, with commas between: {', '.join(OUTPUTS)}. "
        "Default: predictions."
    ),
]
ClassesQuery = Annotated[
    list[str] | None,
    Query(
        description="The classes of class activation maps, with commas between: indices, WordNet "
        f"ids or labels, {MAX_MAP_CLASSES} at most. Default: the `top_k` most probable."
    ),
]
NormalizedQuery = Annotated[
    bool | None, Query(description="Divide the embedding by its Euclidean norm.")
]
EncodingQuery = Annotated[
    Literal["float", "base64"] | None,
    Query(description="Of numbers: JSON, or little-endian float32 in base64. Default: float."),
]
OverlayQuery = Annotated[
    bool | None,
    Query(
        description="With each class activation map a PNG to lay over the image; "
        f"{MAX_OVERLAYS} in an answer at most."
    ),
]

# The same as members of a body in JSON.
JSON_OPTIONS: dict[str, Any] = {
    "outputs": {"type": "array", "items": {"type": "string", "enum": [*OUTPUTS]}, "minItems": 1},
    "classes": {
        "type": "array",
        "items": {"type": ["integer", "string"]},
        "minItems": 1,
        "maxItems": MAX_MAP_CLASSES,
    },
    "normalized": {"type": "boolean"},
    "encoding_format": {"type": "string", "enum": [*ENCODINGS]},
    "overlay": {"type": "boolean"},
}


def given_options(query: dict[str, Any], members: dict[str, Any]) -> dict[str, Any]:
    """Both together, without those that are None. Raises InvalidParameter for one that is twice."""
    given = {name: value for name, value in query.items() if value is not None}
    if twice := sorted(given.keys() & members.keys()):
        raise InvalidParameter(f"{', '.join(twice)}: in the query and in the body's JSON.")
    return {**given, **members}
