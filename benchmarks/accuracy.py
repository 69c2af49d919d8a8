"""Top-1 and top-5 on photos whose names tell their class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.engine import EngineProcess
from benchmarks.results import Accuracy

WORDNET_ID = re.compile(r"n\d{8}")
AT_ONCE = 8


def labelled(paths: Sequence[Path]) -> list[Path]:
    """Those whose name begins with a WordNet id, as in n02123045_tabby.JPEG."""
    return [path for path in paths if WORDNET_ID.match(path.name)]


def measure(engine: EngineProcess, photos: Sequence[Path], precision: str) -> Accuracy:
    ranks = []
    for first in range(0, len(photos), AT_ONCE):
        some = photos[first : first + AT_ONCE]
        for photo, top in zip(some, engine.top_classes(some), strict=True):
            truth = photo.name[:9]
            ranks.append(top.index(truth) if truth in top else len(top))
    return Accuracy(
        precision=precision,
        pictures=len(photos),
        top1_percent=100 * sum(rank == 0 for rank in ranks) / len(photos),
        top5_percent=100 * sum(rank < 5 for rank in ranks) / len(photos),
    )
