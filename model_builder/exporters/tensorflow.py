"""The inference network as a TensorFlow SavedModel with its weights as constants."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from model_builder.exporters.base import Exported, ExportSource
from model_builder.exporters.saved_model import FEATURES, PIXELS, SAVED_MODEL, SIGNATURE


def export(source: ExportSource) -> Exported:
    """Exports the network in the source's precision."""
    network = source.fuse(dtype=source.precision, pixels_dtype="uint8")
    return Exported(lambda folder: write_saved_model(network, folder))


def write_saved_model(network: keras.Model, folder: Path) -> None:
    """Writes the network with the signature `serving_default`: "pixels" to "features".

    pixels: uint8 [N, H, W, 3]. features: float32 [N, h, w, features] in every precision.
    The weights are constants: unlike variables, TensorFlow reorders them for the CPU once, at the
    first run. They are in the graph itself: `tf.saved_model.save` would put them into functions,
    which each step of loading copies.
    """
    _, height, width, channels = network.input_shape
    signature = [tf.TensorSpec([None, height, width, channels], tf.uint8, name=PIXELS)]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def with_variables(pixels: tf.Tensor) -> tf.Tensor:
        return tf.cast(network(pixels, training=False), tf.float32)

    frozen = convert_variables_to_constants_v2(with_variables.get_concrete_function())
    saved = SavedModel(saved_model_schema_version=1)
    graph = saved.meta_graphs.add()
    graph.graph_def.CopyFrom(frozen.graph.as_graph_def())
    graph.meta_info_def.tags.append(tf.saved_model.SERVING)
    described = graph.signature_def[SIGNATURE]
    described.method_name = "tensorflow/serving/predict"
    (pixels,), (features,) = frozen.inputs, frozen.outputs
    for entry, tensor in (
        (described.inputs[PIXELS], pixels),
        (described.outputs[FEATURES], features),
    ):
        entry.name, entry.dtype = tensor.name, tensor.dtype.as_datatype_enum
        entry.tensor_shape.CopyFrom(tensor.shape.as_proto())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SAVED_MODEL).write_bytes(saved.SerializeToString(deterministic=True))
