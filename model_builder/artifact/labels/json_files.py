"""Labels in JSON: lists, objects from index to name or from name to index, and whole configs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from model_builder.artifact.labels.entries import INTEGER, WNID, Entry, LabelProblem, shown

# What tools call the member that has the labels: transformers, torchvision, TorchServe, timm,
# fastai, Teachable Machine, COCO and Label Studio.
MEMBERS = (
    "id2label",
    "idx_to_class",
    "index_to_name",
    "label2id",
    "class_to_idx",
    "label_names",
    "class_names",
    "labels",
    "names",
    "classes",
    "categories",
    "vocab",
)
# timm's texts for the ids in its "label_names".
DESCRIPTIONS = "label_descriptions"
NAME_KEYS = ("name", "label", "display_name", "value")
INDEX_KEYS = ("id", "index", "class_id")


def json_entries(text: str) -> tuple[list[Entry], str]:
    """The entries, and what form they have in the file. Raises LabelProblem and RecursionError."""
    try:
        content = json.loads(text, object_pairs_hook=_without_duplicates)
    except ValueError as error:
        raise LabelProblem(f"it is not JSON: {error}") from error
    if isinstance(content, dict):
        for member in MEMBERS:
            if isinstance(found := content.get(member), dict | list) and found:
                entries, form = _entries(found)
                if member == "label_names":
                    entries = _described(entries, content.get(DESCRIPTIONS))
                return entries, f"{member}, {form}"
    return _entries(content)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise LabelProblem(f"the key {shown(key)} is in it twice")
        found[key] = value
    return found


def _entries(content: Any) -> tuple[list[Entry], str]:
    if isinstance(content, list):
        return [_of_list(number, one) for number, one in enumerate(content, start=1)], "a list"
    if isinstance(content, dict):
        return _of_mapping(content)
    raise LabelProblem(f"it is neither a list nor an object. Received: {shown(content)}")


def _of_list(number: int, content: Any) -> Entry:
    index = None
    if isinstance(content, dict):
        index = next((content[key] for key in INDEX_KEYS if key in content), None)
        if index is not None and not _is_index(index):
            raise LabelProblem(f"entry {number} has an index that is none: {shown(index)}")
    name, wnid = _name(f"entry {number}", content)
    return Entry(f"entry {number}", name, None if index is None else int(index), wnid)


def _of_mapping(content: Mapping[str, Any]) -> tuple[list[Entry], str]:
    keys, values = _all_indices(content), _all_indices(content.values())
    if values and keys and not any(isinstance(value, int) for value in content.values()):
        # As text both may be the names: {"0": "1", "1": "0"}.
        if any(int(key) != int(value) for key, value in content.items()):
            raise LabelProblem(
                "both its keys and its values are numbers, and as text either may be the names: "
                "write the indices as numbers, as torchvision's class_to_idx has them, or a list"
            )
        keys = False
    if values:
        return [
            Entry(f"entry {shown(name)}", name, int(index)) for name, index in content.items()
        ], "name to index"
    if keys:
        entries = []
        for key, value in content.items():
            name, wnid = _name(f"entry {shown(key)}", value)
            entries.append(Entry(f"entry {shown(key)}", name, int(key), wnid))
        return entries, "index to name"
    return _refuse_mixture(content)


def _refuse_mixture(content: Mapping[str, Any]) -> tuple[list[Entry], str]:
    """Names the entry that is unlike most others. Raises LabelProblem."""
    if not content:
        raise LabelProblem("it names no class")
    if sum(map(_is_index, content)) * 2 >= len(content):
        wrong = next(key for key in content if not _is_index(key))
        raise LabelProblem(f"the key {shown(wrong)} is no index")
    wrong = next(key for key, value in content.items() if not _is_index(value))
    raise LabelProblem(
        f"entry {shown(wrong)} is no index. Received: {shown(content[wrong])}. An object has an "
        f"index for each name, or a name for each index, or one of {', '.join(MEMBERS)}"
    )


def _name(where: str, content: Any) -> tuple[str, str | None]:
    """The name and the WordNet id of one class: text, [id, name] or an object with a name."""
    if isinstance(content, dict):
        content = next((content[key] for key in NAME_KEYS if key in content), content)
    wnid = None
    if isinstance(content, list) and len(content) == 2:
        first, content = content
        wnid = first if isinstance(first, str) and WNID.fullmatch(first) else None
    if not isinstance(content, str):
        raise LabelProblem(f"{where} is no name. Received: {shown(json.dumps(content))}")
    return content, wnid


def _described(entries: list[Entry], descriptions: Any) -> list[Entry]:
    if not isinstance(descriptions, dict):
        return entries
    found = []
    for entry in entries:
        name = descriptions.get(entry.name)
        wnid = entry.name if WNID.fullmatch(entry.name) else None
        found.append(
            Entry(entry.where, name, entry.index, wnid) if isinstance(name, str) else entry
        )
    return found


def _all_indices(values: Iterable[Any]) -> bool:
    listed = list(values)
    return bool(listed) and all(map(_is_index, listed))


def _is_index(value: Any) -> bool:
    if isinstance(value, str):
        return INTEGER.fullmatch(value) is not None
    return isinstance(value, int) and not isinstance(value, bool)
