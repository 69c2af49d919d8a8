"""What the latency of an artifact's batches depends on."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from model_builder.artifact.manifest import Artifact
from service.engines.base import Hardware
from service.engines.registry import EngineSpec
from service.system.cpu import CPUINFO, cpu_model
from service.version import __version__


def measured_on(
    artifact: Artifact, spec: EngineSpec, hardware: Hardware, cpuinfo: Path = CPUINFO
) -> dict[str, str]:
    """Everything that the latency of an artifact's batches depends on."""
    files = json.dumps(artifact.manifest.files, sort_keys=True).encode()
    return {
        "artifact": hashlib.sha256(files).hexdigest(),
        "cpu": cpu_model(cpuinfo),
        "system": f"{platform.system()} {platform.release()}",
        "threads": str(hardware.cpu_threads),
        "service": __version__,
        "engine": f"{artifact.manifest.engine} {_version(spec.package)}",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of another name"
