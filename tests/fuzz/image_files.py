"""Damaged images for `imports`: every seed of `mutations`, the corpus, and sample layouts."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import features

from service.errors import ImageTooLarge, InvalidImage, UnsupportedMedia
from tests.fuzz.guarded import Case
from tests.fuzz.mutations import damage, seeds
from tests.fuzz.target import CORPUS, decoded
from tests.service.images import encoded, quadrants
from tests.service.imaging.layouts.png_files import written
from tests.service.imaging.layouts.tiff_grid import groups

MESSAGE_CHARACTERS = 4100
COLOR_TYPES = {0: 1, 2: 3, 4: 2, 6: 4}


def images(seed: int) -> Iterator[tuple[str, bytes]]:
    """Endless: a description and a file, damaged but for one in ten."""
    chance = random.Random(seed)
    files = seeds()
    with ZipFile(CORPUS) as corpus:
        files |= {f"corpus {name}": corpus.read(name) for name in corpus.namelist()}
    image = quadrants(24, 20)
    try:
        files["HEIF"] = encoded(image, "HEIF")
        files["HEIF, grey"] = encoded(image.convert("L"), "HEIF")
    except (KeyError, ValueError):  # The extra is not installed.
        pass
    assert features.check("avif")
    tiffs = list(groups())
    plain = [name for name in files if not name.startswith("corpus")]
    names = [name for name in files if name.startswith("corpus")]
    while True:
        source = chance.randrange(5)
        if source == 0:
            group = chance.choice(tiffs)
            layout = chance.choice(list(group.layouts()))
            name, data = f"TIFF {layout}", layout.write(layout.stored(group.values()))
        elif source == 1:
            kind, depth = chance.choice(list(COLOR_TYPES)), chance.choice((8, 16))
            samples = np.full((9, 11, COLOR_TYPES[kind]), chance.randrange(2**depth))
            name = f"PNG {kind}, {depth} bits"
            data = written(samples, kind, depth, interlaced=chance.random() < 0.5)
        else:
            name = chance.choice(plain if source < 4 else names)
            data = files[name]
        if chance.random() < 0.9:
            done, data = damage(data, chance, files)
            name = f"{name}: {done}"
        yield name, data


def image_files(folder: Path, seed: int) -> Iterator[Case]:
    warnings.simplefilter("ignore")
    path = folder / "image"
    for description, data in images(seed):
        path.write_bytes(data)
        yield description, path, partial(read_image, data)


def read_image(data: bytes) -> str:
    try:
        decoded(data)
    except (ImageTooLarge, InvalidImage, UnsupportedMedia) as error:
        if not 0 < len(str(error)) < MESSAGE_CHARACTERS:
            raise AssertionError(f"the message: {str(error)[:500]}") from error
        return "refused"
    return "read"
