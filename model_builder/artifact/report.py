"""`report.json`: what was measured of an artifact, beside what it is made of.

It is no part of what the manifest's hashes cover: measuring again must not make another artifact.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from model_builder.errors import InvalidArtifact
from model_builder.system.atomic_write import atomic_write

REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One set of images run through one artifact.

    images: what they were. count: how many.
    agreement_percent: how often the most probable class is the float32 network's.
    top1_percent, top5_percent, expected_calibration_error (0 to 1): None where the images have
        no labels. images_per_second: None where it was not measured.
    """

    images: str
    count: int
    agreement_percent: float
    top1_percent: float | None = None
    top5_percent: float | None = None
    expected_calibration_error: float | None = None
    images_per_second: float | None = None


Report = tuple[Measurement, ...]

_ADAPTER = TypeAdapter(Report)


def read_report(folder: Path) -> Report:
    """Empty where nothing was measured. Raises InvalidArtifact."""
    try:
        return _ADAPTER.validate_json((folder / REPORT).read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        raise InvalidArtifact(f"{folder / REPORT} can't be read: {error}") from error


def write_report(folder: Path, report: Report) -> None:
    """Replaces the whole at once."""
    atomic_write(folder / REPORT, _ADAPTER.dump_json(report, indent=2))


def add_measurement(folder: Path, measurement: Measurement) -> None:
    """In place of an earlier one of the same images. Raises InvalidArtifact or OSError."""
    others = [one for one in read_report(folder) if one.images != measurement.images]
    write_report(folder, (*others, measurement))
