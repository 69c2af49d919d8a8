"""Artifacts and a reference network from the published weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from model_builder.artifact.manifest import Artifact, Precision
from model_builder.build.cache import ArtifactCache
from model_builder.checkpoints.download.fetch import LocalFile
from service.engines.base import Hardware
from service.engines.registry import engine_for
from tests.golden.reference import MODEL, keras_network


@pytest.fixture(scope="session")
def artifact(published: LocalFile, home: Path) -> Callable[[Precision, str], Artifact]:
    """ResNet-50 in a precision for an engine, built if it is not in the cache."""
    store = ArtifactCache(home)

    @cache
    def obtain(precision: Precision, engine: str) -> Artifact:
        target = engine_for(precision, Hardware("cpu", 1), engine=engine).target(precision)
        return store.obtain(MODEL, target, checkpoint_file=published.path)

    return obtain


@pytest.fixture(scope="session")
def reference(published: LocalFile) -> Any:
    """The network of keras.applications."""
    return keras_network(published)
