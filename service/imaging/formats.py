"""The formats that are accepted: their signatures, Pillow's readers and their limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import PREFIXES, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from service.errors import InvalidImage, UnsupportedMedia
from service.imaging.layouts import avif as avif_layout
from service.imaging.layouts import bmp as bmp_layout
from service.imaging.layouts import heif as heif_layout
from service.imaging.layouts import jpeg as jpeg_layout
from service.imaging.layouts import png as png_layout
from service.imaging.layouts import tiff as tiff_layout
from service.imaging.layouts.alpha import without_unused_alpha
from service.imaging.limits import bmp, gif, isobmff, jpeg, png, tiff, webp
from service.imaging.repair import avif as avif_repair
from service.imaging.repair import bmp as bmp_repair
from service.imaging.repair import damage
from service.imaging.repair import jpeg as jpeg_repair
from service.imaging.repair import png as png_repair
from service.imaging.repair import webp as webp_repair

# As many as Pillow shows a reader to decide by.
MAGIC_BYTES = 16


@dataclass(frozen=True, slots=True)
class Format:
    """reader: Pillow's class. signatures: bytes at `offset` by which an error names the format.
    also_read: other bytes there that the reader accepts; such a file may be of another format.

    The checks raise ImageTooLarge or InvalidImage; None where a format needs none. Three are called
    before Pillow sees the file: check_parts(data), check_frames(data, max_frames) and, where the
    reader allocates pixels while it reads the header, check_size(data, max_pixels).
    check_work(image, data) is called after the header was read; it limits what decoding costs
    beyond the number of pixels.

    check_layout(image): after the header was read; raises InvalidImage for what would be decoded
    wrong. explain(data): the refusal of a file that the reader does not open, None where another
    reason is to be named. stated_bytes(data): how long the file is at least, by its header.
    shown(image): of the decoded image, what a person sees. repairs(data):
    the file without damage that costs no pixel, for a file that can't be read as it is. They decode
    no pixels, other than completed(data): with an end that is missing, where all pixels are there.
    """

    reader: type[ImageFile]
    signatures: tuple[bytes, ...]
    offset: int = 0
    also_read: tuple[bytes, ...] = ()
    check_parts: Callable[[bytes], None] | None = None
    check_frames: Callable[[bytes, int], None] | None = None
    check_size: Callable[[bytes, int], None] | None = None
    check_work: Callable[[ImageFile, bytes], None] | None = None
    check_layout: Callable[[Any], None] | None = None
    explain: Callable[[bytes], InvalidImage | None] | None = None
    stated_bytes: Callable[[bytes], int] | None = None
    shown: Callable[[Any], Image.Image] | None = None
    repairs: Callable[[bytes], Iterator[bytes]] | None = None
    completed: Callable[[bytes], bytes | None] | None = None

    def may_read(self, data: bytes) -> bool:
        """Whether Pillow's reader may try this file."""
        return data.startswith(self.signatures + self.also_read, self.offset)

    def check_file(self, data: bytes, *, max_pixels: int, max_frames: int) -> None:
        """The checks that precede Pillow's reader. Raises ImageTooLarge or InvalidImage."""
        if self.check_parts is not None:
            self.check_parts(data)
        if self.check_frames is not None:
            self.check_frames(data, max_frames)
        if self.check_size is not None:
            self.check_size(data, max_pixels)


