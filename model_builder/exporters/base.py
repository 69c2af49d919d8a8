"""What an exporter is given, and what it gives: one module for each engine's network format.

A module that exports has `export(source: ExportSource) -> Exported`. It is imported only in the
process that builds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from model_builder.artifact.manifest import Calibration, Head, Precision
from model_builder.artifact.report import Report

if TYPE_CHECKING:
    import keras

Pixels = npt.NDArray[np.uint8]


class FuseNetwork(Protocol):
    """Makes the inference network: batch norm fused, normalisation inside, no classifier."""

    def __call__(self, *, dtype: str, pixels_dtype: str) -> keras.Model: ...


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationSet:
    """Images for quantization.

    source: where they come from, for people. photos: how many. crops: uint8 [N, S, S, 3], S the
    network's input size. checked: other crops of the same photos, which calibrate nothing.
    """

    source: str
    photos: int
    crops: Pixels
    checked: Pixels


@dataclass(frozen=True, slots=True, eq=False)
class ExportSource:
    """name: the checkpoint's. calibration: makes the images; only quantization calls it."""

    name: str
    precision: Precision
    fuse: FuseNetwork
    head: Head
    calibration: Callable[[], CalibrationSet]


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """write: writes the artifact's `network/` at a path that does not exist yet.

    calibration, report: of a quantized network.
    """

    write: Callable[[Path], None]
    calibration: Calibration | None = None
    report: Report = ()


@dataclass(frozen=True, slots=True)
class BuildTarget:
    """What an artifact is built for: an engine's name, a precision, the exporter's module."""

    engine: str
    precision: Precision
    exporter: str


def calibration_of(images: CalibrationSet) -> Calibration:
    """The set as the manifest records it."""
    digest = hashlib.sha256(images.crops.tobytes()).hexdigest()
    return Calibration(images.source, images.photos, len(images.crops), digest)
