"""One class, and the 1000 of ImageNet."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Label:
    """One class. `wnid` is its WordNet id ("n02123045"), or None for a user's own classes."""

    name: str
    wnid: str | None = None


def imagenet1k() -> tuple[Label, ...]:
    """The 1000 classes of ILSVRC 2012."""
    table = files(__package__).joinpath("imagenet1k.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines())
    return tuple(Label(name=name, wnid=wnid) for wnid, name in rows)
