"""Small networks of ours in Keras's files, and edits of those files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import keras

from model_builder.networks.config import ResNetConfig
from model_builder.networks.resnet import build_resnet

Config = dict[str, Any]

ARCHITECTURE = ResNetConfig.of("resnet18", classes=3)


@cache
def small_network() -> keras.Model:
    """Made once; tests must not change it."""
    return build_resnet(ARCHITECTURE, input_size=32)


def saved(network: keras.Model, path: Path) -> Path:
    """Writes it in the format of the name's suffix: .keras, .weights.h5 or the legacy .h5."""
    save: Any = network.save_weights if path.name.endswith(".weights.h5") else network.save
    save(path)
    return path


def description(path: Path) -> Config:
    with zipfile.ZipFile(path) as archive:
        config: Config = json.loads(archive.read("config.json"))
    return config


def layer(config: Config, name: str) -> Config:
    return next(x for x in config["config"]["layers"] if x["config"]["name"] == name)


def rewritten(path: Path, edit_config: Callable[[Config], None] = lambda _: None) -> Path:
    """A .keras file with another description, and no names in its weights, as Keras 3.0 has it."""
    config = description(path)
    edit_config(config)
    weights = path.with_suffix(".weights.h5")
    with zipfile.ZipFile(path) as archive:
        weights.write_bytes(archive.read("model.weights.h5"))
    without_names(weights)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.write(weights, "model.weights.h5")
    return path


def without_names(path: Path) -> None:
    def visit(_: str, member: h5py.Group | h5py.Dataset) -> None:
        if "name" in member.attrs:
            del member.attrs["name"]

    with h5py.File(path, "r+") as file:
        file.visititems(visit)
