"""Files of the Hugging Face hub, by its own library: its cache, its variables, its tokens.

huggingface_hub is imported when it is first needed: it reads its variables then, and most starts
need none of it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from threading import Thread

from model_builder.artifact.checksums import verify_checksum
from model_builder.checkpoints.catalog import HubSource
from model_builder.checkpoints.download.config import Deadline, RetryPolicy
from model_builder.checkpoints.download.retry import Transient, may_pass, retry, retry_after_seconds
from model_builder.errors import FetchFailed, VerificationFailed

logger = logging.getLogger(__name__)

SHA256 = re.compile(r"[0-9a-f]{64}")


def address(source: HubSource) -> str:
    """The file's URL, at the endpoint that HF_ENDPOINT names."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(source.repository, source.file, revision=source.revision)


def cached(source: HubSource) -> Path | None:
    """The file in the hub's cache, unverified; None too where its hash can't be known offline."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.repository, source.file, revision=source.revision)
    if not isinstance(found, str) or published_sha256(source, Path(found)) is None:
        return None
    return Path(found)


def published_sha256(source: HubSource, path: Path) -> str | None:
    """What the file's hash must be: the catalogue's word, or the hub's.

    The hub's cache names a large file by its ETag, which is its sha256, and links to it.
    """
    name = Path(os.readlink(path)).name if path.is_symlink() else path.name
    return source.sha256 or (name if SHA256.fullmatch(name) else None)


def discard(path: Path) -> None:
    """Takes a damaged file out of the hub's cache: the link and what it leads to."""
    damaged = path.resolve()
    path.unlink(missing_ok=True)
    damaged.unlink(missing_ok=True)


def fetch(
    source: HubSource, *, description: str, retry_policy: RetryPolicy, deadline: Deadline
) -> Path:
    """The file in the hub's cache, verified. Raises FetchFailed, VerificationFailed."""
    from huggingface_hub import is_offline_mode

    # Its own handler would print every line once more, and none of them as JSON.
    logging.getLogger("huggingface_hub").handlers.clear()
    if is_offline_mode():
        raise FetchFailed("not asked: HF_HUB_OFFLINE is set")

    def work() -> Path:
        return retry(
            lambda: _attempt(source, description), retry_policy, deadline, name=address(source)
        )

    return _within(deadline, work)


def _attempt(source: HubSource, description: str) -> Path:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

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

    # Asked for by itself, so that a hub out of reach is given up with our patience; in
    # hf_hub_download that takes up to six minutes.
    promised = get_hf_file_metadata(address(source))
    expected = _agreed_sha256(source, promised.etag)
    size = "" if promised.size is None else f" ({promised.size / 1e6:.1f} MB)"
    logger.info("%s from the hub%s", description, size)
    for last in (False, True):
        path = Path(hf_hub_download(source.repository, source.file, revision=source.revision))
        try:
            verify_checksum(path, "sha256", expected)
        except VerificationFailed as error:
            # The library checks sizes alone, and would hand the same file out again.
            discard(path)
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
                f"the hub states no sha256 of {source.file} and nobody else does. "
                f"Received: ETag {etag}"
            )
        return source.sha256
    if source.sha256 not in (None, etag):
        raise VerificationFailed(
            f"the hub has another {source.file}: expected sha256 {source.sha256}. Received: {etag}"
        )
    return etag


def _within(deadline: Deadline, work: Callable[[], Path]) -> Path:
    """What `work` returns, or FetchFailed at the deadline, of which the library has no notion.

    What is then still under way is left to itself: it writes to a file of its own name, and ends
    with the process.
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
        raise FetchFailed(f"the file had not come when {deadline} passed") from None
