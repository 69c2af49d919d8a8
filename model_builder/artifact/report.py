"""`report.json`: measurements of an artifact.

The manifest does not hash this file: a new measurement must not make another artifact.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from model_builder.errors import InvalidArtifact
from model_builder.system.atomic_write import atomic_write
from model_builder.system.regular_file import read_regular_file

REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One set of images run through one artifact.

    images: where they come from, for people. count: how many.
    origin: "build", measured when the artifact was built, or "evaluate", measured by a user.
    digest: of the images' files; "" for a build.
    agreement_percent: how often the most probable class is the float32 network's, 0 to 100.
    top1_percent, top5_percent (0 to 100), expected_calibration_error (0 to 1): None where the
        images have no labels. images_per_second: None where it was not measured.
    """

    images: str
    count: int
    agreement_percent: float
    top1_percent: float | None = None
    top5_percent: float | None = None
    expected_calibration_error: float | None = None
    images_per_second: float | None = None
    origin: Literal["build", "evaluate"] = "build"
    digest: str = ""


Report = tuple[Measurement, ...]

_ADAPTER = TypeAdapter(Report)


def read_report(folder: Path) -> Report:
    """The measurements in an artifact's folder; empty where it has none. Raises InvalidArtifact."""
    try:
        rows = json.loads(read_regular_file(folder / REPORT))
        return _ADAPTER.validate_python([_current(row) for row in rows])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InvalidArtifact(f"{folder / REPORT} can't be read: {error}") from error


def _current(row: dict[str, Any]) -> dict[str, Any]:
    """A row in the present format. Earlier versions have "pictures" and no origin."""
    if "pictures" not in row:
        return row
    origin = "build" if row.get("top1_percent") is None else "evaluate"
    return {"images": row["pictures"], "origin": origin} | {
        key: value for key, value in row.items() if key != "pictures"
    }


def write_report(folder: Path, report: Report) -> None:
    """Replaces the file atomically. Raises OSError."""
    atomic_write(folder / REPORT, _ADAPTER.dump_json(report, indent=2))


def add_measurement(folder: Path, measurement: Measurement) -> None:
    """Adds one measurement, in place of an earlier one of the same images.

    Raises InvalidArtifact or OSError.
    """
    same = measurement.origin, measurement.digest
    others = [one for one in read_report(folder) if (one.origin, one.digest) != same]
    write_report(folder, (*others, measurement))


def forget_measurements(folder: Path) -> int:
    """Removes the users' measurements and returns their number; the build's row stays.

    Raises InvalidArtifact or OSError.
    """
    report = read_report(folder)
    built = tuple(one for one in report if one.origin == "build")
    write_report(folder, built)
    return len(report) - len(built)
