"""The cache folder of the tests, in place of the user's.

It lies in the working tree and stays between runs, so that weights are fetched and artifacts are
built once.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

HOME = Path(__file__).parents[1] / "build" / "test-home"
VARIABLE = "RESNET_HOME"


def users_home() -> Path:
    """The cache that the service would use."""
    return Path(os.environ.get(VARIABLE) or user_cache_path("resnet-server"))


def copy_downloads(users: Path, checkpoint: str, home: Path = HOME) -> None:
    """Takes a checkpoint's published file from the user's cache, where only that has it.

    Nothing is trusted: `fetch` verifies what it finds.
    """
    source, target = (folder / "checkpoints" / checkpoint for folder in (users, home))
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / "copy.lock", timeout=600):
        if target.exists() or not source.is_dir():
            return
        made = home / f"{checkpoint}.copying"
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(source, made, symlinks=True, ignore=shutil.ignore_patterns(".*"))
        target.parent.mkdir(exist_ok=True)
        made.rename(target)
