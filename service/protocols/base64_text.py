"""Images in base64, decoded piece by piece: RFC 4648, both alphabets, padding optional."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable

from service.errors import MalformedRequest
from service.fairness.paced import pause
from service.protocols.json_text import LongText

PIECE_CHARACTERS = 64 * 1024
PIECES_AT_ONCE = 2
MAX_PADDING = 2
ALPHABET = re.compile(rb"[A-Za-z0-9+/]*")
DATA_URL = re.compile(r"data:[a-z0-9+./-]{0,100};base64,", re.IGNORECASE)
URL_SAFE = bytes.maketrans(b"-_", b"+/")
# Of a slash, in a string that was not unescaped; MIME's, in one that was.
ESCAPES, LINE_ENDS = b"\\", b" \t\r\n"


async def decode_base64(text: LongText | str, take: Callable[[bytes], None]) -> None:
    """Gives the bytes to `take`, piece by piece. Raises MalformedRequest, and what `take` raises.

    MIME's line ends are ignored.
    """
    data, ignored = (
        (text.data, ESCAPES) if isinstance(text, LongText) else (_ascii(text), LINE_ENDS)
    )
    last = bytes(data[-MAX_PADDING:])
    padding = len(last) - len(last.rstrip(b"="))
    end = len(data) - padding
    rest, characters = b"", 0
    for index, start in enumerate(range(0, end, PIECE_CHARACTERS)):
        piece = bytes(data[start : min(end, start + PIECE_CHARACTERS)]).translate(URL_SAFE, ignored)
        if not ALPHABET.fullmatch(piece):
            raise _not_base64()
        characters += len(piece)
        piece = rest + piece
        whole = len(piece) // 4 * 4
        take(binascii.a2b_base64(piece[:whole]))
        rest = piece[whole:]
        if index % PIECES_AT_ONCE == PIECES_AT_ONCE - 1:
            await pause()
    if len(rest) == 1 or (padding and (characters + padding) % 4):
        raise _not_base64()
    if rest:
        take(binascii.a2b_base64(rest + b"=" * (4 - len(rest))))


def without_data_url(text: LongText | str) -> LongText | str:
    """The base64 of a data: URL (RFC 2397); any other text as it is."""
    if isinstance(text, str) and (prefix := DATA_URL.match(text)):
        return text[prefix.end() :]
    return text


def _ascii(text: str) -> memoryview:
    try:
        return memoryview(text.strip().encode("ascii"))
    except UnicodeEncodeError:
        raise _not_base64() from None


def _not_base64() -> MalformedRequest:
    return MalformedRequest("An image is not in base64: it has other characters or a wrong length.")
