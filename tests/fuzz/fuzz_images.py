"""Coverage-guided fuzzing of `service.imaging.decoder.decode`, until it is stopped.

    pip install atheris
    python -m tests.fuzz.fuzz_images FOLDER [-max_total_time=3600] [other options of libFuzzer]

FOLDER holds the corpus. It starts with the seeds of `tests/fuzz/mutations.py` and with
`corpus.zip`, the corpus of earlier runs. An exception that is not a refusal ends the run, and
libFuzzer writes the file to `crash-...` in the working directory; move it to `tests/fuzz/findings`,
whose files every test run decodes. After a long run, `python -m tests.fuzz.minimize_corpus FOLDER`
writes `corpus.zip`.
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
