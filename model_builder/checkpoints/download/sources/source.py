"""What every source of a checkpoint file can do."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from model_builder.checkpoints.download.config import Deadline, DownloadConfig
from model_builder.checkpoints.formats.state_dict import CheckpointFormat, StateDict


class Source(Protocol):
    """One place that publishes a checkpoint file: a frozen dataclass, which pickles.

    The classes import HTTP clients and readers in their methods: most starts need none of them.
    """

    @property
    def format(self) -> CheckpointFormat:
        """The format of the file."""

    @property
    def file_name(self) -> str:
        """The name of the file in a checkpoint's cache folder."""

    @property
    def address(self) -> str:
        """Where the file is published, for the manifest."""

    @property
    def cache_hint(self) -> str:
        """A sentence on another cache that the operator may fill; empty where there is none."""

    def label(self, config: DownloadConfig) -> str:
        """The server or tool that is asked for the file, for messages, without passwords."""

    def digest(self, path: Path) -> str:
        """The hash that a verified file has: "md5-", "sha256-" or "sha512-" and its value."""

    def verify(self, path: Path) -> None:
        """Raises VerificationFailed unless the file has the published hash."""

    def cached(self, folder: Path) -> list[Path]:
        """Files on this machine that may be this source's, unverified: those in `folder` first."""

    def discard(self, path: Path, folder: Path) -> None:
        """Removes a damaged file that `cached(folder)` returned."""

    def fetch(
        self, folder: Path, *, description: str, config: DownloadConfig, deadline: Deadline
    ) -> Path:
        """Downloads and verifies the file, to `folder` or the source's own cache.

        The caller holds the lock on `folder`. Raises FetchFailed, VerificationFailed.
        """

    def read(self, path: Path) -> StateDict:
        """The tensors of a file of this source. Raises ConversionFailed."""
