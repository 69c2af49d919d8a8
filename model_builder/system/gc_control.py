"""Python's cyclic garbage collector, kept from what gives it nothing to do."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """For imports: nothing is collected within, and what is there afterwards never again.

    What is imported stays. The collector would look through all of it again and again while more
    comes, a sixth of the time that importing takes, and then at every full collection: with
    TensorFlow 0.2 s, in which no request is answered.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
