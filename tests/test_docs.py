"""What the documents say of settings, models and files is what the code and the tree have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.tables import MARK, checkpoints_table, setting_row, settings_tables
from model_builder.networks.config import DEPTHS
from service.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
MODULE = re.compile(r"`((?:service|model_builder|tests|docs|deploy|examples)/[\w/.-]+)`")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.fields())
def test_every_setting_has_its_row(name: str) -> None:
    assert setting_row(name) in text("docs/configuration.md")


@pytest.mark.parametrize(
    ("page", "name", "content"),
    [
        ("docs/configuration.md", "settings", settings_tables()),
        ("docs/models.md", "checkpoints", checkpoints_table()),
    ],
)
def test_the_tables_are_those_of_the_code(page: str, name: str, content: str) -> None:
    mark = MARK.format(name)
    assert mark + content + mark in text(page)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_readme_names_every_depth(depth: int) -> None:
    assert str(depth) in text("README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    for target in MODULE.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