# ISO 23008-12, annex B, and what follows it: still images and sequences that are coded as HEVC.
HEVC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
# By Pillow's names, in the order in which Pillow tries them. Importing a reader registers it with
# Pillow, which then does not import the readers of all other formats.
FORMATS: dict[str, Format] = {
    "JPEG": Format(
        JpegImageFile,
        (b"\xff\xd8\xff",),
        check_parts=jpeg.check_segments,
        check_work=jpeg.check_scans,
        check_layout=jpeg_layout.check,
        explain=jpeg_layout.explain,
        repairs=jpeg_repair.repairs,
        completed=jpeg_repair.completed,
    ),
    "PNG": Format(
        PngImageFile,
        (b"\x89PNG",),
        check_parts=png.check_chunks,
        check_layout=png_layout.check,
        shown=png_layout.shown,
        repairs=png_repair.repairs,
    ),
    "WEBP": Format(
        WebPImageFile,
        (b"WEBP",),
        offset=8,
        check_frames=webp.check_frames,
        stated_bytes=damage.riff_bytes,
        repairs=webp_repair.repairs,
    ),
    "AVIF": Format(
        AvifImageFile,
        (b"ftypavif", b"ftypavis"),
        offset=4,
        # Brands that HEIC has too.
        also_read=(b"ftypmif1", b"ftypmsf1"),
        check_frames=isobmff.check_frames,
        explain=avif_layout.explain,
        stated_bytes=damage.isobmff_bytes,
        repairs=avif_repair.repairs,
    ),
    "GIF": Format(
        GifImageFile,
        (b"GIF8",),
        check_parts=gif.check_blocks,
        check_frames=gif.check_frames,
        check_size=gif.check_size,
    ),
    "BMP": Format(
        BmpImageFile,
        (b"BM",),
        check_work=bmp.check_runs,
        check_layout=bmp_layout.check,
        shown=without_unused_alpha,
        repairs=bmp_repair.repairs,
    ),
    "TIFF": Format(
        TiffImageFile,
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        also_read=tuple(PREFIXES),
        check_parts=tiff.check_entries,
        check_frames=tiff.check_frames,
        check_layout=tiff_layout.check,
        explain=tiff_layout.explain,
        stated_bytes=damage.tiff_bytes,
        shown=tiff_layout.eight_bits,
    ),
}
if heif_layout.READER is not None:
    FORMATS["HEIF"] = Format(
        heif_layout.READER,
        (b"ftypmif1", b"ftypmsf1", *(b"ftyp" + brand for brand in HEVC_BRANDS)),
        offset=4,
        check_frames=isobmff.check_frames,
        check_layout=heif_layout.check,
        shown=heif_layout.shown,
    )
ACCEPTED = tuple(name for name in FORMATS if name != "AVIF" or features.check("avif"))
WITHOUT_HEIF = "HEIC or HEIF, which this server takes where the extra 'heif' is installed"
# Other formats that users send, by the position of their signature, so that an error names them.
OTHERS: dict[tuple[int, bytes], str] = {
    (0, b"%PDF"): "PDF",
    (0, b"%!PS"): "PostScript",
    (0, b"\xc5\xd0\xd3\xc6"): "PostScript",
    (0, b"<svg"): "SVG",
    (0, b"<?xml"): "XML, SVG perhaps",
    (0, b"\xd7\xcd\xc6\x9a"): "WMF",
    (0, b"\xd0\xcf\x11\xe0"): "OLE, FlashPix perhaps",
    (0, b"8BPS"): "Photoshop",
    (0, b"\x00\x00\x01\x00"): "ICO",
    (0, b"\x00\x00\x00\x0cjP"): "JPEG 2000",
    (0, b"\xffO\xffQ"): "JPEG 2000",
    (0, b"\x00\x00\x00\x0cJXL"): "JPEG XL",
    (0, b"\xff\x0a"): "JPEG XL",
    (4, b"ftyphei"): WITHOUT_HEIF,
    (4, b"ftyphev"): WITHOUT_HEIF,
    (4, b"ftypmif1"): WITHOUT_HEIF,
    (4, b"ftypmsf1"): WITHOUT_HEIF,
}
SIGNATURES = OTHERS | {
    (format.offset, signature): name
    for name, format in FORMATS.items()
    for signature in format.signatures
}


def check_signature(data: bytes | memoryview) -> None:
    """Of a file, or of what may be one: refuses what no reader would try.

    Raises InvalidImage or UnsupportedMedia.
    """
    beginning = bytes(data[:MAGIC_BYTES])
    if not beginning:
        raise InvalidImage("The image is empty: 0 bytes.")
    if not any(FORMATS[name].may_read(beginning) for name in ACCEPTED):
        raise not_taken(beginning, len(data))


def not_taken(beginning: bytes, file_bytes: int) -> UnsupportedMedia:
    """The refusal of a file of none of the formats. beginning: MAGIC_BYTES of it, or more."""
    received = name_of(beginning) or _unknown(beginning[:MAGIC_BYTES], file_bytes)
    return UnsupportedMedia(f"Images are taken as {', '.join(ACCEPTED)}. Received: {received}")


def _unknown(start: bytes, file_bytes: int) -> str:
    """Says what a file of no known format is."""
    if start.isascii() and all(byte >= 0x20 or byte in b"\t\r\n" for byte in start):
        return f"{file_bytes} bytes of text"
    return f"{file_bytes} bytes that begin with {start[:8].hex(' ')} (hexadecimal)"


def name_of(data: bytes) -> str | None:
    """The format, accepted or not, whose signature a file has; None where it has none.

    Of several signatures the one with the largest offset decides, since those at the beginning can
    be as short as BMP's two letters.
    """
    found = [key for key in SIGNATURES if data.startswith(key[1], key[0])]
    return SIGNATURES[max(found)] if found else None
