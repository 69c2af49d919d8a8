"""Tests have a cache of their own, and take from the user's without changing it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from service.settings import Settings
from tests.home import HOME, copy_downloads, users_home


def state(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}


def test_the_service_and_its_processes_use_the_tests_cache(users_cache: Path) -> None:
    assert Settings().model.home == users_home() == HOME
    assert users_cache != HOME
    listed = subprocess.run(
        [sys.executable, "-c", "from service.settings import *; print(Settings().model.home)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert Path(listed.stdout.strip()) == HOME


def test_a_download_of_the_user_is_copied_once_and_left_as_it_was(tmp_path: Path) -> None:
    users, home = tmp_path / "users", tmp_path / "home"
    folder = users / "checkpoints" / "resnet50.test"
    folder.mkdir(parents=True)
    (folder / "weights.h5").write_bytes(b"published")
    (folder / ".lock").touch()
    before = state(users)
    copy_downloads(users, "resnet50.test", home)
    copied = home / "checkpoints" / "resnet50.test"
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == {
        "weights.h5": b"published"
    }
    (copied / "weights.h5").write_bytes(b"another")
    copy_downloads(users, "resnet50.test", home)
    assert (copied / "weights.h5").read_bytes() == b"another"
    assert state(users) == before
    assert (folder / "weights.h5").read_bytes() == b"published"


def test_what_the_user_has_not_fetched_is_not_copied(tmp_path: Path) -> None:
    copy_downloads(tmp_path / "users", "resnet50.test", tmp_path / "home")
    assert not (tmp_path / "users").exists()
    assert not (tmp_path / "home" / "checkpoints").exists()
