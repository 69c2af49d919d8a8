"""What a line or an entry of a label file says of one class, and the labels that all of them make.

Every problem names the line or entry that is wrong, and its text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from model_builder.artifact.labels.label import Label, imagenet1k
from model_builder.system.printable import cut, printable

WNID = re.compile(r"n\d{8}")
INTEGER = re.compile(r"-?[0-9]{1,9}")
MAX_NAME_CHARACTERS = 1000
SHOWN_CHARACTERS = 60
# Control characters, line and paragraph separators, halves of pairs of surrogates.
REFUSED_CATEGORIES = ("Cc", "Zl", "Zp", "Cs")
# Byte order mark, zero-width space, soft hyphen and the like, which nobody sees in a name, and what
# turns the direction of writing. Joiners are part of names in some languages.
INVISIBLE = frozenset(
    "\ufeff\u200b\u2060\u00ad\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


class LabelProblem(Exception):
    """Why a file can't be read as labels, without the file's name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One class as the file has it.

    where: "line 3", "entry 'cat'". index: of the logit, or None where the order gives it.
    """

    where: str
    name: str
    index: int | None = None
    wnid: str | None = None


def shown(text: object) -> str:
    """A text of the file as one printable line in quotes."""
    return f"'{cut(printable(str(text)), SHOWN_CHARACTERS)}'"


def labels_of(entries: Sequence[Entry]) -> tuple[Label, ...]:
    """The labels in the order of the logits.

    A name that several indices or WordNet ids have is told apart by these: "crane (134)". Raises
    LabelProblem for a name that is no text of one line, for a name that several lines have, and for
    indices that are not 0, 1, 2, ...
    """
    if not entries:
        raise LabelProblem("it names no class")
    named = [replace(entry, name=_checked(entry)) for entry in entries]
    ordered = _told_apart(_in_order(named))
    return _with_names_of_synsets(tuple(Label(one.name, one.wnid) for one in ordered))


def _checked(entry: Entry) -> str:
    for character in entry.name.strip():
        if unicodedata.category(character) in REFUSED_CATEGORIES or character in INVISIBLE:
            raise LabelProblem(
                f"{entry.where} has the character U+{ord(character):04X} in {shown(entry.name)}: a "
                "name is one line of text"
            )
    name = entry.name.strip()
    if not name:
        raise LabelProblem(f"{entry.where} has no name")
    if len(name) > MAX_NAME_CHARACTERS:
        raise LabelProblem(
            f"{entry.where} has {len(name)} characters, and a name at most {MAX_NAME_CHARACTERS}: "
            f"{shown(name)}"
        )
    return name


def _in_order(entries: list[Entry]) -> list[Entry]:
    if all(entry.index is None for entry in entries):
        return entries
    by_index: dict[int, Entry] = {}
    for entry in entries:
        if entry.index is None:
            raise LabelProblem(f"{entry.where} has no index: {shown(entry.name)}")
        if (other := by_index.setdefault(entry.index, entry)) is not entry:
            raise LabelProblem(
                f"{entry.where} gives the index {entry.index} to {shown(entry.name)}, which "
                f"{other.where} gives to {shown(other.name)}"
            )
    count = len(entries)
    missing = next((index for index in range(count) if index not in by_index), None)
    if missing is not None:
        wrong = next(entry for entry in entries if not 0 <= (entry.index or 0) < count)
        raise LabelProblem(
            f"{wrong.where} gives the index {wrong.index} to {shown(wrong.name)}, and {count} "
            f"classes have the indices 0 to {count - 1}: nothing has the index {missing}"
        )
    return [by_index[index] for index in range(count)]


def _told_apart(entries: list[Entry]) -> list[Entry]:
    times = Counter(entry.name for entry in entries)
    first: dict[str, Entry] = {}
    found = []
    for entry in entries:
        other = first.setdefault(entry.name, entry)
        if times[entry.name] > 1:
            addition = entry.wnid if entry.index is None else entry.index
            if addition is None and other is not entry:
                raise LabelProblem(
                    f"{entry.where} has the name {shown(entry.name)}, which {other.where} has too"
                )
            if addition is not None:
                entry = replace(entry, name=f"{entry.name} ({addition})")
        found.append(entry)
    if len({entry.name for entry in found}) < len(found):
        twice = Counter(entry.name for entry in found).most_common(1)[0][0]
        raise LabelProblem(f"two classes have the name {shown(twice)}")
    return found


def _with_names_of_synsets(labels: tuple[Label, ...]) -> tuple[Label, ...]:
    """Where all names are WordNet ids of ImageNet's classes, as ImageFolder has them, their names.

    The ids then are `wnid`, so that nothing is lost.
    """
    if not all(WNID.fullmatch(label.name) for label in labels):
        return labels
    known = {label.wnid: label for label in imagenet1k()}
    return tuple(known.get(label.name, Label(label.name, label.name)) for label in labels)
