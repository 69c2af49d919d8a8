"""Minimizes the corpus of a fuzzing run and writes it to `corpus.zip`, which the tests decode.

    python -m tests.fuzz.minimize_corpus FOLDER

Starts with the smallest files of FOLDER. A file is kept where it takes a step from one line to
another, in Pillow or in `service/imaging`, or ends in a message, that no file before it has.
libFuzzer's own `-merge=1` can't be used: it restarts its executable, which here is Python.
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
# A fixed date, so that the same files make the same archive.
WRITTEN = (1980, 1, 1, 0, 0, 0)

Step = tuple[str, int, int]


def steps(data: bytes) -> set[Step | str]:
    """The steps between lines that decoding takes, and the message of a refusal."""
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
        # Without the numbers and text of the file.
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
