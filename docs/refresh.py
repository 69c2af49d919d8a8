"""Runs every `$ resnet ...` of models.md and inserts its output; writes the tables.

python -m docs.refresh
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from typer.testing import CliRunner

from docs.tables import write_tables
from service.cli.main import main

DOCS = Path(__file__).parent
# A fenced block: the command, then its output; none where only its drawing is shown.
BLOCK = re.compile(r"^```\n\$ resnet (.*)\n((?:.*\n)*?)```$", re.MULTILINE)


def printed(command: str) -> str:
    done = CliRunner(env={"COLUMNS": "240"}).invoke(main, command.split())
    if done.exit_code != 0:
        raise ValueError(f"resnet {command} ended with {done.exit_code}: {done.output}")
    return done.output


def refreshed(block: re.Match[str]) -> str:
    command, shown = block.groups()
    output = printed(command)
    return f"```\n$ resnet {command}\n{output if shown else ''}```"


if __name__ == "__main__":
    # Its drawings are named from there.
    os.chdir(DOCS.parent)
    page = DOCS / "models.md"
    page.write_text(BLOCK.sub(refreshed, page.read_text(encoding="utf-8")), encoding="utf-8")
    write_tables()
