"""The inference network as OpenVINO's intermediate representation, weights in float32.

Imports TensorFlow; import it only to build.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras

from model_builder.artifact.manifest import OPENVINO_MODEL
from model_builder.exporters.base import Exported, ExportSource
from model_builder.exporters.tensorflow import write_saved_model
from model_builder.system.native_stderr import redirect_native_stderr
from model_builder.system.openvino_import import import_openvino


def export(source: ExportSource) -> Exported:
    """The network in float32. OpenVINO computes in bfloat16 when it is told so as it loads it."""
    network = source.fuse(dtype="float32", pixels_dtype="uint8")
    return Exported(lambda folder: write_openvino(network, folder))


def write_openvino(network: keras.Model, folder: Path) -> None:
    """The network from "pixels" uint8 [N, H, W, 3] to "features" float32 [N, h, w, features].

    OpenVINO reads it from a SavedModel whose weights are constants.
    """
    openvino = import_openvino()
    with tempfile.TemporaryDirectory() as scratch:
        write_saved_model(network, Path(scratch) / "saved_model")
        with redirect_native_stderr():
            model = openvino.Core().read_model(Path(scratch) / "saved_model")
    folder.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, folder / OPENVINO_MODEL, compress_to_fp16=False)
