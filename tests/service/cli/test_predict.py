"""The table of `resnet predict`."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.cli.commands.predict import _print_table
from service.inference.outputs import ClassScore


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
