"""The tables of settings, checkpoints and layouts, made from code: `python -m docs.refresh`."""

from __future__ import annotations

import re
from pathlib import Path

from model_builder.checkpoints.catalog import CHECKPOINTS, DEFAULT_CHECKPOINTS
from model_builder.checkpoints.checkpoint import Checkpoint
from service.settings import PREFIX, RENAMED, Settings
from tests.service.imaging.layouts import tiff_table

DOCS = Path(__file__).parent
MARK = "<!-- {0}: made by docs/refresh.py -->\n"


def setting_row(name: str) -> str:
    """One row of the table of settings."""
    field = Settings.fields()[name]
    default = "" if field.default in (None, "") else f"`{field.default}`"
    shown = "the user's cache folder" if name == "home" else default
    return f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |\n"


def settings_tables() -> str:
    """A table for each group, then the names of earlier versions."""
    parts = []
    for group, kind in Settings.groups().items():
        rows = "".join(setting_row(name) for name in kind.model_fields)
        title = (kind.__doc__ or "").strip()
        parts.append(f"## {group}\n\n{title}\n\n| variable | default | |\n|---|---|---|\n{rows}\n")
    old = "".join(f"| `{before}` | `{after}` |\n" for before, after in RENAMED.items())
    return "".join(parts) + (
        "## Names of earlier versions\n\nThey still work, with a warning.\n\n"
        f"| earlier | now |\n|---|---|\n{old}"
    )


def checkpoint_row(row: Checkpoint) -> str:
    """One row of the table of checkpoints; a network's default is bold."""
    default = DEFAULT_CHECKPOINTS[row.family] == row.name
    network = f"**{row.family}**" if default else row.family
    size = f"{row.architecture.parameters() / 1e6:.1f} M"
    macs = f"{row.architecture.macs(row.preprocessing.crop_size) / 1e9:.2f} G"
    accuracy = f"{row.top1_percent} / {row.top5_percent} %"
    stated = "not stated" if row.top1_percent is None else accuracy
    return f"| {network} | `{row.name}` | {size} | {macs} | {stated} | {row.licence} |\n"


def checkpoints_table() -> str:
    rows = sorted(CHECKPOINTS.values(), key=lambda row: row.depth)
    return (
        "| network | checkpoint | parameters | MACs | published top-1 / top-5 | licence |\n"
        "|---|---|---|---|---|---|\n" + "".join(map(checkpoint_row, rows))
    )


def replace_block(page: Path, name: str, content: str) -> None:
    """Replaces the content between the two marks of that name."""
    mark = MARK.format(name)
    text = page.read_text(encoding="utf-8")
    block = re.compile(re.escape(mark) + ".*?" + re.escape(mark), re.DOTALL)
    page.write_text(block.sub(lambda _: mark + content + mark, text), encoding="utf-8")


def write_tables() -> None:
    replace_block(DOCS / "configuration.md", "settings", settings_tables())
    replace_block(DOCS / "models.md", "checkpoints", checkpoints_table())
    replace_block(DOCS / "images.md", "layouts of a TIFF", tiff_table.table())
