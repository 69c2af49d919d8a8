"""The certificate of the listeners: two files, read again when they change."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model_builder.system.regular_file import read_regular_file
from service.system.file_watch import FileWatch

logger = logging.getLogger(__name__)

MAX_FILE_BYTES = 2**20


class InvalidCertificate(Exception):
    """A file can't be read, or the key is not that of the certificate."""


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """chain, key: PEM. context: with both, for one handshake or many."""

    chain: bytes
    key: bytes
    context: ssl.SSLContext


class Certificate:
    """Looks at most once a second whether the files have changed. For any thread.

    Files that are being written, don't belong together or can't be read change nothing, and are
    logged. Raises InvalidCertificate where the first reading fails.

    clock: monotonic. wall_clock: that of the files' times. Both in seconds.
    """

    def __init__(
        self,
        cert_file: Path,
        key_file: Path,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._files = cert_file, key_file
        self._lock = threading.Lock()
        self._watch = FileWatch(self._files, clock, wall_clock)
        self._identity = self._read()

    def current(self) -> Identity:
        """For the next handshake."""
        with self._lock:
            self._poll()
            return self._identity

    def context(self) -> ssl.SSLContext:
        """One for a listener: each handshake has the certificate of that time."""

        def select(connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
            connection.context = self.current().context

        made = self._read().context
        made.sni_callback = select
        return made

    def _poll(self) -> None:
        states = self._watch.changed()
        if states is None:
            return
        identity, problem = None, None
        try:
            identity = self._read()
        except InvalidCertificate as error:
            problem = error
        if not self._watch.accept(states):
            return
        if identity is None:
            logger.error("The certificate stays as it was. %s", problem)
            return
        self._identity = identity
        logger.info("A new certificate from %s", self._files[0])

    def _read(self) -> Identity:
        cert_file, key_file = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        try:
            chain, key = (read_regular_file(one, MAX_FILE_BYTES) for one in self._files)
            # Without a password, which OpenSSL would ask the terminal for.
            context.load_cert_chain(cert_file, key_file, password=lambda: b"")
        except (OSError, ValueError) as error:
            raise InvalidCertificate(
                f"{cert_file} with {key_file} can't be used: {error}"
            ) from None
        return Identity(chain, key, context)
