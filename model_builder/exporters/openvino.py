"""The inference network as OpenVINO's intermediate representation, in float32 or int8.

Imports TensorFlow; import it only to build.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras

from model_builder.artifact.manifest import OPENVINO_MODEL
from model_builder.exporters.agreement import measure_agreement
from model_builder.exporters.base import Exported, ExportSource, calibration_of
from model_builder.exporters.openvino_int8 import quantize, runner
from model_builder.exporters.tensorflow import write_saved_model
from model_builder.system.native_stderr import redirect_native_stderr
from model_builder.system.openvino_import import import_openvino
from model_builder.system.progress import counted


def export(source: ExportSource) -> Exported:
    """The network in float32, or in int8 with its agreement with float32.

    OpenVINO computes in bfloat16 when it is told so as it loads the network.
    Raises CalibrationFailed, or BuilderError where NNCF is needed and not installed.
    """
    network = source.fuse(dtype="float32", pixels_dtype="uint8")
    if source.precision != "int8":
        return Exported(lambda folder: write_openvino(network, folder), packages=("openvino",))
    images, model = source.calibration(), convert(network)
    with counted(f"Calibrating {source.name}", len(images.crops)) as advance:
        quantized = quantize(model, images.crops, advance)
    agreement = measure_agreement(network, runner(quantized), source.head, images)
    return Exported(
        lambda folder: save(quantized, folder),
        calibration_of(images),
        (agreement,),
        packages=("openvino", "nncf"),
    )


def write_openvino(network: keras.Model, folder: Path) -> None:
    """Writes the network, whose pixels are uint8, into the artifact's `network/`."""
    save(convert(network), folder)


def convert(network: keras.Model) -> Any:
    """An OpenVINO model of "pixels" uint8 [N, H, W, 3] to "features" float32 [N, h, w, features].

    OpenVINO reads it from a SavedModel whose weights are constants.
    """
    openvino = import_openvino()
    with tempfile.TemporaryDirectory() as scratch:
        write_saved_model(network, Path(scratch) / "saved_model")
        with redirect_native_stderr():
            return openvino.Core().read_model(Path(scratch) / "saved_model")


def save(model: Any, folder: Path) -> None:
    """Raises OSError where the disk is full."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import_openvino().save_model(model, folder / OPENVINO_MODEL, compress_to_fp16=False)
    except RuntimeError as error:
        # OpenVINO only says that a stream failed, and deletes what it wrote.
        weights = (op.data.nbytes for op in model.get_ops() if op.get_type_name() == "Constant")
        if shutil.disk_usage(folder).free < sum(weights):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise
