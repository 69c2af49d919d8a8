"""The layers in Keras's HDF5 files, legacy (`.h5`) and of Keras 3 (`.weights.h5`).

Legacy files list their layers in attributes. Keras 3 has a path for each layer, which numbers it by
class, "layers/conv2d_5/vars/0"; its name is an attribute, or in the network's config.
Sources: keras/src/legacy/saving/legacy_h5_format.py and keras/src/saving/saving_lib.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import h5py

from model_builder.checkpoints.formats.hdf5.file import attribute, is_counter, member, names
from model_builder.errors import ConversionFailed
from model_builder.system.printable import shortlist

# A file of a whole legacy model has this group too.
OPTIMIZER = "optimizer_weights"
# A network is saved with these after training; inference does not use them.
IGNORED = {"optimizer", "seed_generator"}
# Of a dense layer or convolution, a batch norm, and Normalization, by name as Keras 3's `export`
# has them, in the order of the other files.
NAMED = (("kernel", "bias"), ("gamma", "beta", "moving_mean", "moving_variance"))


class FoundLayer(NamedTuple):
    """path: of its group. name: None where the file states none."""

    path: str
    name: str | None
    datasets: list[h5py.Dataset]


def find_layers(file: h5py.File, string_bytes: int, source: str) -> list[FoundLayer]:
    """Those with weights, in the file's order. string_bytes: of the file's largest heap.

    source: the file's name. Raises ConversionFailed.
    """
    if "model_weights" in file:
        return _legacy(member(file, "model_weights"), string_bytes, source)
    if any(key.startswith("layer_names") for key in file.attrs):
        return _legacy(file, string_bytes, source)
    return list(_numbered(file, "", set()))


def _legacy(root: h5py.Group, string_bytes: int, source: str) -> list[FoundLayer]:
    layers: dict[str, list[h5py.Dataset]] = {}
    unread = _dataset_names(root)
    for group_name in names(root, "layer_names", string_bytes):
        group = member(root, group_name)
        for weight_name in names(group, "weight_names", string_bytes):
            unread.discard(f"{group_name}/{weight_name}")
            dataset = member(group, weight_name)
            if is_counter(dataset):
                continue
            # The group of a nested network holds the weights of all its layers.
            owner = weight_name.split("/")[-2] if "/" in weight_name else group_name
            layers.setdefault(owner, []).append(dataset)
    if unread:
        raise ConversionFailed(f"{source} lists no layer for {shortlist(sorted(unread))}")
    return [FoundLayer(name, name, datasets) for name, datasets in layers.items()]


def _dataset_names(root: h5py.Group) -> set[str]:
    found: set[str] = set()

    def visit(name: str, member: h5py.Group | h5py.Dataset) -> None:
        if isinstance(member, h5py.Dataset) and name.split("/")[0] != OPTIMIZER:
            found.add(name)

    root.visititems(visit)
    return found


def _numbered(group: h5py.Group, path: str, seen: set[int]) -> Iterator[FoundLayer]:
    """seen: the addresses of groups so far: a group in two places may be within itself."""
    for name in group:
        child = member(group, name)
        if name in IGNORED or not isinstance(child, h5py.Group):
            continue
        address = h5py.h5o.get_info(child.id).addr
        if address in seen:
            raise ConversionFailed(f"{path}/{name} is in the file twice")
        seen.add(address)
        if fields := next((one for one in NAMED if one[0] in child), None):
            variables = [member(child, field) for field in fields if field in child]
            path_of = f"{path}/{name}".lstrip("/")
            if strange := sorted(set(child) - set(fields)):
                raise ConversionFailed(f"{path_of} has other tensors too: {shortlist(strange)}")
            yield FoundLayer(path_of, name, variables)
        elif name != "vars":
            yield from _numbered(child, f"{path}/{name}".lstrip("/"), seen)
        elif len(child):
            variables = [member(child, str(index)) for index in range(len(child))]
            kept = [one for one in variables if not is_counter(one)]
            yield FoundLayer(path, attribute(child, "name"), kept)
