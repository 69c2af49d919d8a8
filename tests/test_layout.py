"""The sizes of files and packages: CONTRIBUTING.md."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 250
MAX_MODULES = 12

CODE = sorted(path for name in ("service", "model_builder") for path in (ROOT / name).rglob("*.py"))
# Helpers of tests; a file of tests, or of generated cases, may be longer.
SUPPORT = sorted(
    path
    for path in (ROOT / "tests").rglob("*.py")
    if not path.name.startswith("test_") and "fuzz" not in path.parts
)
# The page's own code: no build step puts it together.
PAGE = sorted(
    path
    for path in (ROOT / "service" / "http" / "static").iterdir()
    if path.suffix in (".js", ".css", ".html")
)


def long_files(paths: list[Path]) -> list[str]:
    """Files of more than MAX_LINES lines, with their number."""
    counted = ((path, len(path.read_text(encoding="utf-8").splitlines())) for path in paths)
    return [f"{path.relative_to(ROOT)}: {lines}" for path, lines in counted if lines > MAX_LINES]


def large_packages(paths: list[Path]) -> list[str]:
    """Packages with more than MAX_MODULES modules beside `__init__`, with their number."""
    modules = Counter(path.parent for path in paths if path.name != "__init__.py")
    return [
        f"{folder.relative_to(ROOT)}: {count}"
        for folder, count in modules.items()
        if count > MAX_MODULES
    ]


@pytest.mark.parametrize("paths", [CODE, SUPPORT, PAGE], ids=["code", "support of tests", "page"])
def test_no_file_is_too_long(paths: list[Path]) -> None:
    assert len(paths) > 20
    assert not long_files(paths)


def test_no_package_has_too_many_modules() -> None:
    assert not large_packages(CODE)


def test_what_is_too_large_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_layout.ROOT", tmp_path)
    paths = [tmp_path / "package" / f"{name}.py" for name in ("__init__", *"abcdefghijklm")]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_text("\n" * MAX_LINES)
    assert large_packages(paths) == ["package: 13"]
    assert not large_packages(paths[:-1])
    assert not long_files(paths)
    paths[0].write_text("\n" * (MAX_LINES + 1))
    assert long_files(paths) == ["package/__init__.py: 251"]


def test_every_folder_with_tests_is_searched_for_them(pytestconfig: pytest.Config) -> None:
    """Pytest's default passes over folders that are called build."""
    skipped = pytestconfig.getini("norecursedirs")
    files = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")]
    names = {part for path in files for part in path.parts[:-1]}
    assert "build" in names
    assert not [name for name in names if any(fnmatch(name, pattern) for pattern in skipped)]
