"""Labels that a training script saved beside the weights in one file of PyTorch's."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from model_builder.artifact.labels import LabelFile
from model_builder.artifact.labels.entries import LabelProblem, labels_of
from model_builder.artifact.labels.json_files import json_entries
from model_builder.checkpoints.formats.pytorch.legacy_file import opened_legacy
from model_builder.checkpoints.formats.pytorch.pickles.values import Malformed
from model_builder.checkpoints.formats.pytorch.safetensors_file import is_safetensors
from model_builder.checkpoints.formats.pytorch.shards import is_index
from model_builder.checkpoints.formats.pytorch.zip_file import opened_zip

# A WordNet id and a name.
PAIR = 2
MEMBERS = (
    "class_to_idx",
    "idx_to_class",
    "id2label",
    "label2id",
    "class_names",
    "classes",
    "labels",
    "categories",
)


def labels_within(weights: Path) -> LabelFile | None:
    """The labels in a member of the outermost mapping of a `torch.save`; None where it has none.

    weights: of a PyTorch format, which was read before. Members that are no labels are ignored.
    """
    if is_index(weights) or is_safetensors(weights):
        return None
    open_ = opened_zip if zipfile.is_zipfile(weights) else opened_legacy
    try:
        with open_(weights) as content:
            saved = content.saved
    except Malformed:
        return None
    for member in MEMBERS if isinstance(saved, dict) else ():
        if (value := saved.get(member)) and _is_flat(value):
            try:
                entries, form = json_entries(json.dumps(value))
                return LabelFile(labels_of(entries), f"{member}, {form}")
            except (LabelProblem, TypeError, ValueError, RecursionError):
                continue
    return None


def _is_flat(value: Any) -> bool:
    """Whether it holds names and numbers, or pairs of them: others may have no end."""
    if not isinstance(value, dict | list | tuple):
        return False
    for part in value.values() if isinstance(value, dict) else value:
        inner = part if isinstance(part, list | tuple) and len(part) <= PAIR else (part,)
        if not all(isinstance(one, str | int | float) for one in inner):
            return False
    return True
