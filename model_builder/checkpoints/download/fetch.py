"""Finds or downloads a checkpoint's file: the cache first, then each source. Always verified."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.download.config import Deadline, DownloadConfig
from model_builder.checkpoints.download.sources.npm import TEMPORARY_PREFIX
from model_builder.checkpoints.download.sources.source import Source
from model_builder.errors import FetchFailed, VerificationFailed
from model_builder.system.regular_file import check_regular_file

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A verified file on this machine, and the source that publishes it."""

    path: Path
    source: Source


def fetch(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    given: Path | None = None,
    config: DownloadConfig | None = None,
) -> LocalFile:
    """The checkpoint's file: `given`, else from the cache in `folder`, else from a source.

    Sources are tried in their order. A lock on the checkpoint's folder makes concurrent processes
    download it once. Raises FetchFailed, whose message lists what was tried.
    """
    if given is not None:
        return _given(checkpoint, given)
    config = config or DownloadConfig()
    deadline = Deadline(config.deadline_seconds)
    folder = folder / checkpoint.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=deadline.remaining_seconds()):
            tried: list[str] = []
            return _cached(checkpoint, folder, config, tried) or _fetched(
                checkpoint, folder, config, deadline, tried
            )
    except Timeout as error:
        raise FetchFailed(
            f"Waited {deadline.seconds:g} s for another process with {error.lock_file}."
        ) from error
    except OSError as error:
        raise FetchFailed(f"The cache folder {folder} can't be used: {error}") from error


def _given(checkpoint: Checkpoint, path: Path) -> LocalFile:
    try:
        check_regular_file(path)
    except FileNotFoundError:
        raise FetchFailed(f"There is no file {path}.") from None
    except OSError as error:
        raise FetchFailed(f"{path} can't be read: {error}") from error
    refusals = []
    for source in checkpoint.sources:
        try:
            source.verify(path)
        except VerificationFailed as error:
            refusals.append(str(error))
        else:
            return LocalFile(path, source)
    raise VerificationFailed(f"{path} is no file of {checkpoint.name}. " + " ".join(refusals))


def _cached(
    checkpoint: Checkpoint, folder: Path, config: DownloadConfig, tried: list[str]
) -> LocalFile | None:
    for source in checkpoint.sources:
        for path in source.cached(folder):
            try:
                source.verify(path)
            except VerificationFailed as error:
                tried.append(f"- the cache: {error}")
                if config.offline:
                    continue
                logger.warning("The cached file is damaged and is fetched again: %s", error)
                source.discard(path, folder)
            else:
                return LocalFile(path, source)
    if not tried:
        names = ", ".join(source.file_name for source in checkpoint.sources)
        tried.append(f"- the cache: {folder} has none of {names}")
    return None


def _fetched(
    checkpoint: Checkpoint,
    folder: Path,
    config: DownloadConfig,
    deadline: Deadline,
    tried: list[str],
) -> LocalFile:
    # A process that was killed left these: this one holds the lock.
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for source in checkpoint.sources:
        label = source.label(config)
        try:
            if config.offline:
                raise FetchFailed("not asked: RESNET_OFFLINE is set")
            if deadline.passed():
                raise FetchFailed(f"not asked: {deadline} had passed")
            path = source.fetch(
                folder,
                description=f"Fetching {checkpoint.name}",
                config=config,
                deadline=deadline,
            )
        except FetchFailed as error:
            tried.append(f"- {label}: {error}")
            logger.warning("%s: could not be fetched: %s", label, error)
        else:
            return LocalFile(path, source)
    hints = dict.fromkeys(source.cache_hint for source in checkpoint.sources if source.cache_hint)
    lines = [
        f"No source of {checkpoint.name} gave its file. Tried:",
        *tried,
        " ".join(
            [
                "Fetch one of these files on another machine, and either put it there or name it "
                "with RESNET_CHECKPOINT_FILE=/path/to/file.",
                *hints,
            ]
        ),
    ]
    raise FetchFailed("\n".join(lines))
