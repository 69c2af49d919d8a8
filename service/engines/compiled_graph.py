"""A network's graph as OpenVINO compiled it, kept for the next start on the same machine."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_builder.artifact.manifest import Artifact, artifact_name
from model_builder.system.atomic_write import atomic_write
from model_builder.system.regular_file import read_regular_file
from service.system.cpu import cpu_model

logger = logging.getLogger(__name__)

MAX_BYTES = 1 << 26
HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class CompiledGraph:
    """The file of one artifact: a sha256 of `key` and graph, then the graph, without the weights.

    path: None keeps nothing. key: everything that the graph depends on. The file only saves time:
    one of another key, a damaged one, and one that can't be read or written are ignored.
    """

    path: Path | None
    key: bytes

    def read(self) -> bytes | None:
        if self.path is None:
            return None
        try:
            content = read_regular_file(self.path, MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.info("The compiled graph is not used: %s", error)
            return None
        expected, graph = content[:HASH_BYTES], content[HASH_BYTES:]
        return graph if expected == self._hash(graph) else None

    def write(self, graph: bytes) -> None:
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self.path, self._hash(graph) + graph)
        except OSError as error:
            logger.info("The compiled graph is not kept: %s", error)

    def _hash(self, graph: bytes) -> bytes:
        return hashlib.sha256(self.key + graph).digest()


def compiled_graph(
    artifact: Artifact,
    cache: Path | None,
    *,
    openvino_version: str,
    properties: Mapping[str, object],
) -> CompiledGraph:
    """cache: the folder of such files. properties: those that it is compiled with."""
    manifest = artifact.manifest
    # A graph may have what one CPU computes in, and another one does not.
    key = [openvino_version, cpu_model(), properties, manifest.files]
    name = artifact_name(manifest.name, manifest.engine, manifest.precision)
    path = None if cache is None else graph_path(cache, name)
    return CompiledGraph(path, json.dumps(key, sort_keys=True).encode())


def graph_path(cache: Path, artifact: str) -> Path:
    """artifact: the name of its folder, `artifact_name`."""
    return cache / f"{artifact}.graph"
