"""API keys: a file of their hashes, read again when it changes."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from model_builder.system.regular_file import read_regular_file
from service.system.file_watch import FileWatch

logger = logging.getLogger(__name__)

# Some 150,000 keys.
MAX_FILE_BYTES = 16 * 2**20
LINE = re.compile(r"(?P<hash>[0-9a-f]{64})\s+(?P<client>[A-Za-z0-9._-]{1,64})(?P<off>\s+off)?")


class InvalidKeyFile(Exception):
    """The file can't be read, a line of it is no key, or it has no key at all."""


@dataclass(frozen=True, slots=True)
class Client:
    """The owner of a key. off: the key is known and turned off."""

    name: str
    off: bool


def hash_of(key: str) -> str:
    """A key is long and random, so that one round of SHA-256 is enough."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: Path, *, whole: bool = False) -> Mapping[str, Client]:
    """Lines of a key's SHA-256 in hexadecimal, a client's name and perhaps "off"; `#` comments.

    whole: the last line must have its line end, without which it may be cut short.
    Raises InvalidKeyFile.
    """
    try:
        text = read_regular_file(path, MAX_FILE_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidKeyFile(f"{path} can't be read: {error}") from error
    if whole and not text.endswith("\n"):
        raise InvalidKeyFile(f"{path} is empty or cut short: it does not end with a line end.")
    clients = {}
    for number, line in enumerate(text.splitlines(), 1):
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
    if not clients:
        raise InvalidKeyFile(f"{path} has no key. To refuse every client, turn their keys off.")
    return clients


class ApiKeys:
    """The file's clients. Looks at most once a second whether it has changed.

    A changed file that is being written, is empty or cut short, or can't be read leaves the keys
    as they were, and is logged. Raises InvalidKeyFile where the first reading fails.

    clock: monotonic. wall_clock: that of the files' times. Both in seconds.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._watch = FileWatch((path,), clock, wall_clock)
        self._clients = read_keys(path)
        logger.info("%d API keys from %s", len(self._clients), path)

    def client(self, key: str) -> Client | None:
        """The client that the key belongs to; None for an unknown key."""
        self._poll()
        return self._clients.get(hash_of(key))

    def _poll(self) -> None:
        states = self._watch.changed()
        if states is None:
            return
        clients, problem = None, None
        try:
            clients = read_keys(self._path, whole=True)
        except InvalidKeyFile as error:
            problem = error
        if not self._watch.accept(states):
            return
        if clients is None:
            logger.error("The API keys stay as they were. %s", problem)
            return
        self._clients = clients
        logger.info("%d API keys from %s, which has changed", len(clients), self._path)
