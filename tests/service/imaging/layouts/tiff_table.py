"""The table of docs/images.md: which layouts of a TIFF are right in which arrangement."""

from __future__ import annotations

from collections.abc import Callable

from tests.service.imaging.layouts.tiff_files import Layout
from tests.service.imaging.layouts.tiff_grid import Group, groups, outcome

COLUMNS: dict[str, Callable[[Layout], bool]] = {
    "uncompressed": lambda layout: not layout.planar and layout.compression == "none",
    "compressed": lambda layout: not layout.planar and layout.compression != "none",
    "planes": lambda layout: layout.planar and layout.compression == "none",
    "compressed planes": lambda layout: layout.planar and layout.compression != "none",
}


def row_of(group: Group) -> str | None:
    """Of the table in docs/images.md; None where every layout of the group is refused.

    Raises ValueError for a layout that is wrong.
    """
    cells = []
    for belongs in COLUMNS.values():
        right = {"<": set[bool](), ">": set[bool]()}
        for layout in group.layouts():
            # Of these two the page says in words which are refused.
            if belongs(layout) and not layout.low_bit_first and not layout.big:
                found = outcome(group, layout)
                if found.startswith("wrong"):
                    raise ValueError(f"{layout} is {found}")
                right[layout.order].add(found == "right")
        little, big = right["<"] == {True}, right[">"] == {True}
        said = "yes" if little and big else "little-endian" if little else "no"
        cells.append(said if right["<"] else "")
    if not set(cells) & {"yes", "little-endian"}:
        return None
    return f"| {group} | {' | '.join(cells)} |\n"


def table() -> str:
    """Of docs/images.md: what is right in some arrangement."""
    head = f"| | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}\n"
    return head + "".join(filter(None, map(row_of, groups())))
