"""The interface of exporters: one module for each engine's network format.

An exporter has `export(source: ExportSource) -> Exported`. Only the process that builds imports it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from model_builder.artifact.head import Head
from model_builder.artifact.manifest import Calibration, Precision
from model_builder.artifact.report import Report

if TYPE_CHECKING:
    import keras

Pixels = npt.NDArray[np.uint8]


class FuseNetwork(Protocol):
    """Makes the inference network: batch norm fused, normalization included, no classifier.

    See `networks.fuse_batch_norm` for its input, its output and the arguments.
    """

    def __call__(self, *, dtype: str, pixels_dtype: str) -> keras.Model: ...


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationSet:
    """Images for quantization.

    source: where they come from, for people. photos: how many. crops: uint8 [N, S, S, 3], with S
    the network's input size. checked: other crops of the same photos, to compare the quantized
    network with float32.
    """

    source: str
    photos: int
    crops: Pixels
    checked: Pixels


@dataclass(frozen=True, slots=True, eq=False)
class ExportSource:
    """The input of an exporter.

    name: the checkpoint's. precision: of the exported network. fuse: makes the network. head: the
    classifier, which is stored apart. calibration: makes the images for quantization.
    """

    name: str
    precision: Precision
    fuse: FuseNetwork
    head: Head
    calibration: Callable[[], CalibrationSet]


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """The result of an exporter.

    write: writes the artifact's `network/` at a path that does not exist yet.
    calibration, report: of a quantized network.
    packages: which wrote it, beside Keras and TensorFlow; the manifest states their versions.
    """

    write: Callable[[Path], None]
    calibration: Calibration | None = None
    report: Report = ()
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildTarget:
    """The engine and precision of an artifact, and the module of the exporter."""

    engine: str
    precision: Precision
    exporter: str


def calibration_of(images: CalibrationSet) -> Calibration:
    """The manifest's record of a calibration set."""
    digest = hashlib.sha256(images.crops.tobytes()).hexdigest()
    return Calibration(images.source, images.photos, len(images.crops), digest)
