"""The published weights, from the cache that the service uses."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from model_builder.artifact import Artifact, Precision
from model_builder.errors import FetchFailed
from model_builder.sources import LocalFile
from model_builder.store import Store
from service.settings import Settings
from tests.golden.reference import MODEL, checkpoint_file, keras_network


@pytest.fixture(scope="session")
def published() -> LocalFile:
    """The checkpoint's file, fetched if it is not in the cache."""
    try:
        return checkpoint_file()
    except FetchFailed as error:
        # Weights that can't be had are no reason to pass: only a laptop may go without.
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def artifact(published: LocalFile) -> Callable[[Precision], Artifact]:
    """ResNet-50 in a precision, built if it is not in the cache."""
    store = Store(Settings().home)

    @cache
    def obtain(precision: Precision) -> Artifact:
        return store.obtain(MODEL, precision, checkpoint_file=published.path)

    return obtain


@pytest.fixture(scope="session")
def reference(published: LocalFile) -> Any:
    """The network of keras.applications."""
    return keras_network(published)
