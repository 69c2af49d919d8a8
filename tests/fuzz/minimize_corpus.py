"""Keeps what fuzzing found worth trying, as `corpus.zip`, which the tests decode.

    python -m tests.fuzz.keep FOLDER

Of FOLDER, the smallest files first, those that go from a line to another in Pillow or here which no
file before them does, or are answered in other words. libFuzzer's own `-merge=1` starts a process
again that it takes for its own, which a Python script is not.
"""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import PIL
from rich.progress import track

from service.errors import ServiceError
from service.imaging import decoder as images
from tests.fuzz.target import CORPUS, decoded

WATCHED = (str(Path(PIL.__file__).parent), str(Path(images.__file__).parent))
# Of no day, so that the same files make the same archive.
WRITTEN = (1980, 1, 1, 0, 0, 0)

Step = tuple[str, int, int]


def steps(data: bytes) -> set[Step | str]:
    """From which line to which it goes, and what is said of it in the end."""
    taken: set[Step | str] = set()

    def watch(frame: FrameType, _event: str, _argument: object) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(WATCHED):
            return None
        before = 0

        def line(frame: FrameType, event: str, _argument: object) -> Any:
            nonlocal before
            if event == "line":
                taken.add((file, before, frame.f_lineno))
                before = frame.f_lineno
            return line

        return line

    sys.settrace(watch)
    try:
        decoded(data)
    except ServiceError as refusal:
        # What was received is not what it says.
        taken.add(type(refusal).__name__ + re.sub(r"\d+|'.*", "", str(refusal)))
    finally:
        sys.settrace(None)
    return taken


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    files = sorted(folder.iterdir(), key=lambda file: (file.stat().st_size, file.name))
    seen: set[Step | str] = set()
    kept: dict[str, bytes] = {}
    for file in track(files, "Decoding"):
        data = file.read_bytes()
        if new := steps(data) - seen:
            seen |= new
            kept[file.name] = data
    with ZipFile(CORPUS, "w") as corpus:
        for name, data in sorted(kept.items()):
            corpus.writestr(ZipInfo(name, WRITTEN), data, ZIP_DEFLATED)
    sys.stdout.write(f"{len(kept)} of {len(files)} files, {CORPUS.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
