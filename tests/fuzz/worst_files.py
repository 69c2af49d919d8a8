"""What the dearest files that are known cost the process that decodes them.

    python -m tests.fuzz.worst_files

Prints for each: its size, the answer, the time, and by how much the process's peak memory grew.
"""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image, TiffImagePlugin
from rich.console import Console
from rich.table import Table

from model_builder.preprocessing import CAFFE
from service.decoding import DecodingProcess
from service.errors import ServiceError
from tests.service.pictures import encoded, header_alone, lying_avif, plain, png_chunk, slow_bmp

MAX_PIXELS = 50_000_000
TIMEOUT_SECONDS = 10.0
BODY_BYTES = 20 * 2**20


def flat(format: str, width: int, height: int, **options: object) -> bytes:
    return encoded(Image.new("RGB", (width, height), "red"), format, **options)


def webp_canvas() -> bytes:
    """Pillow's own guard lets 178 million pixels pass."""
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
    """A progressive picture of 50 megapixels, its last scan again until 20 MB are full."""
    data = flat("JPEG", 8160, 6120, progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    return data[:last] + scan * ((BODY_BYTES - last) // len(scan)) + b"\xff\xd9"


def jpeg_allowed_scans() -> bytes:
    data = flat("JPEG", 8160, 6120, progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 8 + b"\xff\xd9"


def jpeg_junk() -> bytes:
    data = flat("JPEG", 32, 32)
    place = data.index(b"\xff\xdb")
    return data[:place] + bytes(BODY_BYTES - len(data)) + data[place:]


def jpeg_exif() -> bytes:
    data = flat("JPEG", 32, 32)
    segment = b"\xff\xe1" + struct.pack(">H", 65_535) + b"Exif\0\0" + bytes(65_527)
    return data[:2] + segment * (BODY_BYTES // len(segment)) + data[2:]


def gif_comments() -> bytes:
    data = flat("GIF", 32, 32)
    start = data.index(b",")
    comment = b"!\xfe" + b"\x01x" * (BODY_BYTES // 2) + b"\0"
    return data[:start] + comment + data[start:]


def tiff_tile() -> bytes:
    """One pixel, in a tile of a billion."""
    file = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[322], tags[323] = 32_768, 32_768
    Image.new("RGB", (16, 16)).save(file, "TIFF", compression="tiff_adobe_deflate", tiffinfo=tags)
    return file.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "a photo's worth, for comparison": lambda: flat("JPEG", 500, 375),
    **{
        f"{format}, 60 000 x 60 000 in its header": lambda format=format: header_alone(  # type: ignore[misc]
            format, 60_000, 60_000
        )
        for format in ("PNG", "JPEG", "GIF", "BMP")
    },
    "TIFF, 16 000 x 16 000": lambda: flat("TIFF", 16_000, 16_000, compression="tiff_adobe_deflate"),
    "WebP, a canvas of 14 000 x 12 000": webp_canvas,
    "AVIF, 10 x 10 that decodes to 100 million": lambda: lying_avif(10_000),
    "TIFF, a pixel in a tile of a billion": tiff_tile,
    "PNG, 60 texts of a megabyte each": png_texts,
    "PNG, 1.7 million chunks": png_chunks,
    "JPEG, 20 MB of nothing before its header": jpeg_junk,
    "JPEG, 20 MB of Exif": jpeg_exif,
    "JPEG, progressive, thousands of scans": jpeg_scans,
    "JPEG, progressive, as many scans as may be": jpeg_allowed_scans,
    "GIF, ten million comments": gif_comments,
    "BMP, five million empty operations": lambda: slow_bmp(5_000_000),
    "PNG, 50 megapixels of red": lambda: flat("PNG", 8160, 6120),
    "WebP, 50 megapixels of red": lambda: flat("WEBP", 8160, 6120, method=0),
    "AVIF, 50 megapixels of red": lambda: flat("AVIF", 8160, 6120, speed=10),
}


def peak_bytes(process: DecodingProcess) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def main() -> None:
    table = Table("file", "MB", "ms", "MB of memory", "answer")
    for name, make in FILES.items():
        data = make()
        process = DecodingProcess(max_pixels=MAX_PIXELS, timeout_seconds=TIMEOUT_SECONDS)
        process.decode(plain("red"), CAFFE)
        before, started = peak_bytes(process), time.monotonic()
        try:
            process.decode(data, CAFFE)
            answer = "served"
        except ServiceError as error:
            answer = f"{error.status} {error}"[:70]
        milliseconds = (time.monotonic() - started) * 1000
        memory = "ended" if process.pid is None else f"{(peak_bytes(process) - before) / 1e6:.0f}"
        table.add_row(name, f"{len(data) / 1e6:.2f}", f"{milliseconds:.0f}", memory, answer)
        process.close()
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
