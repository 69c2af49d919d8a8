"""A checkpoint's file to an artifact. Imports Keras and TensorFlow; import it only to build."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np

from model_builder.artifact.manifest import (
    Golden,
    Head,
    Manifest,
    Precision,
    Provenance,
    write_artifact,
)
from model_builder.artifact.preprocessing import Preprocessing
from model_builder.artifact.report import Measurement, Report
from model_builder.build.calibration import CalibrationSet, calibration_set
from model_builder.checkpoints.catalog import Checkpoint
from model_builder.checkpoints.formats import Tensors
from model_builder.checkpoints.loader import assign
from model_builder.checkpoints.weights import Weights
from model_builder.errors import BuilderError
from model_builder.exporters.export import export_saved_model
from model_builder.exporters.litert import quantize, runner, write_litert
from model_builder.networks.config import ResNetConfig
from model_builder.networks.fuse_batch_norm import fuse_batch_norm
from model_builder.networks.resnet import build_resnet
from model_builder.system.progress import counted, step

logger = logging.getLogger(__name__)


GOLDEN_IMAGES = 2


def build_network(architecture: ResNetConfig, tensors: Tensors, input_size: int) -> keras.Model:
    """The network in float32 with these tensors. Input normalised, output logits."""
    network = build_resnet(architecture, input_size=input_size)
    assign(network, tensors, architecture)
    return network


def build_artifact(
    checkpoint: Checkpoint,
    weights: Weights,
    folder: Path,
    precision: Precision,
    calibration: Path | None = None,
) -> None:
    """Converts, folds and writes. The caller holds the lock on `folder`.

    calibration: a folder of images for int8; by default the ones that come with the code.
    Raises BuilderError.
    """
    if keras.backend.backend() != "tensorflow":
        raise BuilderError(
            "Artifacts are built with Keras on TensorFlow: unset KERAS_BACKEND. "
            f"Received: {keras.backend.backend()}"
        )
    preprocessing = checkpoint.preprocessing
    with step(f"Building {checkpoint.name} in {precision}"):
        network = build_network(checkpoint.architecture, weights.tensors, preprocessing.crop_size)
        kernel, bias = network.get_layer("fc").get_weights()
        head = Head(np.asarray(kernel, np.float32), np.asarray(bias, np.float32))
        int8 = precision == "int8"
        inference = fuse_batch_norm(
            network,
            checkpoint.architecture,
            preprocessing,
            # The converter is given float32 throughout.
            dtype="float32" if int8 else precision,
            pixels_dtype="float32" if int8 else "uint8",
        )
        expected = golden(network, preprocessing)
    about = manifest(checkpoint, weights, precision)
    write_network: Callable[[Path], None] = partial(export_saved_model, inference)
    report: Report = ()
    if int8:
        images = calibration_set(calibration, preprocessing)
        about = replace(about, engine="litert", calibration=images.calibration)
        with counted(f"Calibrating {checkpoint.name}", len(images.crops)) as advance:
            model = quantize(inference, images.crops, advance)
        write_network = partial(write_litert, model)
        report = (_compare(inference, model, head, images),)
    write_artifact(folder, about, weights.labels, head, expected, write_network, report)
    logger.info("Built %s", folder)


def _compare(
    inference: keras.Model, model: bytes, head: Head, images: CalibrationSet
) -> Measurement:
    """How often int8 names the class that float32 names, on crops that calibrated nothing."""
    run, crops = runner(model), images.checked
    agreeing = 0
    with counted("Comparing int8 with float32", len(crops)) as advance:
        for crop in crops:
            both = run(crop[None]), np.asarray(inference(crop[None], training=False))
            first, second = (
                np.argmax(features.mean(axis=(1, 2)) @ head.kernel + head.bias) for features in both
            )
            agreeing += int(first == second)
            advance(1)
    share = round(100 * agreeing / len(crops), 2)
    logger.info(
        "int8 names the class that float32 names for %.1f %% of %d crops", share, len(crops)
    )
    return Measurement(f"other crops of {images.source}", len(crops), share)


def golden(network: keras.Model, preprocessing: Preprocessing) -> Golden:
    """Images made from a fixed seed, and the logits of the network as it was published."""
    size = preprocessing.crop_size
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (GOLDEN_IMAGES, -(-size // 32), -(-size // 32), 3))
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
