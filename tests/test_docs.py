"""Tables, links and paths in the documents agree with the code and the files."""

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
MODULE = re.compile(
    r"`((?:service|model_builder|tests|docs|deploy|examples|benchmarks|requirements)/[\w/.-]+)`"
)
DECISIONS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
RECORD = ["Context", "Decision", "Consequences"]


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
def test_links_have_targets(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    for target in MODULE.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_a_decision_record_has_its_sections_and_is_in_the_index(page: Path) -> None:
    record = page.read_text(encoding="utf-8")
    assert record.startswith(f"# {page.name[:4]} ")
    assert re.findall(r"^## (.+)$", record, re.MULTILINE) in (RECORD, [*RECORD, "Figures"])
    assert f"]({page.name})" in text("docs/decisions/README.md")


def test_decision_records_are_numbered_without_gaps() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_the_readme_links_every_document(page: Path) -> None:
    assert f"](docs/{page.name})" in text("README.md")


def test_the_readme_has_five_settings_with_their_defaults() -> None:
    rows = re.findall(r"^\| `RESNET_(\w+)` \|\s*(.*?)\s*\|", text("README.md"), re.MULTILINE)
    assert len(rows) == 5
    for name, stated in rows:
        default = Settings.fields()[name.lower()].default
        assert stated == ("" if default is None else f"`{default}`")


def test_capacity_says_when_not_to_use_this() -> None:
    assert "## When not to use this\n" in text("docs/capacity.md")
    assert "](threads.svg)" in text("docs/architecture.md")


def test_the_readme_is_short() -> None:
    assert len(text("README.md").splitlines()) < 120
