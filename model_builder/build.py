"""A checkpoint's file to an artifact. Imports Keras and TensorFlow; import it only to build."""

from __future__ import annotations

import logging
from pathlib import Path

import keras
import numpy as np

from model_builder.architecture import Architecture
from model_builder.artifact import Head, Manifest, Precision, Provenance, write_artifact
from model_builder.checkpoints import Checkpoint
from model_builder.convert import assign, read_tensors
from model_builder.errors import BuilderError
from model_builder.export import export_saved_model
from model_builder.fold import fold
from model_builder.labels import imagenet1k
from model_builder.progress import step
from model_builder.resnet import build_resnet
from model_builder.sources import LocalFile, address, published_digest

logger = logging.getLogger(__name__)


def build_network(architecture: Architecture, file: LocalFile) -> keras.Model:
    """The network in float32, with the file's weights. Input normalised, output logits."""
    network = build_resnet(architecture)
    assign(network, read_tensors(file, architecture), architecture)
    return network


def build_artifact(
    checkpoint: Checkpoint, file: LocalFile, folder: Path, precision: Precision
) -> None:
    """Converts, folds and writes. The caller holds the lock on `folder`."""
    if keras.backend.backend() != "tensorflow":
        raise BuilderError(
            "Artifacts are built with Keras on TensorFlow: unset KERAS_BACKEND. "
            f"Received: {keras.backend.backend()}"
        )
    with step(f"Building {checkpoint.name} in {precision}"):
        network = build_network(checkpoint.architecture, file)
        kernel, bias = network.get_layer("fc").get_weights()
        inference = fold(
            network, checkpoint.architecture, checkpoint.preprocessing, dtype=precision
        )
        write_artifact(
            folder,
            manifest(checkpoint, file, precision),
            imagenet1k(),
            Head(np.asarray(kernel, np.float32), np.asarray(bias, np.float32)),
            lambda path: export_saved_model(inference, path),
        )
    logger.info("Built %s", folder)


def manifest(checkpoint: Checkpoint, file: LocalFile, precision: Precision) -> Manifest:
    """All that is known of the artifact but the hashes of its files."""
    import tensorflow as tf

    return Manifest(
        name=checkpoint.name,
        architecture=checkpoint.architecture,
        preprocessing=checkpoint.preprocessing,
        provenance=Provenance(
            checkpoint=checkpoint.name,
            source=address(file.source),
            digest=published_digest(file),
            licence=checkpoint.licence,
            paper=checkpoint.paper,
            top1_percent=checkpoint.top1_percent,
            top5_percent=checkpoint.top5_percent,
        ),
        engine="tensorflow",
        precision=precision,
        versions={"keras": keras.__version__, "tensorflow": tf.__version__},
        files={},
    )
