"""Classes as clients name them: by index, WordNet id or label."""

from __future__ import annotations

from collections.abc import Sequence

from model_builder.artifact.labels import Label
from service.errors import InvalidParameter

# Of a name in a message.
MAX_NAME_LENGTH = 100


def class_ids(names: Sequence[str | int], labels: Sequence[Label]) -> tuple[int, ...]:
    """Each name's index, without those that are repeated. Raises InvalidParameter."""
    return tuple(dict.fromkeys(_class_id(name, labels) for name in names))


def _class_id(name: str | int, labels: Sequence[Label]) -> int:
    if isinstance(name, int):
        found = [name] if 0 <= name < len(labels) else []
    elif name.isascii() and name.isdecimal():
        # More digits than any class has are not worth a number.
        found = [int(name)] if len(name) < 10 and int(name) < len(labels) else []
    else:
        found = [index for index, label in enumerate(labels) if name == label.wnid]
        lower = name.lower()
        found = found or [
            index for index, label in enumerate(labels) if label.name.lower() == lower
        ]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(map(str, found))
        raise InvalidParameter(f"{name!r} is the label of several classes: name one of {ids}.")
    raise InvalidParameter(
        f"A class is an index from 0 to {len(labels) - 1}, a WordNet id or a label, all of which "
        f"/models/NAME/labels lists. Received: {str(name)[:MAX_NAME_LENGTH]!r}"
    )
