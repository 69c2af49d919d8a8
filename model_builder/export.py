"""Writes an inference network as a TensorFlow SavedModel with its weights as constants."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def export_saved_model(network: keras.Model, folder: Path) -> None:
    """The network as signature `serving_default`: "pixels" uint8 [N, H, W, 3] to "features".

    Features leave in float32 whatever the network computes in. Constants, unlike variables, let
    TensorFlow's graph optimiser lay the weights out for the processor once, at load.
    """
    _, height, width, channels = network.input_shape
    signature = [tf.TensorSpec([None, height, width, channels], tf.uint8, name="pixels")]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def with_variables(pixels: tf.Tensor) -> tf.Tensor:
        return tf.cast(network(pixels, training=False), tf.float32)

    frozen = convert_variables_to_constants_v2(with_variables.get_concrete_function())

    # Freezing forgets the names of the outputs.
    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def serve(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        (features,) = frozen(pixels)
        return {"features": features}

    tf.saved_model.save(tf.Module(), str(folder), signatures={"serving_default": serve})
