"""The inference network in int8, for LiteRT. Imports TensorFlow."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from model_builder.artifact.manifest import LITERT_MODEL
from model_builder.errors import CalibrationFailed
from model_builder.exporters.agreement import measure_agreement
from model_builder.exporters.base import Exported, ExportSource, calibration_of
from model_builder.system.progress import counted

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]


def export(source: ExportSource) -> Exported:
    """Quantizes with the calibration set, and measures the agreement with float32.

    Raises CalibrationFailed.
    """
    # The converter takes a float32 network with a float32 input.
    inference = source.fuse(dtype="float32", pixels_dtype="float32")
    images = source.calibration()
    with counted(f"Calibrating {source.name}", len(images.crops)) as advance:
        model = quantize(inference, images.crops, advance)
    agreement = measure_agreement(inference, runner(model), source.head, images)
    return Exported(
        lambda folder: write_litert(model, folder), calibration_of(images), (agreement,)
    )


def quantize(inference: keras.Model, crops: Pixels, advance: Callable[[int], None]) -> bytes:
    """A LiteRT model of `pixels` uint8 [1, H, W, 3] to the feature map float32 [1, h, w, features].

    Its input can be resized to any batch. Weights are int8 with a scale a channel, activations
    int8 with a scale a tensor, after Jacob et al. 2018 (arXiv 1712.05877).

    inference: from `fuse_batch_norm`, with float32 pixels. crops: uint8 [N, H, W, 3]; they set the
    ranges of the activations. advance: called with 1 after each crop.
    Raises CalibrationFailed where no crop has a pixel of 0 or none has one of 255.
    """
    _, height, width, channels = inference.input_shape

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec([1, height, width, channels], tf.float32, name="pixels")]
    )
    def network(pixels: tf.Tensor) -> tf.Tensor:
        return inference(pixels, training=False)

    def representative() -> Iterator[list[Array]]:
        for crop in crops:
            yield [crop[None].astype(np.float32)]
            advance(1)

    # The converter warns where it is not given the object that owns the variables. With that
    # object it leaves the variables out of the model.
    logging.getLogger("absl").setLevel(logging.ERROR)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.float32
    with warnings.catch_warnings():
        # The range of the input is not stated: it is measured.
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs")
        model: bytes = converter.convert()
    _check_input(model)
    return model


def write_litert(model: bytes, folder: Path) -> None:
    """Writes the network into the artifact's `network/`, which does not exist yet."""
    folder.mkdir()
    (folder / LITERT_MODEL).write_bytes(model)


def runner(model: bytes) -> Callable[[Pixels], Array]:
    """A function from pixels uint8 [1, H, W, 3] to the feature map float32 [1, h, w, features]."""
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    (given,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(pixels: Pixels) -> Array:
        interpreter.set_tensor(given["index"], pixels)
        interpreter.invoke()
        features: Array = interpreter.get_tensor(output["index"])
        return features

    return run


def _check_input(model: bytes) -> None:
    """Raises CalibrationFailed unless the quantized input has scale 1 and zero point 0."""
    (given,) = Interpreter(model_content=model).get_input_details()
    scale, zero_point = given["quantization"]
    if (round(scale, 6), zero_point) != (1.0, 0):
        raise CalibrationFailed(
            "The crops must hold pixels of 0 and of 255. "
            f"Received: {-zero_point * scale:g} to {(255 - zero_point) * scale:g}"
        )
