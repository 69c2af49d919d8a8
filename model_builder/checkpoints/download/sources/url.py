"""A checkpoint file at a plain URL."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from model_builder.artifact.checksums import verify_checksum
from model_builder.checkpoints.download.config import Deadline, DownloadConfig, without_password
from model_builder.checkpoints.formats.state_dict import StateDict
from model_builder.errors import VerificationFailed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UrlSource:
    """One file at one URL. Format "keras_h5": Keras's legacy HDF5 weights.

    md5: in hexadecimal digits. size_bytes: for the progress bar, where the server states no size.
    """

    url: str
    md5: str
    size_bytes: int | None = None
    format: Literal["keras_h5"] = "keras_h5"

    cache_hint: ClassVar[str] = ""

    @property
    def file_name(self) -> str:
        """The last part of the URL."""
        return self.url.rsplit("/", 1)[1]

    @property
    def address(self) -> str:
        """The URL."""
        return self.url

    def label(self, config: DownloadConfig) -> str:
        """The URL that is fetched, on the mirror if there is one, without its password."""
        return without_password(config.address(self.url))

    def digest(self, path: Path) -> str:  # noqa: ARG002
        """ "md5-" and the published hash."""
        return f"md5-{self.md5}"

    def verify(self, path: Path) -> None:
        """Raises VerificationFailed unless the file has the published md5."""
        verify_checksum(path, "md5", self.md5)

    def cached(self, folder: Path) -> list[Path]:
        """The file in `folder`, if it is there."""
        path = folder / self.file_name
        return [path] if path.is_file() else []

    def discard(self, path: Path, folder: Path) -> None:  # noqa: ARG002
        """Removes the file."""
        path.unlink()

    def fetch(
        self, folder: Path, *, description: str, config: DownloadConfig, deadline: Deadline
    ) -> Path:
        """Downloads the file into `folder`. Raises FetchFailed, VerificationFailed.

        The bytes go to a name that the next process continues from after this one was killed.
        """
        from model_builder.checkpoints.download.http import download

        partial = folder / f".{self.file_name}.partial"
        for last in (False, True):
            resumed = download(
                config.address(self.url),
                partial,
                description=description,
                retry_policy=config.retry_policy,
                deadline=deadline,
                size_bytes=self.size_bytes,
            )
            try:
                self.verify(partial)
            except VerificationFailed as error:
                partial.unlink()
                if last or not resumed:
                    raise
                # The bytes of an earlier process may have been those of another file.
                logger.warning("Fetching it from the start: %s", error)
            else:
                break
        path = folder / self.file_name
        os.replace(partial, path)
        return path

    def read(self, path: Path) -> StateDict:
        """Raises ConversionFailed."""
        from model_builder.checkpoints.formats.readers import READERS

        return READERS[self.format](path)
