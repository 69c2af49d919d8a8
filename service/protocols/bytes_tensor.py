"""The elements of a BYTES tensor: each has its length before it, four bytes, little endian.

Triton's extension_binary_data.md; a raw tensor over gRPC has the same form.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from service.errors import MalformedRequest

LENGTH = struct.Struct("<I")


def split_elements(data: memoryview, count: int, name: str) -> list[memoryview]:
    """So many elements, without a copy. name: of the input. Raises MalformedRequest."""
    elements: list[memoryview] = []
    place = 0
    while place < len(data):
        if len(elements) == count:
            raise MalformedRequest(
                f"unexpected number of string elements {count + 1} for inference input '{name}', "
                f"expecting {count}"
            )
        if len(data) - place < LENGTH.size:
            raise MalformedRequest(
                f"incomplete string length indicator for inference input '{name}', expecting "
                f"{LENGTH.size} bytes but only {len(data) - place} bytes available"
            )
        (length,) = LENGTH.unpack_from(data, place)
        place += LENGTH.size
        if length > len(data) - place:
            raise MalformedRequest(
                f"incomplete string data for inference input '{name}', expecting string of length "
                f"{length} but only {len(data) - place} bytes available"
            )
        elements.append(data[place : place + length])
        place += length
    if len(elements) != count:
        raise MalformedRequest(
            f"expected {count} string elements for inference input '{name}', got {len(elements)}"
        )
    return elements


def join_elements(elements: Iterable[bytes]) -> bytes:
    """The tensor of these elements."""
    return b"".join(LENGTH.pack(len(one)) + one for one in elements)
