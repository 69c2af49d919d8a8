"""Text from elsewhere as data: labels, names of files and tensors, messages of libraries.

A terminal obeys the control characters that are printed on it, and a line break in a name would
begin a line of the log.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

MOST_NAMES = 10
NAME_CHARACTERS = 100
LINE_CHARACTERS = 4000


def printable(text: str) -> str:
    r"""One line, with every character that is not visible and no space as its escape: "\x1b"."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or unicodedata.category(one) == "Zs" else _escape(one)
        for one in text
    )


def printable_lines(text: str) -> str:
    """The text with its lines, all but the first indented: none looks like a line of the log's.

    Lines of more than LINE_CHARACTERS are cut.
    """
    first, *others = (_line(line) for line in text.split("\n"))
    return "\n".join([first, *(f"  {line}" for line in others)])


def shortlist(names: Iterable[str]) -> str:
    """The first ten names, each cut to a hundred characters, and how many more there are."""
    listed = list(names)
    shown = [cut(name, NAME_CHARACTERS) for name in listed[:MOST_NAMES]]
    if more := len(listed) - len(shown):
        shown.append(f"... and {more} more")
    return ", ".join(shown)


def cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[:characters]}..."


def _line(text: str) -> str:
    return cut("\t".join(map(printable, text.split("\t"))), LINE_CHARACTERS)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
