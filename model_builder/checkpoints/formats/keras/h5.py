"""Keras's HDF5: the weights of a network (`.weights.h5`), or a legacy file (`.h5`)."""

from __future__ import annotations

from pathlib import Path

from model_builder.checkpoints.formats.byte_budget import parse_json
from model_builder.checkpoints.formats.hdf5.content import Hdf5Content
from model_builder.checkpoints.formats.hdf5.reader import read_hdf5
from model_builder.checkpoints.formats.keras.config import KerasConfig, read_config
from model_builder.checkpoints.formats.keras.names import by_field, to_state_dict
from model_builder.checkpoints.formats.state_dict import Array, StateDict
from model_builder.errors import ConversionFailed


def read(path: Path) -> StateDict:
    """The tensors, without an optimizer's state. Raises ConversionFailed."""
    with path.open("rb") as file:
        content = read_hdf5(file, path.name)
    published = by_layer(content, None)
    if content.config is None:
        return to_state_dict(published, None)
    try:
        config = parse_json(content.config, "model_config")
    except ValueError as error:
        raise ConversionFailed(
            f"{path.name} has a model_config that is no JSON: {error}"
        ) from error
    return to_state_dict(published, read_config(config))


def by_layer(content: Hdf5Content, config: KerasConfig | None) -> dict[str, Array]:
    """The tensors by "layer/field". config: names layers that the file does not.

    Raises ConversionFailed.
    """
    published: dict[str, Array] = {}
    for layer in content.layers:
        name = layer.name or (config and config.names.get(layer.path))
        if not name:
            raise ConversionFailed(
                f"{layer.path} has no name: save the network again, with Keras 3.6 or later, or "
                "as .keras"
            )
        for key, tensor in by_field(name, layer.arrays).items():
            if key in published:
                raise ConversionFailed(f"Two layers have one name. Received: {name}")
            published[key] = tensor
    return published
