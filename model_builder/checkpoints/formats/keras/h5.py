"""Keras's legacy HDF5 (`.h5`): the weights of a model, or the whole model; one group per layer.

Source: keras/src/legacy/saving/legacy_h5_format.py.
"""

from __future__ import annotations

from pathlib import Path

import h5py

from model_builder.checkpoints.formats.byte_budget import parse_json
from model_builder.checkpoints.formats.hdf5 import (
    arrays,
    attribute,
    is_counter,
    member,
    names,
    opened,
)
from model_builder.checkpoints.formats.hdf5_heaps import check_heaps
from model_builder.checkpoints.formats.keras.config import read_config
from model_builder.checkpoints.formats.keras.names import by_field, to_state_dict
from model_builder.checkpoints.formats.state_dict import Array, StateDict
from model_builder.errors import ConversionFailed
from model_builder.system.printable import shortlist

# A file of a whole model has this group too.
OPTIMIZER = "optimizer_weights"


def read(path: Path) -> StateDict:
    """The tensors, without an optimizer's state. Raises ConversionFailed."""
    owners: list[str] = []
    datasets: list[h5py.Group | h5py.Dataset] = []
    layers: dict[str, list[Array]] = {}
    string_bytes = check_heaps(path, path.name)
    with opened(path, path.name) as file:
        root = member(file, "model_weights") if "model_weights" in file else file
        unread = _datasets(root)
        for group_name in names(root, "layer_names", string_bytes):
            group = member(root, group_name)
            for weight_name in names(group, "weight_names", string_bytes):
                unread.discard(f"{group_name}/{weight_name}")
                dataset = member(group, weight_name)
                if is_counter(dataset):
                    continue
                # The group of a nested network holds the weights of all its layers.
                owners.append(weight_name.split("/")[-2] if "/" in weight_name else group_name)
                datasets.append(dataset)
        if unread:
            raise ConversionFailed(f"{path.name} lists no layer for {shortlist(sorted(unread))}")
        for owner, values in zip(owners, arrays(datasets, path.name), strict=True):
            layers.setdefault(owner, []).append(values)
        described = attribute(file, "model_config")
    published = {
        k: v for name, of_layer in layers.items() for k, v in by_field(name, of_layer).items()
    }
    if described is None:
        return to_state_dict(published, None)
    try:
        config = parse_json(described, "model_config")
    except ValueError as error:
        raise ConversionFailed(
            f"{path.name} has a model_config that is no JSON: {error}"
        ) from error
    return to_state_dict(published, read_config(config))


def _datasets(root: h5py.Group) -> set[str]:
    found: set[str] = set()

    def visit(name: str, member: h5py.Group | h5py.Dataset) -> None:
        if isinstance(member, h5py.Dataset) and name.split("/")[0] != OPTIMIZER:
            found.add(name)

    root.visititems(visit)
    return found
