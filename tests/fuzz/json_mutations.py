"""Mutations of JSON that leave it JSON: what a reader makes of values that it does not expect."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    0.5,
    "",
    "0",
    "-1",
    "x" * 5000,
    "\ufeffcat",
    "a\nb",
    "\ud800",
    "../../etc/passwd",
    [],
    [[]],
    {},
    {"": None},
    [0] * 3000,
    {"class_name": "Add", "config": {}},
)


def changed(content: Any, chance: random.Random) -> Any:
    """A copy in which some values are replaced, taken away, repeated or exchanged."""
    content = copy.deepcopy(content)
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = _places(content)
        if not places:
            return chance.choice(VALUES)
        # The deeper half half of the time: there are so many of them that they would be all.
        holder, key = chance.choice(places[: chance.choice((5, 50, len(places)))])
        what = chance.randrange(5)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif what == 2:
            other, there = chance.choice(places)
            holder[key] = copy.deepcopy(other[there]) if _has(other, there) else None
        elif what == 3 and isinstance(holder, dict):
            holder[str(chance.choice(VALUES))] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(chance.choice(VALUES))
    return content


def written(content: Any, chance: random.Random) -> bytes:
    """JSON in one of the encodings that people have; now and then nested without end."""
    text = json.dumps(content, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.02:
        text = '{"a":' * 50_000 + text
    encoding = chance.choice(
        ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1")
    )
    return text.encode(encoding, errors="replace")


def _has(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else key < len(holder)


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Every member of every list and object, the outermost first."""
    found: list[tuple[Any, Any]] = []
    waiting = [content] if isinstance(content, dict | list) else []
    for holder in waiting:
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])
    return found
