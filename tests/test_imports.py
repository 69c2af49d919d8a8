"""The modules that imports load, in a new interpreter."""

from __future__ import annotations

import pytest

from tests.interpreter import modules_after


@pytest.mark.parametrize(
    "module",
    [
        "service.http.app",
        "service.http.server",
        "service.batching.batcher",
        "service.imaging.decoder",
        "model_builder.build.cache",
    ],
)
def test_importing_loads_no_framework(module: str) -> None:
    loaded = modules_after(f"import {module}")
    assert module in loaded
    assert not loaded & {"tensorflow", "keras", "h5py"}


def test_a_start_imports_no_more_than_it_needs() -> None:
    """Libraries of other commands and of downloads are not imported."""
    loaded = modules_after("from service.cli.main import main; import service.cli.commands.serve")
    assert "service.http.server" in loaded
    assert not loaded & {"service.cli.commands.describe", "httpx2", "huggingface_hub", "tenacity"}
    assert "rich" not in loaded


def test_progress_that_no_terminal_shows_imports_nothing_that_draws() -> None:
    loaded = modules_after(
        "from model_builder.system.progress import counted, step, transfer\n"
        "for shown in (step('a'), counted('b', 1), transfer('c', 1)):\n"
        "    with shown: pass"
    )
    assert "model_builder.system.progress" in loaded
    assert "rich" not in loaded


def test_the_builder_does_not_know_the_service() -> None:
    loaded = modules_after("import model_builder.build.builder")
    assert "keras" in loaded
    assert not {name for name in loaded if name.split(".")[0] == "service"}


@pytest.mark.parametrize(
    "module",
    [
        "service.batching.batcher",
        "service.imaging.decoder",
        "service.errors",
    ],
)
def test_the_domain_does_not_know_http(module: str) -> None:
    assert not modules_after(f"import {module}") & {"fastapi", "starlette", "uvicorn"}
