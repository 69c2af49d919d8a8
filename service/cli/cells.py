"""The cells of tables that commands print."""

from __future__ import annotations

from rich.text import Text

from model_builder.system.printable import printable


def cell(value: object, style: str = "") -> Text:
    """A table's cell with the value as data, which is no markup either."""
    return Text(printable(str(value)), style)
