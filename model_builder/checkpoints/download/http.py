"""Downloads one URL to one file, and resumes where the server supports ranges."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from model_builder.checkpoints.download.config import Deadline, RetryPolicy, without_password
from model_builder.checkpoints.download.retry import Transient, may_pass, retry, retry_after_seconds
from model_builder.errors import FetchFailed
from model_builder.system.progress import transfer

REDIRECT_LIMIT = 10
OK, PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 200, 206, 416

MAY_PASS = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)


def download(
    url: str,
    path: Path,
    *,
    description: str,
    retry_policy: RetryPolicy,
    deadline: Deadline,
    size_bytes: int | None = None,
) -> bool:
    """Downloads `url` to `path`, and resumes from the bytes that are already there.

    size_bytes: for the progress bar, where the server states no length.
    Returns whether the file is made of more than one response. Raises FetchFailed; the bytes
    received by then are kept only if the server supports ranges. A server that sends nothing can
    exceed the deadline by `retry_policy.read_timeout_seconds`.
    """
    with httpx2.Client(follow_redirects=True, max_redirects=REDIRECT_LIMIT) as client:
        job = _Download(client, url, path, description, retry_policy, deadline, size_bytes)
        try:
            retry(job.attempt, retry_policy, deadline, name=without_password(url))
        except FetchFailed:
            if not job.resumable:
                path.unlink(missing_ok=True)
            raise
        return job.resumed


@dataclass(slots=True)
class _Download:
    """One download over its attempts.

    validator: the ETag or date of the bytes in `path`, where this process received one.
    resumable: whether the next attempt may continue. resumed: whether one did.
    """

    client: httpx2.Client
    url: str
    path: Path
    description: str
    retry_policy: RetryPolicy
    deadline: Deadline
    size_bytes: int | None
    furthest_bytes: int = field(init=False)
    validator: str | None = None
    resumable: bool = True
    resumed: bool = False

    def __post_init__(self) -> None:
        self.furthest_bytes = self._received_bytes()

    def attempt(self) -> None:
        """One request for the missing bytes. Raises Transient, FetchFailed."""
        if self.deadline.passed():
            raise FetchFailed(f"{self.deadline} has passed")
        offset = self._received_bytes() if self.resumable else 0
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if self.validator is not None:
                headers["If-Range"] = self.validator
        timeout = httpx2.Timeout(
            min(self.retry_policy.read_timeout_seconds, self.deadline.remaining_seconds()),
            connect=self.retry_policy.connect_timeout_seconds,
        )
        try:
            with self.client.stream("GET", self.url, headers=headers, timeout=timeout) as response:
                self._receive(response, offset)
        except MAY_PASS as error:
            received = self._received_bytes()
            progressed = received > self.furthest_bytes
            self.furthest_bytes = max(received, self.furthest_bytes)
            raise Transient(f"{type(error).__name__}: {error}", progressed=progressed) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise FetchFailed(f"{type(error).__name__}: {error}") from error

    def _receive(self, response: httpx2.Response, offset: int) -> None:
        status, headers = response.status_code, response.headers
        if status == RANGE_NOT_SATISFIABLE and offset:
            if headers.get("Content-Range") == f"bytes */{offset}":
                # The file is complete: a process ended between the last byte and the rename.
                self.resumed = True
                return
            self.path.unlink()
            raise Transient(f"the server has no byte {offset}; starting again")
        if may_pass(status):
            raise Transient(
                f"the server answered {status}", retry_after_seconds=retry_after_seconds(headers)
            )
        if status not in (OK, PARTIAL_CONTENT):
            raise FetchFailed(f"the server answered {status}")
        if status == PARTIAL_CONTENT and _first_byte(headers) != offset:
            self.path.unlink(missing_ok=True)
            raise Transient(
                f"the server sent other bytes than from {offset} on; starting again. "
                f"Received: {headers.get('Content-Range')}"
            )
        if status == OK:
            offset = 0
        encoded = headers.get("Content-Encoding", "identity") != "identity"
        self.resumable = not encoded and (
            status == PARTIAL_CONTENT or headers.get("Accept-Ranges") == "bytes"
        )
        self.resumed = self.resumed or offset > 0
        self.validator = _validator(headers)
        length = headers.get("Content-Length")
        total_bytes = self.size_bytes if length is None or encoded else offset + int(length)
        self._write(response, offset, total_bytes)

    def _write(self, response: httpx2.Response, offset: int, total_bytes: int | None) -> None:
        with (
            self.path.open("ab" if offset else "wb") as file,
            transfer(self.description, total_bytes, offset) as advance,
        ):
            for chunk in response.iter_bytes():
                file.write(chunk)
                advance(len(chunk))
                if self.deadline.passed():
                    of = "" if total_bytes is None else f" of {total_bytes / 1e6:.1f}"
                    raise FetchFailed(
                        f"{file.tell() / 1e6:.1f}{of} MB were received when {self.deadline} passed"
                    )

    def _received_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


def _first_byte(headers: httpx2.Headers) -> int | None:
    match = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _validator(headers: httpx2.Headers) -> str | None:
    """The value for `If-Range`: a strong ETag, else the date."""
    etag: str | None = headers.get("ETag")
    if etag is not None and not etag.startswith("W/"):
        return etag
    date: str | None = headers.get("Last-Modified")
    return date
