"""`confidence.safetensors`: what tells how sure an artifact's model is, fitted to it by
`resnet calibrate`.

The manifest does not hash this file, as it does not hash the report: to calibrate must not make
another artifact. The file names the artifact that it was fitted to, and holds for no other.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from model_builder.artifact.manifest import Manifest
from model_builder.errors import InvalidArtifact
from model_builder.system.atomic_write import atomic_write

logger = logging.getLogger(__name__)

CONFIDENCE = "confidence.safetensors"
FORMAT = 2

Array = npt.NDArray[np.float32]
ScalingMethod = Literal["temperature", "vector"]


@dataclass(frozen=True, slots=True)
class CalibrationFigures:
    """How well confidences tell how often the model is right; lower is better.

    expected_calibration_error: of 15 bins, 0 to 1. chance_error_mean, chance_error_deviation: of
    what a perfectly calibrated model with the same confidences has on as many images.
    debiased_calibration_error: root mean square, 0 to 1, without the part that chance adds.
    negative_log_likelihood: in nats. brier_score: over all classes, 0 to 2.
    """

    expected_calibration_error: float
    chance_error_mean: float
    chance_error_deviation: float
    debiased_calibration_error: float
    negative_log_likelihood: float
    brier_score: float


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What was fitted, on what, and how good it is on the images that were held out.

    images: where they come from, for people. digest: of the images' files. fitted_on: how many.
    held_out: how many of them the figures are of, each scaled by a fit to the other folds.
    temperature: None for vector scaling. before, after: of the held-out images.
    mean_confidence: of the held-out images, 0 to 1, after. out_of_distribution: the method of that
    score.
    """

    images: str
    digest: str
    fitted_on: int
    held_out: int
    folds: int
    method: ScalingMethod
    temperature: float | None
    top1_percent: float
    before: CalibrationFigures
    after: CalibrationFigures
    mean_confidence: float
    out_of_distribution: str


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """Calibrated probabilities are softmax(scale * logits + bias). Guo et al. 2017 (1706.04599).

    scale, bias: float32 [1] for temperature scaling, scale being 1/T and bias 0; [classes] for
    vector scaling.
    """

    method: ScalingMethod
    scale: Array
    bias: Array


@dataclass(frozen=True, slots=True, eq=False)
class FittedConfidence:
    """The content of `confidence.safetensors`.

    detector: the arrays that the out-of-distribution score needs, float32, by their names.
    frequent_classes: the classes that were named most often, the most frequent first.
    """

    report: CalibrationReport
    scaling: Scaling
    detector: dict[str, Array]
    frequent_classes: tuple[int, ...]


_REPORT_ADAPTER = TypeAdapter(CalibrationReport)


def artifact_digest(manifest: Manifest) -> str:
    """sha256 in hexadecimal over the hashes of the artifact's files."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(manifest.files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def write_confidence(folder: Path, manifest: Manifest, fitted: FittedConfidence) -> None:
    """Replaces the file in the artifact's folder atomically. Raises OSError."""
    tensors = {
        "scale": fitted.scaling.scale,
        "bias": fitted.scaling.bias,
        "frequent_classes": np.array(fitted.frequent_classes, np.int64),
        **{f"detector.{name}": array for name, array in fitted.detector.items()},
    }
    metadata = {
        "format": str(FORMAT),
        "artifact": artifact_digest(manifest),
        "report": _REPORT_ADAPTER.dump_json(fitted.report).decode(),
    }
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    atomic_write(folder / CONFIDENCE, save(contiguous, metadata))


def read_confidence(folder: Path, manifest: Manifest) -> FittedConfidence | None:
    """What was fitted to the artifact in the folder; None without a file.

    One of another artifact, as after the model was quantized again, or of another version is not
    used, and the log says so. Raises InvalidArtifact where the file is damaged.
    """
    path = folder / CONFIDENCE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        wanted = {"format": str(FORMAT), "artifact": artifact_digest(manifest)}
        if {name: metadata.get(name) for name in wanted} != wanted:
            logger.warning(
                "%s was fitted to another artifact, or by another version, and is not used: "
                "run resnet calibrate again",
                path,
            )
            return None
        report = _REPORT_ADAPTER.validate_json(metadata["report"])
        fitted = FittedConfidence(
            report,
            Scaling(report.method, tensors["scale"], tensors["bias"]),
            {
                name.removeprefix("detector."): array
                for name, array in tensors.items()
                if name.startswith("detector.")
            },
            tuple(tensors["frequent_classes"].tolist()),
        )
    except (OSError, SafetensorError, ValidationError, KeyError) as error:
        raise InvalidArtifact(
            f"{path} can't be read: {error}. Remove it, or run resnet calibrate again."
        ) from error
    _check(fitted, manifest, path)
    return fitted


def _check(fitted: FittedConfidence, manifest: Manifest, path: Path) -> None:
    """Raises InvalidArtifact for arrays that are not finite or not of the model's size."""
    classes = manifest.architecture.classes
    scaling = fitted.scaling
    arrays = (scaling.scale, scaling.bias, *fitted.detector.values())
    expected = (1,) if scaling.method == "temperature" else (classes,)
    if (
        not all(np.isfinite(array).all() for array in arrays)
        or scaling.scale.shape != expected
        or scaling.bias.shape != expected
        or not all(0 <= one < classes for one in fitted.frequent_classes)
    ):
        raise InvalidArtifact(
            f"{path} does not fit the model. Remove it, or run resnet calibrate again."
        )


def keep_confidence(earlier: Path, folder: Path) -> None:
    """Copies the file, if there is one, from an artifact to the one that replaces it.

    It holds for that one where the same build gave the same files.
    """
    if (earlier / CONFIDENCE).is_file():
        shutil.copyfile(earlier / CONFIDENCE, folder / CONFIDENCE)


def remove_confidence(folder: Path) -> bool:
    """Removes the file. Returns whether there was one. Raises OSError."""
    path = folder / CONFIDENCE
    found = path.is_file()
    path.unlink(missing_ok=True)
    return found
