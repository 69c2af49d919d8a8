"""API keys: a file of their hashes, read again when it changes."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
LINE = re.compile(r"(?P<hash>[0-9a-f]{64})\s+(?P<client>[A-Za-z0-9._-]{1,64})(?P<off>\s+off)?")


class InvalidKeyFile(Exception):
    """The file can't be read, or a line of it is no key."""


@dataclass(frozen=True, slots=True)
class Client:
    """The owner of a key. off: the key is known and turned off."""

    name: str
    off: bool


def hash_of(key: str) -> str:
    """A key is long and random, so that one round of SHA-256 is enough."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: Path) -> Mapping[str, Client]:
    """Lines of a key's SHA-256 in hexadecimal, a client's name and perhaps "off"; `#` comments.

    Raises InvalidKeyFile.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidKeyFile(f"{path} can't be read: {error}") from error
    clients = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        match = LINE.fullmatch(words)
        if match is None:
            # Not the line itself: it may hold a key in plain text.
            raise InvalidKeyFile(
                f"{path}, line {number}: expected a SHA-256 in hexadecimal, a name, perhaps 'off'. "
                f"Received: {len(words)} characters"
            )
        clients[match["hash"]] = Client(match["client"], match["off"] is not None)
    return clients


class ApiKeys:
    """The file's clients. Looks at most once a second whether it has changed.

    A changed file that can't be read is logged, and the keys stay as they were. Raises
    InvalidKeyFile where the first reading fails.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._looked = clock()
        self._seen = self._state()
        self._clients = read_keys(path)
        logger.info("%d API keys from %s", len(self._clients), path)

    def client(self, key: str) -> Client | None:
        """The client that the key belongs to; None for an unknown key."""
        now = self._clock()
        if now - self._looked >= POLL_SECONDS:
            self._looked = now
            self._poll()
        return self._clients.get(hash_of(key))

    def _poll(self) -> None:
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            self._clients = read_keys(self._path)
        except InvalidKeyFile as error:
            logger.error("The API keys stay as they were. %s", error)
            return
        logger.info("%d API keys from %s, which has changed", len(self._clients), self._path)

    def _state(self) -> tuple[int, int, int] | None:
        """What changes when the file does, by writing to it or by putting another in its place."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
