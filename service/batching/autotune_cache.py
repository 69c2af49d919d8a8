"""Measured batch sizes, kept for the next start on the same machine."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from model_builder.system.atomic_write import atomic_write
from model_builder.system.regular_file import read_regular_file
from service.batching.batch_sizes import BatchSizes

logger = logging.getLogger(__name__)

FOLDER = "plans"
MAX_BYTES = 1 << 20

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class _Kept:
    """The file's content. key: what the sizes were measured on."""

    key: dict[str, str]
    seconds: dict[int, Seconds]


_ADAPTER = TypeAdapter(_Kept)


@dataclass(frozen=True, slots=True)
class AutotuneCache:
    """One artifact's file.

    key: everything that the latencies depend on; a file with another key is not used and is
    replaced. The cache only saves time: a file that can't be read or written is ignored.
    """

    path: Path
    key: dict[str, str]

    def read(self) -> BatchSizes | None:
        try:
            kept = _ADAPTER.validate_json(read_regular_file(self.path, MAX_BYTES))
            return BatchSizes(kept.seconds) if kept.key == self.key else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logger.info("The batch sizes in %s are not used: %s", self.path, error)
            return None

    def write(self, plan: BatchSizes) -> None:
        text = _ADAPTER.dump_json(_Kept(self.key, dict(plan.seconds)), indent=1)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self.path, text)
        except OSError as error:
            logger.info("The batch sizes are not kept: %s", error)


def autotune_cache_path(home: Path, artifact: str) -> Path:
    """artifact: the name of its folder, `artifact_name`."""
    return home / FOLDER / f"{artifact}.json"
