"""The artifact: a folder with all that serving one model needs. The contract with `service`.

manifest.json      everything there is to know, and the sha256 of every other file
network/           the inference network, in its engine's own format
head.safetensors   the classifier: "kernel" [features, classes], "bias" [classes], float32
golden.safetensors "pixels" uint8 [N, H, W, 3] and the "logits" float32 [N, classes] that the
                   network gave for them before anything was folded, exported or rounded
labels.json        a name and, where there is one, a WordNet id for each class
report.json        what was measured of it; not hashed, see `report`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from model_builder.artifact.labels import Label
from model_builder.artifact.preprocessing import Preprocessing
from model_builder.artifact.report import Report
from model_builder.networks.config import ResNetConfig

Array = npt.NDArray[np.float32]
Precision = Literal["float32", "bfloat16", "float16", "int8"]

FORMAT = 2
MANIFEST, NETWORK, HEAD, LABELS = "manifest.json", "network", "head.safetensors", "labels.json"
GOLDEN = "golden.safetensors"
# Within `network/`, for the engine "litert"; "tensorflow" has a SavedModel there.
LITERT_MODEL = "model.tflite"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a quantized network was calibrated on. digest: of the crops' pixels."""

    source: str
    photos: int
    crops: int
    digest: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the weights came from, and what their publisher says of them."""

    checkpoint: str
    source: str
    digest: str
    licence: str
    paper: str
    top1_percent: float | None
    top5_percent: float | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """`manifest.json`. `files` maps each other file of the folder but the report to its sha256.

    calibration: of an int8 network.
    """

    name: str
    architecture: ResNetConfig
    preprocessing: Preprocessing
    provenance: Provenance
    engine: str
    precision: Precision
    versions: dict[str, str]
    files: dict[str, str]
    calibration: Calibration | None = None
    format: int = FORMAT


def artifact_name(checkpoint: str, engine: str, precision: Precision) -> str:
    """Of its folder in a cache, and of what is kept there about it."""
    return f"{checkpoint}-{engine}-{precision}"


@dataclass(frozen=True, slots=True)
class Head:
    """The classifier behind global average pooling: kernel [features, classes], bias [classes]."""

    kernel: Array
    bias: Array


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """What the network must give: pixels uint8 [N, H, W, 3], logits float32 [N, classes]."""

    pixels: npt.NDArray[np.uint8]
    logits: Array


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact that was read and found whole."""

    folder: Path
    manifest: Manifest
    labels: tuple[Label, ...]
    head: Head
    golden: Golden
    report: Report

    @property
    def network(self) -> Path:
        return self.folder / NETWORK
