"""Labels in text: a name a line, with or without an index or a WordNet id before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from model_builder.artifact.labels.entries import Entry, LabelProblem, shown

# Teachable Machine's "0 cat", and the same with another separator.
INDEXED = re.compile(r"(-?[0-9]{1,9})(?:[ \t]*[:,;=|][ \t]*|[.)][ \t]+|[ \t]+)(\S.*)")
# "cat 0", "cat,0".
INDEX_LAST = re.compile(r"(.*\S)(?:[ \t]*[:,;=|][ \t]*|[ \t]+)([0-9]{1,9})")
# synset.txt: "n01440764 tench, Tinca tinca".
SYNSET = re.compile(r"(n[0-9]{8})(?:[ \t]*[:,;][ \t]*|[ \t]+)(\S.*)")


def text_entries(lines: Sequence[str]) -> tuple[list[Entry], str]:
    """The entries, and what form they have in the file. Raises LabelProblem."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise LabelProblem(f"line {number} is empty, and each line is a class")
    numbered = [(f"line {number}", line.strip(" \t\r")) for number, line in enumerate(lines, 1)]
    if synsets := _synsets(numbered):
        return synsets, "a WordNet id and a name a line"
    if indexed := _indexed(numbered):
        return indexed, "an index and a name a line"
    if indexed := _index_last(numbered):
        return indexed, "a name and an index a line"
    _check_first(numbered)
    return [Entry(where, line) for where, line in numbered], "a name a line"


def _synsets(lines: list[tuple[str, str]]) -> list[Entry]:
    """The entries; none unless most lines have this form."""
    found = [(where, line, SYNSET.fullmatch(line)) for where, line in lines]
    if sum(match is not None for _, _, match in found) * 2 <= len(found):
        return []
    entries = []
    for where, line, match in found:
        if match is None:
            raise LabelProblem(f"{where} has no WordNet id as most others have: {shown(line)}")
        entries.append(Entry(where, match[2], wnid=match[1]))
    # "n02119789 1 kit_fox", as ImageNet's development kit has it.
    inner = [INDEXED.fullmatch(entry.name) for entry in entries]
    if all(inner):
        return [
            replace(entry, name=match[2], index=int(match[1]))
            for entry, match in zip(entries, inner, strict=True)
            if match is not None
        ]
    return entries


def _index_last(lines: list[tuple[str, str]]) -> list[Entry]:
    """The entries; none unless the numbers are 0, 1, 2, ... in any order, and no part of names."""
    found = [(where, INDEX_LAST.fullmatch(line)) for where, line in lines]
    entries = [Entry(where, match[1], int(match[2])) for where, match in found if match]
    if len(lines) < 2 or sorted(one.index or 0 for one in entries) != list(range(len(lines))):
        return []
    return entries


def _check_first(lines: list[tuple[str, str]]) -> None:
    """Raises LabelProblem where lines have what belongs to another format, or to a header."""
    where, first = lines[0]
    if first.startswith("<"):
        raise LabelProblem(f"{where} is HTML or XML, not a name: {shown(first)}")
    if first.startswith("# ") or first == "#":
        raise LabelProblem(f"{where} is a comment, and each line is a class: {shown(first)}")
    if all(line.startswith(("- ", "* ")) for _, line in lines):
        raise LabelProblem(
            f"each line begins with the mark of a list, as {where}: {shown(first)}. Write the "
            "names alone"
        )
    others = [INDEXED.fullmatch(line) for _, line in lines[1:]]
    indices = sorted(int(match[1]) for match in others if match)
    if len(others) > 1 and indices == list(range(len(others))):
        raise LabelProblem(f"{where} has no index as all others have: {shown(first)}")


def _indexed(lines: list[tuple[str, str]]) -> list[Entry]:
    """The entries; none where numbers are part of the names.

    They are indices where half of the lines or more have that of their place, or all of them
    together are 0, 1, 2, ... in any order.
    """
    found = [(where, line, INDEXED.fullmatch(line)) for where, line in lines]
    indices = [int(match[1]) for _, _, match in found if match is not None]
    in_place = sum(
        match is not None and int(match[1]) == place for place, (_, _, match) in enumerate(found)
    )
    if in_place * 2 < len(found) and sorted(indices) != list(range(len(found))):
        if len(indices) == len(found) > 1:
            raise LabelProblem(
                f"every line begins with a number, and they are not 0 to {len(found) - 1}: "
                f"{found[0][0]} is {shown(found[0][1])}. Where the numbers are part of the names, "
                "write a JSON list"
            )
        return []
    entries = []
    for where, line, match in found:
        if match is None:
            raise LabelProblem(f"{where} has no index as others have: {shown(line)}")
        entries.append(Entry(where, match[2], int(match[1])))
    return entries
