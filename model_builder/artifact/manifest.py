"""The artifact: a folder with all that serving one model needs. The contract with `service`.

manifest.json      a `Manifest`, with the sha256 of every other file but the report
network/           the inference network, in its engine's own format
head.safetensors   the classifier: "kernel" [features, classes], "bias" [classes], float32; where it
                   has hidden layers also "hidden_0/kernel", "hidden_0/bias", ...
golden.safetensors "pixels" uint8 [N, H, W, 3] and the "logits" float32 [N, classes] that the
                   network gave for them before batch norm was fused and the network exported
labels.json        a name for each class, and its WordNet id if it has one
report.json        measurements of the artifact; not hashed, see `report`
confidence.safetensors  what `resnet calibrate` fitted; not hashed, see `confidence`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from model_builder.artifact.head import Head
from model_builder.artifact.labels import Label
from model_builder.artifact.preprocessing import Preprocessing
from model_builder.artifact.report import Report
from model_builder.networks.config import ResNetConfig

Array = npt.NDArray[np.float32]
Precision = Literal["float32", "bfloat16", "float16", "int8"]

# Format 3 has what a version that reads only 2 would leave out, and give wrong answers.
FORMAT, EXTENDED_FORMAT = 2, 3
MANIFEST, NETWORK, HEAD, LABELS = "manifest.json", "network", "head.safetensors", "labels.json"
GOLDEN = "golden.safetensors"
# Within `network/`, by engine; "tensorflow" has a SavedModel there.
LITERT_MODEL = "model.tflite"
# Its weights are in a file of the same name with `.bin`.
OPENVINO_MODEL = "model.xml"


@dataclass(frozen=True, slots=True)
class Calibration:
    """The images that a quantized network was calibrated on.

    source: where they come from, for people. photos, crops: their numbers. digest: sha256 of the
    crops' pixels in hexadecimal.
    """

    source: str
    photos: int
    crops: int
    digest: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the weights come from, and what their publisher states.

    digest: the algorithm and the hash of the published file, as in "md5-2cb9...".
    top1_percent, top5_percent: on ImageNet's validation set, 0 to 100; None where not stated.
    """

    checkpoint: str
    source: str
    digest: str
    licence: str
    paper: str
    top1_percent: float | None
    top5_percent: float | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of `manifest.json`.

    engine: a name in the table of engines. versions: of the packages that built the network.
    files: sha256 of every other file but the report, by its path in the folder.
    calibration: of an int8 network. format: the version of the folder's layout: 3 where the
    classifier has hidden layers or a sigmoid, or images are prepared in another way than a crop
    with one of two filters; else 2.
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
    """The name of an artifact's folder in a cache, and of other files about the artifact."""
    return f"{checkpoint}-{engine}-{precision}"


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Expected results: pixels uint8 [N, H, W, 3], their logits float32 [N, classes]."""

    pixels: npt.NDArray[np.uint8]
    logits: Array


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact whose files were read and verified."""

    folder: Path
    manifest: Manifest
    labels: tuple[Label, ...]
    head: Head
    golden: Golden
    report: Report

    @property
    def network(self) -> Path:
        """The folder of the network, in the format of its engine."""
        return self.folder / NETWORK
