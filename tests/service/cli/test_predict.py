"""The table of `resnet predict`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli.commands.predict import _predict_all, _print_table
from service.inference.model import Model
from service.inference.outputs import ClassScore
from service.inference.service import InferenceService
from tests.service.conftest import MakeModel


def test_a_label_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich reads brackets in a string as markup, and [/b] alone as an error in it."""
    scores = (
        ClassScore(0, "", "[/b] tulip", 0.75),
        ClassScore(1, "", "[red] rose", 0.25),
    )
    _print_table([Path("[bold].jpg")], [scores])
    printed = capsys.readouterr().out
    assert "[bold].jpg" in printed
    assert "[/b] tulip" in printed
    assert "[red] rose" in printed


def test_a_pipe_is_not_waited_for(
    make_model: MakeModel, service_of: Callable[[Model], InferenceService], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "photo.jpg")
    service = service_of(make_model("resnet18.a"))
    (said,) = asyncio.run(_predict_all(service, [tmp_path / "photo.jpg"], None))
    assert said == f"{tmp_path / 'photo.jpg'} is a pipe, not a file"
