"""Hashes of files, and their comparison with published hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from model_builder.errors import VerificationFailed

CHUNK_BYTES = 1 << 20


def checksum(path: Path, algorithm: str) -> str:
    """The file's hash in hexadecimal. algorithm: a name of `hashlib`, such as "sha256"."""
    running = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            running.update(chunk)
    return running.hexdigest()


def verify_checksum(path: Path, algorithm: str, expected: str) -> None:
    """Raises VerificationFailed unless the file has the hash `expected`, in hexadecimal."""
    received = checksum(path, algorithm)
    if received != expected:
        raise VerificationFailed(
            f"{path.name} is not the published file: expected {algorithm} {expected}. "
            f"Received: {received} ({path.stat().st_size} bytes)"
        )
