"""The SavedModel of an artifact: the names in it, and its graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_builder.system.tensorflow_import import import_tensorflow

SAVED_MODEL = "saved_model.pb"
SIGNATURE = "serving_default"
PIXELS, FEATURES = "pixels", "features"


@dataclass(frozen=True, slots=True)
class SavedGraph:
    """The graph of a SavedModel.

    graph_def: a `GraphDef`. pixels, features: the names of its input, uint8 [N, H, W, 3], and of
    its output, float32 [N, h, w, features].
    """

    graph_def: Any
    pixels: str
    features: str


def read_graph(folder: Path) -> SavedGraph:
    """Reads the graph of the SavedModel in `folder`.

    `tf.saved_model.load` would turn it into functions, which copy the weights several times.
    """
    import_tensorflow()
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    (graph,) = SavedModel.FromString((folder / SAVED_MODEL).read_bytes()).meta_graphs
    signature = graph.signature_def[SIGNATURE]
    return SavedGraph(
        graph.graph_def, signature.inputs[PIXELS].name, signature.outputs[FEATURES].name
    )
