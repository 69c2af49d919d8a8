"""A batch plan that was measured, kept for the next start on the same machine."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from model_builder.artifact.manifest import Artifact, artifact_name
from model_builder.system.atomic_write import atomic_write
from service import __version__
from service.batching.batch_sizes import BatchSizes
from service.engines.base import Engine, Hardware
from service.system.cpu import CPUINFO, cpu_model

logger = logging.getLogger(__name__)

FOLDER = "plans"
PACKAGES = {"litert": "ai-edge-litert", "tensorflow": "tensorflow"}

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the file says. key: what the plan was measured on."""

    key: dict[str, str]
    seconds: dict[int, Seconds]


_ADAPTER = TypeAdapter(_Kept)


@dataclass(frozen=True, slots=True)
class AutotuneCache:
    """key: what is the same where the plan holds. A plan of another key is none, and replaced.

    It saves time and is never needed: what can't be read or written is left alone.
    """

    path: Path
    key: dict[str, str]

    def read(self) -> BatchSizes | None:
        try:
            kept = _ADAPTER.validate_json(self.path.read_bytes())
            return BatchSizes(kept.seconds) if kept.key == self.key else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logger.info("The batch plan in %s is not used: %s", self.path, error)
            return None

    def write(self, plan: BatchSizes) -> None:
        text = _ADAPTER.dump_json(_Kept(self.key, dict(plan.seconds)), indent=1)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self.path, text)
        except OSError as error:
            logger.info("The batch plan is not kept: %s", error)


def autotune_cache(
    home: Path,
    artifact: Artifact,
    engines: Sequence[Engine],
    hardware: Hardware,
    cpuinfo: Path = CPUINFO,
) -> AutotuneCache | None:
    """The file for this artifact on this machine; None for other devices than CPUs, which do
    not say enough of themselves to be known again.
    """
    if not all(engine.device.startswith("cpu") for engine in engines):
        return None
    manifest = artifact.manifest
    files = json.dumps(manifest.files, sort_keys=True).encode()
    key = {
        "artifact": hashlib.sha256(files).hexdigest(),
        "CPU": cpu_model(cpuinfo),
        "system": f"{platform.system()} {platform.release()}",
        "threads": str(hardware.cpu_threads),
        "service": __version__,
        "engine": f"{manifest.engine} {_version(PACKAGES[manifest.engine])}",
    }
    name = artifact_name(manifest.name, manifest.engine, manifest.precision)
    return AutotuneCache(autotune_cache_path(home, name), key)


def autotune_cache_path(home: Path, artifact: str) -> Path:
    """artifact: its `artifact_name`, which its folder has too."""
    return home / FOLDER / f"{artifact}.json"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of another name"
