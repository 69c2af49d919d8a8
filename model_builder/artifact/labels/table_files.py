"""Labels in tables: CSV and TSV with or without a header."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from model_builder.artifact.labels.entries import INTEGER, WNID, Entry, LabelProblem, shown
from model_builder.system.printable import printable

# What headers call a column, in lower case with underscores. pandas leaves that of its index empty.
INDEX_HEADERS = (
    "",
    "index",
    "id",
    "idx",
    "class_id",
    "class_idx",
    "class_index",
    "label_id",
    "label_index",
    "number",
    "target",
)
WNID_HEADERS = ("wnid", "synset", "synset_id", "wordnet_id")
# The ones that can't be an index first.
NAME_HEADERS = (
    "name",
    "class_name",
    "label_name",
    "display_name",
    "class_names",
    "names",
    "label",
    "labels",
    "class",
    "classes",
    "category",
    "description",
)
Row = tuple[int, list[str]]


def table_entries(lines: Sequence[str], delimiter: str) -> tuple[list[Entry], str]:
    """The entries, and what form they have in the file. Raises LabelProblem."""
    rows = _rows(lines, delimiter)
    (_, first), *others = rows
    for number, cells in others:
        if len(cells) != len(first):
            raise LabelProblem(
                f"line {number} has {len(cells)} columns, and line 1 has {len(first)}: "
                f"{shown(delimiter.join(cells))}. Quote a name that has a {delimiter!r}"
            )
    header = [cell.strip().lower().replace(" ", "_").replace("-", "_") for cell in first]
    known = [cell in (*INDEX_HEADERS, *WNID_HEADERS, *NAME_HEADERS) for cell in header]
    has_header = any(cell in NAME_HEADERS for cell in header) or (len(header) > 1 and all(known))
    content = rows[1:] if has_header else rows
    if not content:
        raise LabelProblem("it has a header and names no class")
    index, wnid, name = _columns(header if has_header else None, [cells for _, cells in content])
    entries = []
    for number, cells in content:
        if index is not None and not INTEGER.fullmatch(cells[index].strip()):
            raise LabelProblem(f"line {number} has no index: {shown(delimiter.join(cells))}")
        entries.append(
            Entry(
                f"line {number}",
                cells[name],
                None if index is None else int(cells[index]),
                None if wnid is None else cells[wnid].strip(),
            )
        )
    columns = "names" if index is None else "index and name"
    return entries, f"a table of {columns}, {'with' if has_header else 'without'} a header"


def _rows(lines: Sequence[str], delimiter: str) -> list[Row]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    rows: list[Row] = []
    read = 0
    try:
        for cells in reader:
            if reader.line_num > read + 1:
                raise LabelProblem(f"line {read + 1} has a line break within quotes")
            read = reader.line_num
            if not any(cell.strip() for cell in cells):
                raise LabelProblem(f"line {reader.line_num} is empty")
            rows.append((reader.line_num, cells))
    except csv.Error as error:
        line = lines[min(reader.line_num, len(lines)) - 1]
        problem = printable(str(error))
        raise LabelProblem(f"line {reader.line_num}: {problem}: {shown(line)}") from error
    return rows


def _columns(header: list[str] | None, rows: list[list[str]]) -> tuple[int | None, int | None, int]:
    """Which columns are the index, the WordNet id and the name."""
    columns = range(len(rows[0]))
    if len(columns) == 1:
        return None, None, 0

    def all_match(column: int, what: object) -> bool:
        return all(what.fullmatch(row[column].strip()) for row in rows)  # type: ignore[attr-defined]

    integers = [column for column in columns if all_match(column, INTEGER)]
    ids = [column for column in columns if all_match(column, WNID)]
    if header is None:
        index, wnid = next(iter(integers), None), next(iter(ids), None)
        left = [column for column in columns if column not in (index, wnid)]
        if (index is None and wnid is None) or len(left) != 1:
            raise LabelProblem(
                f"it has {len(columns)} columns without a header: index and name are taken, or "
                f"names alone. Line 1 is {shown(','.join(rows[0]))}"
            )
        return index, wnid, left[0]
    by_header = [column for column in columns if header[column] in INDEX_HEADERS]
    index = next(iter(by_header), None)
    named = sorted(
        (NAME_HEADERS.index(header[column]), column)
        for column in columns
        if header[column] in NAME_HEADERS and column != index
    )
    if not named:
        raise LabelProblem(f"its header names no column of names: {shown(','.join(header))}")
    name = named[0][1]
    if index is None:
        index = next((column for column in integers if column != name), None)
    of_ids = [column for column in columns if header[column] in WNID_HEADERS]
    wnid = next((column for column in (*of_ids, *ids) if column in ids and column != name), None)
    return index, wnid, name
