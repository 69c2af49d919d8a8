"""Control of Python's cyclic garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """For imports: pauses collection, then excludes every present object from later collections.

    Imported objects are never freed. Collections during the import of TensorFlow take a sixth of
    its time, and each full collection afterwards 0.2 s, in which no request is answered.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
