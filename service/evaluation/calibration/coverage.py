"""What abstaining gives: how many images are answered, and how many of those rightly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

COVERAGES_PERCENT = (100, 99, 97.5, 95, 90, 85, 80, 70, 60, 50)


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """One threshold.

    abstain_below: the threshold of confidence, 0 to 1. coverage_percent: images that have as much.
    accuracy_percent: those of them that are right. wrong: the number of those that are not.
    """

    abstain_below: float
    coverage_percent: float
    accuracy_percent: float
    wrong: int


def coverage_rows(
    confidences: npt.NDArray[np.float32], right: npt.NDArray[np.bool_]
) -> list[CoverageRow]:
    """A row for each of COVERAGES_PERCENT, and none twice. Arguments: [N] of held-out images."""
    order = np.argsort(-confidences, kind="stable")
    rows: dict[float, CoverageRow] = {}
    for percent in COVERAGES_PERCENT:
        last = order[max(1, round(len(order) * percent / 100)) - 1]
        # Rounded down, so that the image at the threshold stays above what is printed.
        threshold = 0.0 if percent == 100 else np.floor(float(confidences[last]) * 1000) / 1000
        kept = confidences >= threshold
        accuracy = round(100 * float(right[kept].mean()), 2)
        rows[threshold] = CoverageRow(
            float(threshold),
            round(100 * float(kept.mean()), 2),
            accuracy,
            int((~right[kept]).sum()),
        )
    return list(rows.values())
