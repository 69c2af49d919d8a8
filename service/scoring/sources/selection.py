"""Which of an input's images a job scores: a shard, a sample, the first so many."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from service.scoring.errors import InvalidInput
from service.scoring.sources.item import Item, Source


@dataclass(frozen=True, slots=True)
class Selection:
    """By a hash of each path: the same images on every machine, whatever else the input gains.

    shard, shards: images whose hash is `shard` modulo `shards`; 0 of 1 is all. sample: the part of
    the images that is scored, 0 to 1. limit: at most so many, the first ones.
    """

    shard: int = 0
    shards: int = 1
    sample: float | None = None
    limit: int | None = None

    def apply(self, items: Iterator[Item]) -> Iterator[Item]:
        return islice((item for item in items if self._has(item.path)), self.limit)

    def count(self, source: Source) -> int | None:
        """How many it selects; None where that is not known without reading the input."""
        total = source.count()
        if total is not None and (self.shards > 1 or self.sample is not None):
            total = sum(1 for _ in self.apply(source.items()))
        if self.limit is None:
            return total
        return self.limit if total is None else min(total, self.limit)

    def _has(self, path: str) -> bool:
        if self.shards > 1 and _hash(path, b"shard") % self.shards != self.shard:
            return False
        return self.sample is None or _hash(path, b"sample") < self.sample * 2**64


def shard_of(text: str) -> tuple[int, int]:
    """ "2/8" to (1, 8): the second of eight. Raises InvalidInput."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match and 1 <= int(match[1]) <= int(match[2]):
        return int(match[1]) - 1, int(match[2])
    raise InvalidInput(f"--shard is i/n with i from 1 to n, as in 2/8. Received: {text}")


def _hash(path: str, purpose: bytes) -> int:
    # Independent of each other: a sample has images of every shard.
    digest = hashlib.blake2b(path.encode(), digest_size=8, person=purpose).digest()
    return int.from_bytes(digest, "big")
