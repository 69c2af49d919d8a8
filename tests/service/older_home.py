"""A cache as versions left it that served float32 by TensorFlow."""

from __future__ import annotations

from pathlib import Path

from model_builder.artifact.labels import Label
from model_builder.build.cache import ArtifactCache
from model_builder.build.subprocess import BuildRequest
from model_builder.checkpoints.custom import CustomCheckpoint
from model_builder.networks.config import ResNetConfig
from service.engines.registry import engine_called
from tests.model_builder.random_networks import random_network, tensors_of
from tests.model_builder.world import PREPROCESSING, SIZE

NAME = "flowers"
CLASSES = 3


def make_home(home: Path) -> Path:
    """With an imported checkpoint and its artifact for TensorFlow."""
    architecture = ResNetConfig.of("resnet18", classes=CLASSES)
    labels = tuple(Label(f"class {index}") for index in range(CLASSES))
    network = random_network(architecture, input_size=SIZE)
    cache = ArtifactCache(home, build=BuildRequest.run)
    cache.add(
        CustomCheckpoint(NAME, architecture, PREPROCESSING, labels, "a test", "none"),
        tensors_of(network),
    )
    cache.obtain(NAME, engine_called("tensorflow").target("float32"))
    return home
