"""A safetensors file on the Hugging Face hub, fetched by huggingface_hub into its own cache.

huggingface_hub reads its environment variables when it is imported.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import ClassVar, Literal

from model_builder.artifact.checksums import checksum, verify_checksum
from model_builder.checkpoints.download.config import Deadline, DownloadConfig
from model_builder.checkpoints.formats.state_dict import StateDict
from model_builder.errors import FetchFailed, VerificationFailed

logger = logging.getLogger(__name__)

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubSource:
    """A safetensors file in a repository of the Hugging Face hub.

    revision: the commit that the row was checked at. sha256: None where no publisher states it;
    the file is then verified against the hub's ETag, which for a large file is its sha256.
    Format "torch": names of torchvision's and timm's state dicts; "transformers": those of
    transformers' ResNetForImageClassification.
    """

    repository: str
    file: str
    format: Literal["torch", "transformers"]
    revision: str = "main"
    sha256: str | None = None
    size_bytes: int | None = None

    cache_hint: ClassVar[str] = "The hub's cache can be copied too: see HF_HOME."

    @property
    def file_name(self) -> str:
        """The last part of the file's path."""
        return self.file.rsplit("/", 1)[-1]

    @property
    def address(self) -> str:
        """The file's URL, at the endpoint that HF_ENDPOINT names."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.repository, self.file, revision=self.revision)

    def label(self, config: DownloadConfig) -> str:  # noqa: ARG002
        """The file's URL."""
        return self.address

    def digest(self, path: Path) -> str:
        """ "sha256-" and the published hash, or the file's where the row states none."""
        return f"sha256-{self.sha256 or checksum(path, 'sha256')}"

    def verify(self, path: Path) -> None:
        """Raises VerificationFailed unless the file has the sha256 of the row or of the hub."""
        expected = self._published_sha256(path)
        if expected is None:
            raise VerificationFailed(
                f"{path.name} can't be verified: the catalog states no sha256 of it, and only in "
                f"the hub's cache is the file named by its hash. Received: {path}"
            )
        verify_checksum(path, "sha256", expected)

    def cached(self, folder: Path) -> list[Path]:
        """The file in `folder`, and the one in the hub's cache.

        Each is left out where its hash can't be known without the hub.
        """
        from huggingface_hub import try_to_load_from_cache

        ours = folder / self.file_name
        paths = [ours] if self.sha256 and ours.is_file() else []
        found = try_to_load_from_cache(self.repository, self.file, revision=self.revision)
        if isinstance(found, str) and self._published_sha256(Path(found)) is not None:
            paths += [Path(found)] if Path(found).is_file() else []
        return paths

    def discard(self, path: Path, folder: Path) -> None:
        """Removes a file; of the hub's cache the link and its target."""
        if path.parent == folder:
            path.unlink()
        else:
            _remove_from_hub_cache(path)

    def fetch(
        self,
        folder: Path,  # noqa: ARG002
        *,
        description: str,
        config: DownloadConfig,
        deadline: Deadline,
    ) -> Path:
        """Downloads the file into the hub's cache. Raises FetchFailed, VerificationFailed."""
        from huggingface_hub import is_offline_mode

        from model_builder.checkpoints.download.retry import retry

        # The library's own handler would print every line twice, and never as JSON.
        logging.getLogger("huggingface_hub").handlers.clear()
        if is_offline_mode():
            raise FetchFailed("not asked: HF_HUB_OFFLINE is set")

        def work() -> Path:
            return retry(
                lambda: _attempt(self, description),
                config.retry_policy,
                deadline,
                name=self.address,
            )

        return _within(deadline, work)

    def read(self, path: Path) -> StateDict:
        """Raises ConversionFailed."""
        from model_builder.checkpoints.formats.readers import READERS

        return READERS[self.format](path)

    def _published_sha256(self, path: Path) -> str | None:
        """The hash that the file must have: the row's, or the hub's.

        The hub's cache names a large file by its ETag, which is its sha256, and links to it.
        """
        name = Path(os.readlink(path)).name if path.is_symlink() else path.name
        return self.sha256 or (name if SHA256.fullmatch(name) else None)


def _remove_from_hub_cache(path: Path) -> None:
    """Removes the link and its target."""
    damaged = path.resolve()
    path.unlink(missing_ok=True)
    damaged.unlink(missing_ok=True)


def _attempt(source: HubSource, description: str) -> Path:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    from model_builder.checkpoints.download.retry import (
        Transient,
        may_pass,
        retry_after_seconds,
    )

    try:
        return _download(source, description)
    except HfHubHTTPError as error:
        status = error.response.status_code
        reason = f"the hub answered {status}: {' '.join(str(error).split())}"
        if may_pass(status):
            asked = retry_after_seconds(error.response.headers)
            raise Transient(reason, retry_after_seconds=asked) from error
        raise FetchFailed(reason) from error
    except (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
        raise Transient(f"{type(error).__name__}: {error}") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        raise FetchFailed(f"{type(error).__name__}: {error}") from error


def _download(source: HubSource, description: str) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download

    # A request of its own, so that our retry policy decides when an unreachable hub has failed:
    # hf_hub_download takes up to six minutes.
    promised = get_hf_file_metadata(source.address)
    expected = _agreed_sha256(source, promised.etag)
    size = "" if promised.size is None else f" ({promised.size / 1e6:.1f} MB)"
    logger.info("%s from the hub%s", description, size)
    for last in (False, True):
        path = Path(hf_hub_download(source.repository, source.file, revision=source.revision))
        try:
            verify_checksum(path, "sha256", expected)
        except VerificationFailed as error:
            # The library compares sizes only, and would return the same file again.
            _remove_from_hub_cache(path)
            if last:
                raise
            logger.warning("The hub's file is damaged and is fetched again: %s", error)
        else:
            break
    return path


def _agreed_sha256(source: HubSource, etag: str | None) -> str:
    if etag is None or not SHA256.fullmatch(etag):
        if source.sha256 is None:
            raise VerificationFailed(
                f"the hub states no sha256 of {source.file}, nor does the catalog. "
                f"Received: ETag {etag}"
            )
        return source.sha256
    if source.sha256 not in (None, etag):
        raise VerificationFailed(
            f"the hub has another {source.file}: expected sha256 {source.sha256}. Received: {etag}"
        )
    return etag


def _within(deadline: Deadline, work: Callable[[], Path]) -> Path:
    """The result of `work`. Raises FetchFailed at the deadline; the library takes none.

    A download that runs past the deadline goes on in its daemon thread, into a file that no other
    process uses, and ends with the process.
    """
    future: Future[Path] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name="hub", daemon=True).start()
    try:
        return future.result(deadline.remaining_seconds())
    except FutureTimeout:
        raise FetchFailed(f"the file was not received when {deadline} passed") from None
