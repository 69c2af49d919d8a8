"""A checkpoint's file to an artifact. Imports Keras and TensorFlow; import it only to build."""

from __future__ import annotations

import logging
from pathlib import Path

import keras
import numpy as np

from model_builder.architecture import Architecture
from model_builder.artifact import Golden, Head, Manifest, Precision, Provenance, write_artifact
from model_builder.checkpoints import Checkpoint
from model_builder.convert import assign
from model_builder.errors import BuilderError
from model_builder.export import export_saved_model
from model_builder.fold import fold
from model_builder.layouts import Tensors
from model_builder.preprocessing import Preprocessing
from model_builder.progress import step
from model_builder.resnet import build_resnet
from model_builder.weights import Weights

logger = logging.getLogger(__name__)


GOLDEN_PICTURES = 2


def build_network(architecture: Architecture, tensors: Tensors, input_size: int) -> keras.Model:
    """The network in float32 with these tensors. Input normalised, output logits."""
    network = build_resnet(architecture, input_size=input_size)
    assign(network, tensors, architecture)
    return network


def build_artifact(
    checkpoint: Checkpoint, weights: Weights, folder: Path, precision: Precision
) -> None:
    """Converts, folds and writes. The caller holds the lock on `folder`."""
    if keras.backend.backend() != "tensorflow":
        raise BuilderError(
            "Artifacts are built with Keras on TensorFlow: unset KERAS_BACKEND. "
            f"Received: {keras.backend.backend()}"
        )
    with step(f"Building {checkpoint.name} in {precision}"):
        network = build_network(
            checkpoint.architecture, weights.tensors, checkpoint.preprocessing.crop_size
        )
        kernel, bias = network.get_layer("fc").get_weights()
        inference = fold(
            network, checkpoint.architecture, checkpoint.preprocessing, dtype=precision
        )
        write_artifact(
            folder,
            manifest(checkpoint, weights, precision),
            weights.labels,
            Head(np.asarray(kernel, np.float32), np.asarray(bias, np.float32)),
            golden(network, checkpoint.preprocessing),
            lambda path: export_saved_model(inference, path),
        )
    logger.info("Built %s", folder)


def golden(network: keras.Model, preprocessing: Preprocessing) -> Golden:
    """Pictures made from a fixed seed, and the logits of the network as it was published."""
    size = preprocessing.crop_size
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (GOLDEN_PICTURES, -(-size // 32), -(-size // 32), 3))
    blocks = coarse.repeat(32, axis=1).repeat(32, axis=2)[:, :size, :size]
    pixels = ((3 * blocks + random.integers(0, 256, blocks.shape)) // 4).astype(np.uint8)
    channels = pixels[..., ::-1] if preprocessing.channel_order == "BGR" else pixels
    mean, std = np.array(preprocessing.mean, np.float32), np.array(preprocessing.std, np.float32)
    logits = network((channels.astype(np.float32) - mean) / std, training=False)
    return Golden(pixels, np.asarray(logits, np.float32))


def manifest(checkpoint: Checkpoint, weights: Weights, precision: Precision) -> Manifest:
    """All that is known of the artifact but the hashes of its files."""
    import tensorflow as tf

    return Manifest(
        name=checkpoint.name,
        architecture=checkpoint.architecture,
        preprocessing=checkpoint.preprocessing,
        provenance=Provenance(
            checkpoint=checkpoint.name,
            source=weights.source,
            digest=weights.digest,
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
