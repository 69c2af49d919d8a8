"""Builds an artifact from a checkpoint's weights. Imports Keras and TensorFlow."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

from model_builder.artifact.head import Array, Dense, Head
from model_builder.artifact.manifest import (
    EXTENDED_FORMAT,
    FORMAT,
    Golden,
    Manifest,
    Provenance,
)
from model_builder.artifact.preprocessing import LUMA, Preprocessing
from model_builder.artifact.store_format import write_artifact
from model_builder.build.calibration import calibration_set
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.formats.state_dict import Tensors
from model_builder.checkpoints.loader import Weights, assign
from model_builder.errors import BuilderError, ConversionFailed
from model_builder.exporters.base import BuildTarget, Exported, ExportSource
from model_builder.networks.config import ResNetConfig
from model_builder.networks.fuse_batch_norm import fuse_batch_norm
from model_builder.networks.head import LAST_LAYER, hidden_name
from model_builder.networks.resnet import build_resnet
from model_builder.system.progress import step

logger = logging.getLogger(__name__)


GOLDEN_IMAGES = 2


def build_network(architecture: ResNetConfig, tensors: Tensors, input_size: int) -> keras.Model:
    """The network in float32 with these tensors.

    Input: normalized float32 [N, input_size, input_size, 3]. Output: logits [N, classes].
    """
    network = build_resnet(architecture, input_size=input_size)
    assign(network, tensors, architecture)
    return network


def build_artifact(
    checkpoint: Checkpoint,
    weights: Weights,
    folder: Path,
    target: BuildTarget,
    calibration: Path | None = None,
) -> None:
    """Converts the weights, fuses batch norm, exports the network and writes the artifact.

    calibration: a folder of images for quantization; None for those that come with the code.
    The caller holds the lock on `folder`. Raises BuilderError.
    """
    if keras.backend.backend() != "tensorflow":
        raise BuilderError(
            "Artifacts are built with Keras on TensorFlow: unset KERAS_BACKEND. "
            f"Received: {keras.backend.backend()}"
        )
    preprocessing = checkpoint.preprocessing
    with step(f"Building {checkpoint.name} in {target.precision}"):
        network = build_network(checkpoint.architecture, weights.tensors, preprocessing.crop_size)
        head = head_of(network, checkpoint.architecture)
        expected = golden(network, preprocessing)
    if not np.isfinite(expected.logits).all():
        raise ConversionFailed(
            f"{checkpoint.name} gives logits that are infinite or not a number for images of "
            "random pixels."
        )
    exporter = import_module(target.exporter)
    exported: Exported = exporter.export(
        ExportSource(
            name=checkpoint.name,
            precision=target.precision,
            fuse=partial(fuse_batch_norm, network, checkpoint.architecture, preprocessing),
            head=head,
            calibration=lambda: calibration_set(calibration, preprocessing),
        )
    )
    about = manifest(checkpoint, weights, target)
    versions = about.versions | {name: version(name) for name in exported.packages}
    about = replace(about, calibration=exported.calibration, versions=versions)
    write_artifact(folder, about, weights.labels, head, expected, exported.write, exported.report)
    logger.info("Built %s", folder)


def head_of(network: keras.Model, architecture: ResNetConfig) -> Head:
    """The classifier of a network made by `build_resnet(architecture)`."""

    def weights(name: str) -> tuple[Array, Array]:
        kernel, bias = network.get_layer(name).get_weights()
        return np.asarray(kernel, np.float32), np.asarray(bias, np.float32)

    hidden = tuple(
        Dense(*weights(hidden_name(index)), layer.activation)
        for index, layer in enumerate(architecture.hidden_layers)
    )
    return Head(*weights(LAST_LAYER), hidden, architecture.activation)


def golden(network: keras.Model, preprocessing: Preprocessing) -> Golden:
    """Random images from a fixed seed, and their logits by the network before batch norm is fused.

    network: float32, its input normalized.
    """
    size = preprocessing.crop_size
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (GOLDEN_IMAGES, -(-size // 32), -(-size // 32), 3))
    blocks = coarse.repeat(32, axis=1).repeat(32, axis=2)[:, :size, :size]
    pixels = ((3 * blocks + random.integers(0, 256, blocks.shape)) // 4).astype(np.uint8)
    channels = pixels[..., ::-1] if preprocessing.channel_order == "BGR" else pixels
    values = channels.astype(np.float32)
    mean, std = np.array(preprocessing.mean, np.float32), np.array(preprocessing.std, np.float32)
    if network.input_shape[-1] == 1:
        values = np.asarray(pixels @ LUMA, np.float32)[..., None]
        mean, std = mean[:1], std[:1]
    logits = network((values - mean) / std, training=False)
    return Golden(pixels, np.asarray(logits, np.float32))


def manifest(checkpoint: Checkpoint, weights: Weights, target: BuildTarget) -> Manifest:
    """The manifest without what the exporter adds and without the hashes of the files."""
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
        engine=target.engine,
        precision=target.precision,
        versions={"keras": keras.__version__, "tensorflow": tf.__version__},
        files={},
        format=EXTENDED_FORMAT if _is_extended(checkpoint) else FORMAT,
    )


def _is_extended(checkpoint: Checkpoint) -> bool:
    """Whether earlier versions, which ignore fields unknown to them, would serve it wrongly."""
    return checkpoint.architecture.has_extended_head or checkpoint.preprocessing.is_extended
