"""Coverage-guided fuzzing of `images.decode`, for as long as it is let run.

    pip install atheris
    python -m tests.fuzz.fuzz_images FOLDER [-max_total_time=3600] [other options of libFuzzer]

FOLDER keeps what was found to be worth trying, and is begun with the tests' own files and with
`corpus.zip`, what earlier runs kept. What is raised and is no refusal of ours ends it, and lies in
`crash-...` beside; make it a file of `tests/fuzz/findings`, where a test tries it again for ever.
After a long run, `python -m tests.fuzz.keep FOLDER` makes `corpus.zip` anew.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from zipfile import ZipFile

import atheris

with atheris.instrument_imports(include=["PIL", "service"]):
    from service.errors import ImageTooLarge, InvalidImage, UnsupportedMedia
    from tests.fuzz.target import CORPUS, decoded

from tests.fuzz.mutations import seeds


def one(data: bytes) -> None:
    try:
        decoded(data)
    except (ImageTooLarge, InvalidImage, UnsupportedMedia):
        return


def begin(folder: Path) -> None:
    for number, data in enumerate(seeds().values()):
        (folder / f"seed-{number}").write_bytes(data)
    with ZipFile(CORPUS) as corpus:
        corpus.extractall(folder)


def main() -> None:
    folder = Path(next(argument for argument in sys.argv[1:] if not argument.startswith("-")))
    folder.mkdir(parents=True, exist_ok=True)
    begin(folder)
    warnings.simplefilter("ignore")
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
