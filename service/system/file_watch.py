"""Files that are read again when they change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 1.0
# A changed file is read once it has not changed for so long: it may be in the middle of a change.
SETTLED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class FileState:
    """What changes when a file does, by writing to it or by putting another in its place.

    changed: when, in nanoseconds since the epoch; unlike the time of writing nobody can set it.
    """

    changed: int
    size: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> FileState | None:
        """None where there is no such file."""
        try:
            status = path.stat()
        except OSError:
            return None
        return cls(status.st_ctime_ns, status.st_size, status.st_ino)


States = tuple[FileState | None, ...]


class FileWatch:
    """Looks at most once a second. Made before the files are read for the first time.

    clock: monotonic. wall_clock: that of the files' times. Both in seconds.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._paths = tuple(paths)
        self._clock = clock
        self._wall_clock = wall_clock
        self._looked = clock()
        # As they were when they were read, and when they were last looked at.
        self._read = self._seen = self._states()

    def changed(self) -> States | None:
        """The files as they are, where they differ from what was read and are at rest."""
        now = self._clock()
        if now - self._looked < POLL_SECONDS:
            return None
        self._looked = now
        states, before = self._states(), self._seen
        self._seen = states
        if states == self._read or not (states == before or self._settled(states)):
            return None
        return states

    def accept(self, states: States) -> bool:
        """Whether the files, which were read meanwhile, are still so; they then count as read."""
        if self._states() != states:
            # The next look finds out.
            return False
        self._read = states
        return True

    def _settled(self, states: States) -> bool:
        """Whether none was changed lately. A server of files may have another time."""
        now = self._wall_clock()
        return all(one is not None and now - one.changed / 1e9 >= SETTLED_SECONDS for one in states)

    def _states(self) -> States:
        return tuple(FileState.of(path) for path in self._paths)
