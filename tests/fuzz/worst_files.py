"""Measures what the most expensive known files cost the process that decodes them.

    python -m tests.fuzz.worst_files

Prints for each file its size, the time including the transfer to the process, the growth of the
process's peak memory, the result, and for a refusal whether it took less than 50 ms and 50 MB. The
time is a median; each run has a new process that has decoded one small image.
"""

from __future__ import annotations

import io
import statistics
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image, TiffImagePlugin
from rich.console import Console
from rich.table import Table

from model_builder.artifact.preprocessing import CAFFE
from service.errors import ServiceError
from service.http.problem_details import status_of
from service.imaging.decoder_process import DecoderProcess
from service.imaging.launcher import Launcher
from tests.fuzz import damaged
from tests.service.images import encoded, header_alone, lying_avif, plain, png_chunk, runs_bmp
from tests.service.imaging.avif import avif_copies, avif_extents, avif_film, avif_items

MAX_PIXELS = 50_000_000
TIMEOUT_SECONDS = 10.0
REFUSED_MILLISECONDS, REFUSED_MEGABYTES = 50, 50
TIMES = 5
BODY_BYTES = 20 * 2**20


def flat(format: str, width: int, height: int, **options: object) -> bytes:
    return encoded(Image.new("RGB", (width, height), "red"), format, **options)


def webp_canvas() -> bytes:
    """168 million pixels; Pillow refuses more than 178 million."""
    chunk = b"\x10\0\0\0" + struct.pack("<I", 13_999)[:3] + struct.pack("<I", 11_999)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", len(chunk)) + chunk
    return b"RIFF" + struct.pack("<I", len(body)) + body


def png_texts() -> bytes:
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**20 - 1)))
    data = plain("red", (32, 32))
    return data[:33] + text * 60 + data[33:]


