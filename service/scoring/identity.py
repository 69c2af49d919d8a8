"""What a job's rows depend on, kept with them: a run that differs is refused."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from model_builder.artifact.manifest import Artifact
from service.scoring.errors import OutputMismatch
from service.scoring.filesystem import without_credentials
from service.version import __version__

FORMAT = 1
# Of another run they may differ: its rows go with the others.
INFORMATION = ("versions", "rows", "complete")


def model_record(artifact: Artifact) -> dict[str, Any]:
    """The model by name, by the digest of its published weights and by that of the artifact's
    files, and its preprocessing. JSON.
    """
    manifest = artifact.manifest
    files = json.dumps(manifest.files, sort_keys=True).encode()
    return {
        "model": manifest.name,
        "digest": manifest.provenance.digest,
        "artifact": f"sha256-{hashlib.sha256(files).hexdigest()}",
        "engine": manifest.engine,
        "precision": manifest.precision,
        "recipe": json.loads(json.dumps(asdict(manifest.preprocessing))),
        "versions": {
            "resnet-server": __version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in ("openvino", "pillow", "pyarrow")},
            **{f"built with {name}": one for name, one in manifest.versions.items()},
        },
    }


def job_record(
    model: Mapping[str, Any], *, source: str, sample: float | None, shard: tuple[int, int]
) -> dict[str, Any]:
    """The record of a job. source: the input as it was given. shard: its number, from 0, of all.

    The limit is not part of it: a job may go on with more images.
    """
    number, shards = shard
    return {
        "format": FORMAT,
        **model,
        "input": without_credentials(source),
        "sample": sample,
        "shard": f"{number + 1}/{shards}",
    }


def check_same(found: Mapping[str, Any], wanted: Mapping[str, Any], output: str) -> None:
    """Raises OutputMismatch with what differs."""
    names = [*dict.fromkeys([*wanted, *found])]
    differing = [
        f"{name} was {json.dumps(found.get(name))}, and is {json.dumps(wanted.get(name))}"
        for name in names
        if name not in INFORMATION and found.get(name) != wanted.get(name)
    ]
    if differing:
        raise OutputMismatch(
            f"{output} holds rows of another job: {'; '.join(differing)}. Give the same options to "
            "continue it, or another output."
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
