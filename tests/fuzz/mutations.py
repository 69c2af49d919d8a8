"""Valid files of every format, and mutations of them that depend only on a seed."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from typing import Any

from PIL import Image, features

from tests.service.images import encoded, orientation_tag, quadrants
from tests.service.imaging.profiles import DISPLAY_P3, cmyk_profile, grey_profile, rgb_profile

# Values of a field of 8, 16 or 32 bits at its limits, signed and unsigned.
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def seeds() -> dict[str, bytes]:
    """Files of a few hundred bytes, by a description."""
    image = quadrants(24, 20)
    grey = image.convert("L")
    clear = image.convert("RGBA")
    clear.putalpha(grey)
    icc, exif = rgb_profile(DISPLAY_P3), orientation_tag(6)
    files = {
        "JPEG": made(image, "JPEG", exif=exif, icc_profile=icc),
        "JPEG, progressive": made(image, "JPEG", progressive=True),
        "JPEG, grey": made(grey, "JPEG", icc_profile=grey_profile(1.8)),
        "JPEG, CMYK": made(image.convert("CMYK"), "JPEG", icc_profile=cmyk_profile(0)),
        "JPEG, two images": made(image, "MPO", save_all=True, append_images=[image.rotate(180)]),
        "PNG": made(clear, "PNG", exif=exif, icc_profile=icc),
        "PNG, palette": made(image.quantize(8), "PNG", transparency=2),
        "PNG, grey": made(grey.convert("I;16"), "PNG"),
        "PNG, animated": made(image, "PNG", save_all=True, append_images=[image.rotate(180)]),
        "WebP": made(image, "WEBP", exif=exif, icc_profile=icc),
        "WebP, lossless": made(clear, "WEBP", lossless=True),
        "WebP, animated": made(image, "WEBP", save_all=True, append_images=[image.rotate(180)]),
        "GIF": made(image.quantize(8), "GIF", save_all=True, append_images=[image.rotate(180)]),
        "BMP": made(image, "BMP"),
        "BMP, palette": made(image.quantize(8), "BMP"),
        "TIFF": made(image, "TIFF", exif=exif),
        "TIFF, float": made(grey.convert("F"), "TIFF"),
        "TIFF, pages": made(image, "TIFF", save_all=True, append_images=[image.rotate(180)]),
        "TIFF, big": made(image, "TIFF", big_tiff=True),
    }
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        files[f"TIFF, {compression}"] = made(image, "TIFF", compression=compression)
    files["TIFF, fax"] = made(image.convert("1"), "TIFF", compression="group4")
    if features.check("avif"):
        files["AVIF"] = made(clear, "AVIF", exif=exif, icc_profile=icc)
    return files


def made(image: Image.Image, format: str, **options: Any) -> bytes:
    # A copy, because an image keeps its options: saved as JPEG, it can't be saved as TIFF.
    return encoded(image.copy(), format, **options)


def mutated(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged files, each with a name: its number, its seed file and the mutations."""
    chance = random.Random(seed)
    files = seeds()
    names = list(files)
    for number in range(count):
        name = names[number % len(names)]
        done, data = damage(files[name], chance, files)
        yield f"{number}: {name}: {done}", data


def damage(data: bytes, chance: random.Random, files: dict[str, bytes]) -> tuple[str, bytes]:
    """A damaged copy, and the mutations. files: other files that parts are taken from."""
    changes = (_flip, _cut, _splice, _extreme, _repeat, _drop)
    done = []
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        change = chance.choice(changes)
        data = change(data, chance, files)
        done.append(change.__name__.strip("_"))
    return ", ".join(done), data


def _place(data: bytes, chance: random.Random) -> int:
    """A random position; squared, because headers are at the beginning."""
    return int(len(data) * chance.random() ** 2)


def _flip(data: bytes, chance: random.Random, _: dict[str, bytes]) -> bytes:
    changed = bytearray(data)
    for _turn in range(chance.choice((1, 1, 2, 8))):
        if changed:
            changed[_place(data, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(data: bytes, chance: random.Random, _: dict[str, bytes]) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _splice(data: bytes, chance: random.Random, files: dict[str, bytes]) -> bytes:
    """The beginning of one file and the end of another."""
    other = files[chance.choice(list(files))]
    return data[: _place(data, chance)] + other[_place(other, chance) :]


def _extreme(data: bytes, chance: random.Random, _: dict[str, bytes]) -> bytes:
    """A number of one, two or four bytes, in either byte order, set to one of EXTREMES."""
    value, form = chance.choice(EXTREMES), chance.choice((">B", "<H", ">H", "<I", ">I"))
    size = struct.calcsize(form)
    packed = struct.pack(form, value & (256**size - 1))
    place = _place(data, chance)
    return data[:place] + packed + data[place + size :]


def _repeat(data: bytes, chance: random.Random, _: dict[str, bytes]) -> bytes:
    start = _place(data, chance)
    part = data[start : start + chance.randrange(1, 64)]
    return data[:start] + part * chance.choice((2, 3, 50)) + data[start:]


def _drop(data: bytes, chance: random.Random, _: dict[str, bytes]) -> bytes:
    start = _place(data, chance)
    return data[:start] + data[start + chance.randrange(1, 64) :]
