"""What runs within the processes that decode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def before_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has the processes that decode run this first, as Python runs a file of that name."""

    def write(script: str) -> None:
        (tmp_path / "sitecustomize.py").write_text(script)
        monkeypatch.syspath_prepend(str(tmp_path))

    return write