def png_chunks() -> bytes:
    data = plain("red", (32, 32))
    return data[:33] + png_chunk(b"teSt", b"") * ((BODY_BYTES - 1000) // 12) + data[33:]


def jpeg_scans() -> bytes:
    """A progressive image of 50 megapixels that repeats its last scan up to 20 MB."""
    data = flat("JPEG", 8160, 6120, progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    return data[:last] + scan * ((BODY_BYTES - last) // len(scan)) + b"\xff\xd9"


def jpeg_allowed_scans() -> bytes:
    data = flat("JPEG", 8160, 6120, progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 8 + b"\xff\xd9"


def jpeg_hidden_segments() -> bytes:
    """Groups of segments behind a marker without a length. A reader that took the next two bytes
    for a length would skip the group.
    """
    data = flat("JPEG", 32, 32)
    hidden = b"\xff\xd0\xff\xff" + b"\xff\xec\0\x02" * 16_383 + b"\0"
    return data[:2] + hidden * ((BODY_BYTES - len(data)) // len(hidden)) + data[2:]


def jpeg_cut_short() -> bytes:
    """50 megapixels by the header, and no pixels."""
    return flat("JPEG", 8160, 6120, progressive=True)[:1000] + b"\xff\xd9"


def jpeg_almost_scans() -> bytes:
    return flat("JPEG", 32, 32) + b"\xff\xda\0\x08\x02" * (BODY_BYTES // 5 - 1000)


def jpeg_junk() -> bytes:
    data = flat("JPEG", 32, 32)
    place = data.index(b"\xff\xdb")
    return data[:place] + bytes(BODY_BYTES - len(data)) + data[place:]


def jpeg_exif() -> bytes:
    data = flat("JPEG", 32, 32)
    segment = b"\xff\xe1" + struct.pack(">H", 65_535) + b"Exif\0\0" + bytes(65_527)
    return data[:2] + segment * (BODY_BYTES // len(segment)) + data[2:]


def invalid_exif() -> bytes:
    """A directory of entries larger than the file, for each of which Pillow warns."""
    entries = (struct.pack("<HHII", tag, 4, 2**30, 0) for tag in range(65_535))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + b"".join(entries) + bytes(4)


def png_invalid_exif() -> bytes:
    data = plain("red", (32, 32))
    return data[:33] + png_chunk(b"eXIf", invalid_exif()) + data[33:]


def jpeg_invalid_exif() -> bytes:
    data, exif = flat("JPEG", 32, 32), invalid_exif()
    parts = (b"Exif\0\0" + exif[at : at + 65_000] for at in range(0, len(exif), 65_000))
    segments = (b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts)
    # Without JFIF's segment, so that Pillow reads the Exif for the resolution.
    return data[:2] + b"".join(segments) + data[20:]


def tiff_entries() -> bytes:
    entries = (BODY_BYTES - 1000) // 20
    entry = struct.pack("<HHQQ", 40_000, 99, 0, 0)
    return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, entries) + entry * entries


def tiff_pages() -> bytes:
    directories = (struct.pack("<HI", 0, 14 + 6 * page) for page in range(3_000_000))
    return b"II*\0\x08\0\0\0" + b"".join(directories)


def gif_frames() -> bytes:
    data = flat("GIF", 32, 32)
    frame = data[data.index(b",") : -1]
    return data[:-1] + frame * ((BODY_BYTES - len(data)) // len(frame)) + b";"


def gif_blocks() -> bytes:
    data = flat("GIF", 32, 32)
    return data[:-1] + b"!\xfe" + b"\x01x" * ((BODY_BYTES - 1000) // 2) + b"\0;"


def gif_cleared() -> bytes:
    """A frame of 62 megapixels to be cleared after display, and 20 MB of comment behind it."""
    data = flat("GIF", 32, 32)
    start = data.index(b",\0\0\0\0")
    frame = (
        b"!\xf9\x04\x08\0\0\0\0," + struct.pack("<HHHH", 0, 0, 8000, 7700) + data[start + 9 : -1]
    )
    comment = b"!\xfe" + (b"\xff" + bytes(255)) * ((BODY_BYTES - 1000) // 256) + b"\0"
    return data[:start] + frame + comment + b";"


def webp_frames() -> bytes:
    first, second = (Image.new("RGB", (1, 1), color) for color in ("red", "blue"))
    data = encoded(first, "WEBP", save_all=True, append_images=[second], minimize_size=False)
    last = data.rindex(b"ANMF")
    data += data[last:] * ((BODY_BYTES - len(data)) // len(data[last:]))
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def webp_chunks() -> bytes:
    chunk = b"\0\0\0\0" + struct.pack("<I", 0)[:3] * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + chunk[:10]
    body += b"JUNK\0\0\0\0" * ((BODY_BYTES - 1000) // 8)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def avif_samples(table: bytes, value: int) -> bytes:
    """A track whose `table` states `value` entries."""
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
    data = encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:], speed=10)
    place = data.index(table) + (12 if table == b"stsz" else 16)
    return data[:place] + struct.pack(">I", value) + data[place + 4 :]


def early_lines_bmp(edge: int) -> bytes:
    """Lines of one pixel that end before the others are drawn."""
    return runs_bmp(edge, edge, b"\x01\x07\0\0" * edge)


def gif_comments() -> bytes:
    data = flat("GIF", 32, 32)
    start = data.index(b",")
    comment = b"!\xfe" + b"\x01x" * (BODY_BYTES // 2) + b"\0"
    return data[:start] + comment + data[start:]


def tiff_tile() -> bytes:
    """256 pixels, in a tile of a billion."""
    file = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[322], tags[323] = 32_768, 32_768
    Image.new("RGB", (16, 16)).save(file, "TIFF", compression="tiff_adobe_deflate", tiffinfo=tags)
    return file.getvalue()


def large(format: str, **options: object) -> Callable[[], bytes]:
    """Makes a file of 50 megapixels of red."""
    return lambda: flat(format, 8160, 6120, **options)


FILES: dict[str, Callable[[], bytes]] = {
    "JPEG of 500 x 375, for comparison": lambda: flat("JPEG", 500, 375),
    **{
        f"{format}, 60 000 x 60 000 in its header": lambda format=format: header_alone(  # type: ignore[misc]
            format, 60_000, 60_000
        )
        for format in ("PNG", "JPEG", "GIF", "BMP")
    },
    "TIFF, 16 000 x 16 000": lambda: flat("TIFF", 16_000, 16_000, compression="tiff_adobe_deflate"),
    "WebP, a canvas of 14 000 x 12 000": webp_canvas,
    "AVIF, 10 x 10 that decodes to 100 million": lambda: lying_avif(10_000),
    "TIFF, a tile of a billion pixels": tiff_tile,
    "PNG, 50 megapixels of red": large("PNG"),
    "GIF, the same": large("GIF"),
    "TIFF, the same, deflate": large("TIFF", compression="tiff_adobe_deflate"),
    "TIFF, the same, zstd": large("TIFF", compression="zstd"),
    "WebP, the same": large("WEBP", method=0),
    "WebP, the same, lossless": large("WEBP", method=0, lossless=True),
    "AVIF, the same": large("AVIF", speed=10),
    "JPEG, 50 megapixels and no pixel": jpeg_cut_short,
    "PNG, 60 texts of a megabyte each": png_texts,
    "PNG, 1.7 million chunks": png_chunks,
    "PNG, 65 535 invalid entries in its Exif": png_invalid_exif,
    "JPEG, the same": jpeg_invalid_exif,
    "JPEG, 20 MB of zeros before its header": jpeg_junk,
    "JPEG, 20 MB of Exif": jpeg_exif,
    "JPEG, five million hidden segments": jpeg_hidden_segments,
    "JPEG, progressive, thousands of scans": jpeg_scans,
    "GIF, ten million comments": gif_comments,
    "GIF, ten million blocks after its frame": gif_blocks,
    "GIF, a million frames": gif_frames,
    "GIF, 62 megapixels to be cleared": gif_cleared,
    "WebP, half a million frames": webp_frames,
    "WebP, 2.6 million chunks": webp_chunks,
    "AVIF, four billion frames": lambda: avif_samples(b"stsz", 2**32 - 1),
    "AVIF, four billion frames in a chunk": lambda: avif_samples(b"stsc", 2**32 - 1),
    "TIFF, three million pages": tiff_pages,
    "TIFF, a million entries": tiff_entries,
    "BMP, five million empty operations": lambda: runs_bmp(64, 64, b"\0\x02\0\0" * 5_000_000),
    "BMP, the most operations allowed": lambda: runs_bmp(1024, 1024, b"\0\x02\0\0" * 2**15),
    "BMP, 13 megapixels of lines that end early": lambda: early_lines_bmp(3650),
    "BMP, a megapixel of lines that end early": lambda: early_lines_bmp(1024),
    "AVIF, 60 000 items": lambda: avif_items(60_000),
    "AVIF, six thousand": lambda: avif_items(6000),
    "AVIF, 400 items of 65 535 extents each": lambda: avif_extents([65_535] * 400),
    "AVIF, a property of 18 MB, copied 2550 times": lambda: avif_copies(10, 255, 18_000_000),
    "AVIF, 100 000 chunks in as many runs": lambda: avif_film(100_000, 100_000),
    "JPEG, progressive, the most scans allowed": jpeg_allowed_scans,
    "JPEG, 20 MB of markers that are almost scans": jpeg_almost_scans,
    "JPEG, 50 megapixels of red": large("JPEG"),
    "JPEG, the same, progressive": large("JPEG", progressive=True),
    "PNG, 13 megapixels of red": lambda: flat("PNG", 4210, 3160),
    "TIFF, 13 megapixels of red": lambda: flat(
        "TIFF", 4210, 3160, compression="tiff_adobe_deflate"
    ),
    "WebP, 13 megapixels of red": lambda: flat("WEBP", 4210, 3160, method=0),
    "AVIF, 13 megapixels of red": lambda: flat("AVIF", 4210, 3160, speed=10),
    "PNG, 40 megapixels of grey": lambda: encoded(Image.new("L", (8000, 5000)), "PNG"),
    "PNG, 50 megapixels of red, padded": lambda: large("PNG")() + bytes(100_000),
    **damaged.FILES,
}


def peak_bytes(process: DecoderProcess) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def cost(data: bytes) -> tuple[str, float, float]:
    """The result, milliseconds, and megabytes: NaN where the process was ended."""
    launcher = Launcher()
    process = DecoderProcess(launcher, max_pixels=MAX_PIXELS, timeout_seconds=TIMEOUT_SECONDS)
    process.decode(plain("red"), CAFFE)
    before, started = peak_bytes(process), time.monotonic()
    try:
        process.decode(data, CAFFE)
        result = "served"
    except ServiceError as error:
        result = f"{status_of(error)} {error}"[:70]
    milliseconds = (time.monotonic() - started) * 1000
    megabytes = float("nan") if process.pid is None else (peak_bytes(process) - before) / 1e6
    launcher.close()
    return result, milliseconds, megabytes


def main() -> None:
    table = Table("file", "MB", "ms", "MB of memory", "within", "result")
    for name, make in FILES.items():
        data = make()
        result, first, _ = cost(data)
        costs = [cost(data) for _ in range(TIMES if first < 1000 else 1)]
        milliseconds = statistics.median(taken for _, taken, _ in costs)
        megabytes = max(memory for _, _, memory in costs)
        within = milliseconds < REFUSED_MILLISECONDS and megabytes < REFUSED_MEGABYTES
        table.add_row(
            name,
            f"{len(data) / 1e6:.2f}",
            f"{milliseconds:.0f}",
            f"{megabytes:.0f}",
            "" if result == "served" else "yes" if within else "NO",
            result,
        )
    Console(width=170).print(table)


if __name__ == "__main__":
    main()
