"""The SavedModel of an artifact: what it is called within, and its graph as it was written."""

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
    """graph_def: a `GraphDef`. pixels, features: the names of its tensors, uint8 [N, H, W, 3] and
    float32 [N, h, w, features].
    """

    graph_def: Any
    pixels: str
    features: str


def read_graph(folder: Path) -> SavedGraph:
    """Not by `tf.saved_model.load`, which makes functions of it, and of them copy after copy."""
    import_tensorflow()
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    (graph,) = SavedModel.FromString((folder / SAVED_MODEL).read_bytes()).meta_graphs
    signature = graph.signature_def[SIGNATURE]
    return SavedGraph(
        graph.graph_def, signature.inputs[PIXELS].name, signature.outputs[FEATURES].name
    )
