"""Which outputs an answer has of each image, as POST /predict and the command line name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.errors import InvalidParameter
from service.inference.model import Model
from service.inference.outputs import MAX_MAP_CLASSES, MapClasses
from service.protocols.outputs.class_ids import MAX_NAME_LENGTH, class_ids

PREDICTIONS, MAPS, EMBEDDING = "predictions", "class_activation_map", "embedding"
# Each name's output of inference.
OUTPUTS: Mapping[str, str] = {
    PREDICTIONS: "probabilities",
    EMBEDDING: EMBEDDING,
    "logits": "logits",
    MAPS: MAPS,
}
FLOAT, BASE64 = "float", "base64"
ENCODINGS = (FLOAT, BASE64)
# Parameters that only one of the outputs has.
BELONGS_TO = {"classes": MAPS, "overlay": MAPS, "normalized": EMBEDDING}
OPTIONS = ("outputs", "classes", "normalized", "encoding_format", "overlay")
# Overlays in one answer: each takes a millisecond of a CPU.
MAX_OVERLAYS = 160


@dataclass(frozen=True, slots=True)
class WantedOutputs:
    """names: keys of OUTPUTS. map_classes: those of class activation maps.

    normalized: whether an embedding is divided by its Euclidean norm. base64: whether numbers are
    little-endian float32 in base64. overlay: whether each map comes as a PNG as well.
    """

    names: tuple[str, ...] = (PREDICTIONS,)
    map_classes: MapClasses = 1
    normalized: bool = False
    base64: bool = False
    overlay: bool = False

    @property
    def outputs(self) -> tuple[str, ...]:
        """Of inference."""
        names = {OUTPUTS[name]: None for name in self.names}
        if MAPS in names and isinstance(self.map_classes, int):
            # By these it is known which classes the maps are of.
            names[OUTPUTS[PREDICTIONS]] = None
        return tuple(names)

    def check_images(self, count: int) -> None:
        """Raises InvalidParameter for a request with too many overlays."""
        classes = self.map_classes
        overlays = count * (classes if isinstance(classes, int) else len(classes))
        if self.overlay and overlays > MAX_OVERLAYS:
            raise InvalidParameter(
                f"An answer may have {MAX_OVERLAYS} overlays. Asked for: {overlays}, of {count} "
                "images. Send fewer images, or name fewer classes."
            )


def wanted_outputs(given: Mapping[str, Any], model: Model, top_k: int) -> WantedOutputs:
    """given: values by OPTIONS, as a query or JSON has them. top_k: maps where no class is named.

    Raises InvalidParameter.
    """
    names = tuple(dict.fromkeys(_parts("outputs", given.get("outputs", PREDICTIONS))))
    if unknown := [str(name) for name in names if name not in OUTPUTS]:
        received = ", ".join(repr(name[:MAX_NAME_LENGTH]) for name in unknown)
        raise InvalidParameter(f"outputs are {', '.join(OUTPUTS)}. Received: {received}")
    for option, output in BELONGS_TO.items():
        if given.get(option) and output not in names:
            raise InvalidParameter(f"{option} belongs to the output {output}, not asked for.")
    encoding = given.get("encoding_format", FLOAT)
    if encoding not in ENCODINGS:
        raise InvalidParameter(
            f"encoding_format is {FLOAT!r} or {BASE64!r}. Received: {_shown(encoding)}"
        )
    classes: MapClasses = top_k if MAPS in names else 1
    if "classes" in given:
        classes = class_ids(_parts("classes", given["classes"]), model.artifact.labels)
    if MAPS in names:
        _check_count(classes)
    return WantedOutputs(
        tuple(map(str, names)),
        classes,
        _flag("normalized", given),
        encoding == BASE64,
        _flag("overlay", given),
    )


def _check_count(classes: MapClasses) -> None:
    count = classes if isinstance(classes, int) else len(classes)
    if count > MAX_MAP_CLASSES:
        raise InvalidParameter(
            f"Class activation maps are made of {MAX_MAP_CLASSES} classes of an image at most, by "
            f"default of the top_k most probable. Asked for: {count}. Name fewer in classes."
        )


def _parts(option: str, value: Any) -> list[str | int]:
    """Of a list, or of text with commas. Raises InvalidParameter."""
    given: Sequence[Any] = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(
        isinstance(one, str | int) and not isinstance(one, bool) for one in given
    ):
        raise InvalidParameter(f"{option} is a list of names, or names with commas between.")
    parts: list[str | int] = []
    for one in given:
        parts += [part.strip() for part in one.split(",")] if isinstance(one, str) else [one]
    if not parts or "" in parts:
        raise InvalidParameter(f"{option} has an empty name. Received: {_shown(value)}")
    return parts


def _flag(option: str, given: Mapping[str, Any]) -> bool:
    value = given.get(option, False)
    if not isinstance(value, bool):
        raise InvalidParameter(f"{option} is true or false. Received: {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return repr(value[:MAX_NAME_LENGTH]) if isinstance(value, str) else type(value).__name__
