"""What the files of users may take to read: small ones can unpack to gigabytes."""

from __future__ import annotations

import json
from typing import Any

from model_builder.errors import ConversionFailed

# Four times a ResNet-152. A file that unpacks to more is broken or malicious.
FILE_BYTES_LIMIT = 1 << 30
# Of a network's JSON, twenty times a ResNet-152's. Parsed, it may take twenty times as much again.
JSON_BYTES_LIMIT = 16 << 20


class ByteBudget:
    """The bytes that all tensors of one file may take together."""

    def __init__(self, file: str, limit_bytes: int = FILE_BYTES_LIMIT) -> None:
        self._file = file
        self._limit_bytes = self.left_bytes = limit_bytes

    def take(self, what: str, size_bytes: int) -> None:
        """Call it before anything of that size is allocated. Raises ConversionFailed."""
        self.left_bytes -= size_bytes
        if self.left_bytes < 0:
            taken_bytes = self._limit_bytes - self.left_bytes
            raise ConversionFailed(
                f"{self._file} is too large for a ResNet: its tensors may take "
                f"{self._limit_bytes} bytes. Received: {taken_bytes} bytes up to {what}"
            )


def parse_json(text: str | bytes, what: str) -> Any:
    """Raises ConversionFailed where it is too long, and ValueError where it is no JSON."""
    if len(text) > JSON_BYTES_LIMIT:
        raise ConversionFailed(
            f"{what} may have {JSON_BYTES_LIMIT} bytes. Received: {len(text)} bytes"
        )
    return json.loads(text)
