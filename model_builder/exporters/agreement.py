"""The agreement of a quantized network with float32. Imports TensorFlow."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from model_builder.artifact.head import Head
from model_builder.artifact.report import Measurement
from model_builder.exporters.base import CalibrationSet, Pixels
from model_builder.system.progress import counted

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]


def measure_agreement(
    inference: keras.Model, run: Callable[[Pixels], Array], head: Head, images: CalibrationSet
) -> Measurement:
    """How often both networks give the same `Head.answer`, on crops not used to calibrate.

    inference: the float32 network, from `fuse_batch_norm`. run: the quantized network, uint8
    [1, S, S, 3] to float32 [1, h, w, features].
    """

    def answer(features: npt.NDArray[Any]) -> tuple[int, ...]:
        return head.answer(head.logits(features.mean(axis=(1, 2)))[0])

    # As a graph: out of one, Keras compiles every grouped convolution at every call.
    reference_of = tf.function(lambda pixels: inference(pixels, training=False))
    crops, agreeing = images.checked, 0
    with counted("Comparing int8 with float32", len(crops)) as advance:
        for crop in crops:
            reference = np.asarray(reference_of(crop[None]))
            agreeing += answer(run(crop[None])) == answer(reference)
            advance(1)
    share = round(100 * agreeing / len(crops), 2)
    logger.info(
        "The most probable class in int8 is that of float32 for %.1f %% of %d crops",
        share,
        len(crops),
    )
    return Measurement(f"other crops of {images.source}", len(crops), share)
