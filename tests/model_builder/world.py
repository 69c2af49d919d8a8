"""A small network, the file that it was published in, and the catalog that lists it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import keras

from model_builder.artifact.preprocessing import Preprocessing
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.download.sources.url import UrlSource
from model_builder.errors import UnknownModel
from model_builder.networks.config import ResNetConfig
from tests.model_builder.keras_layout import keras_name, write_keras_h5
from tests.model_builder.random_networks import random_network, tensors_of

SIZE = 64
NAME = "resnet18.test_in1k"
PREPROCESSING = Preprocessing(SIZE, SIZE, "bilinear", "RGB", (128, 128, 128), (64, 64, 64))


@dataclass(frozen=True)
class World:
    """A network, the file that it was published in, and its row in the catalog."""

    network: keras.Model
    file: Path
    row: Checkpoint

    def find(self, name: str) -> Checkpoint:
        if name != NAME:
            raise UnknownModel(f"No model is called {name!r}.")
        return self.row


def make_world(folder: Path) -> World:
    """Writes the file into `folder`."""
    architecture = ResNetConfig.of("resnet18")
    network = random_network(architecture, input_size=SIZE)
    path = folder / "weights.h5"
    published = {}
    for key, values in tensors_of(network).items():
        layer, field = key.split("/")
        published[f"{keras_name(layer)}/{field}"] = values
    write_keras_h5(path, published)
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    row = Checkpoint(
        name=NAME,
        architecture=architecture,
        preprocessing=PREPROCESSING,
        # Nothing listens on port 9: the file can't be fetched.
        sources=(UrlSource("http://127.0.0.1:9/weights.h5", md5),),
        licence="MIT",
        paper="https://arxiv.org/abs/1512.03385",
        top1_percent=70.0,
        top5_percent=90.0,
    )
    return World(network, path, row)
