"""Checkpoints in several files: an index in JSON names the file of each tensor.

Source: `load_sharded_checkpoint` in transformers/modeling_utils.py.
"""

from __future__ import annotations

from pathlib import Path

from model_builder.checkpoints.formats.byte_budget import JSON_BYTES_LIMIT, parse_json
from model_builder.errors import ConversionFailed
from model_builder.system.printable import shortlist
from model_builder.system.regular_file import check_regular_file, is_file_name, read_regular_file

SUFFIX = ".index.json"
WEIGHT_MAP = "weight_map"
SHARDS_LIMIT = 1000


def is_index(path: Path) -> bool:
    """Whether the file's name is that of an index: "model.safetensors.index.json"."""
    return path.name.endswith(SUFFIX)


def shards(path: Path) -> dict[Path, set[str]]:
    """The files that an index names, with the tensors that it places in each.

    Raises ConversionFailed.
    """
    try:
        index = parse_json(read_regular_file(path, JSON_BYTES_LIMIT), path.name)
        places = index[WEIGHT_MAP]
        by_file: dict[Path, set[str]] = {}
        for key, name in places.items():
            if not is_file_name(name):
                raise ConversionFailed(
                    f"A shard must be in the folder of {path.name}. Received: {name[:100]!r}"
                )
            by_file.setdefault(path.with_name(name), set()).add(key)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConversionFailed(f"{path.name} is no index of a checkpoint: {error!r}") from error
    if not by_file or len(by_file) > SHARDS_LIMIT:
        raise ConversionFailed(
            f"{path.name} may name 1 to {SHARDS_LIMIT} files. Received: {len(by_file)}"
        )
    if missing := sorted(file.name for file in by_file if not file.is_file()):
        raise ConversionFailed(f"{path.name} names files that are missing: {shortlist(missing)}")
    for file in by_file:
        check_regular_file(file)
    return by_file
