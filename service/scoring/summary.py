"""What a job's rows say together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from service.scoring.sinks.sink import KeptRow

BINS = 100
CLASSES = 10


@dataclass(slots=True)
class Summary:
    """images: all rows. errors: bad ones by their kind. classes: by the label of the best class.

    confidences: how many best classes have a probability of 0.00 to 0.01, 0.01 to 0.02, and so on.
    scored_now: by this run; the others are of earlier ones.
    """

    images: int = 0
    scored_now: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    confidences: list[int] = field(default_factory=lambda: [0] * BINS)

    def add(self, row: KeptRow, *, now: bool) -> None:
        self.images += 1
        self.scored_now += now
        if row.error_code is not None:
            self.errors[row.error_code] += 1
        if row.label is not None:
            self.classes[row.label] += 1
        if row.probability is not None:
            self.confidences[min(BINS - 1, int(row.probability * BINS))] += 1

    @property
    def failed(self) -> int:
        return sum(self.errors.values())

    def confidence(self, part: float) -> float | None:
        """The probability that `part` of the images have at most, to a hundredth."""
        counts = np.cumsum(self.confidences)
        if not counts[-1]:
            return None
        return float(np.searchsorted(counts, part * counts[-1]) + 1) / BINS

    def as_json(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "scored_now": self.scored_now,
            "kept_from_earlier": self.images - self.scored_now,
            "errors": dict(self.errors.most_common()),
            "classes": dict(self.classes.most_common(CLASSES)),
            "distinct_classes": len(self.classes),
            "confidence": {
                "p10": self.confidence(0.1),
                "median": self.confidence(0.5),
                "p90": self.confidence(0.9),
            },
        }
