"""The process that decodes: what a file can do to it, and that it does so to nothing else."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image, features

from service.errors import (
    ImageTooLarge,
    InvalidImage,
    ServiceError,
    UnsupportedMedia,
)
from service.imaging.decoder import decode
from service.imaging.decoder_process import DecoderProcess
from service.imaging.sandbox import _briefly
from tests.service.fakes import WAIT_SECONDS
from tests.service.images import (
    encoded,
    header_alone,
    lying_avif,
    noise,
    plain,
    png_chunk,
    recipe,
)
from tests.service.imaging.processes import decoder_process

MAX_PIXELS = 1_000_000
RECIPE = recipe(32, 28)
RED = plain("red")
MEBIBYTE = 2**20
LIE = 6000


@pytest.fixture
def process() -> Iterator[DecoderProcess]:
    with decoder_process(max_pixels=MAX_PIXELS, timeout_seconds=WAIT_SECONDS) as process:
        yield process


def pid(process: DecoderProcess) -> int:
    assert process.pid is not None
    return process.pid


def test_it_gives_what_decoding_here_gives(process: DecoderProcess) -> None:
    for data in (RED, encoded(noise(300, 200), "JPEG"), encoded(noise(60, 90), "WEBP")):
        there = process.decode(data, RECIPE)
        np.testing.assert_array_equal(there.pixels, decode(data, RECIPE, max_pixels=MAX_PIXELS))
    assert process.decode(RED, recipe(40, 7)).pixels.shape == (7, 7, 3)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", InvalidImage),
        (RED[:70], InvalidImage),
        (b"%PDF", UnsupportedMedia),
        (header_alone("PNG", 1001, 1000), ImageTooLarge),
    ],
)
def test_it_refuses_what_decoding_here_refuses(
    process: DecoderProcess, data: bytes, error: type[ServiceError]
) -> None:
    with pytest.raises(error) as here:
        decode(data, RECIPE, max_pixels=MAX_PIXELS)
    with pytest.raises(error) as there:
        process.decode(data, RECIPE)
    assert str(there.value) == str(here.value)
    survivor = pid(process)
    process.decode(RED, RECIPE)
    assert process.pid == survivor


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_an_avif_is_decoded_by_one_thread(
    process: DecoderProcess, before_all: Callable[[str], None]
) -> None:
    """There is a process for each CPU already."""
    before_all("""
from PIL import _avif
def decoder(data, codec, threads):
    raise ValueError(f"{threads} threads")
_avif.AvifDecoder = decoder
""")
    with pytest.raises(InvalidImage, match="read: 1 threads"):
        process.decode(encoded(noise(40, 40), "AVIF"), RECIPE)


def canvas(width: int, height: int) -> bytes:
    """An animated WebP whose frames cover a corner of it; just under what Pillow opens."""
    assert width * height <= 2 * (Image.MAX_IMAGE_PIXELS or 0) < (width + 1) * height
    data = bytearray(encoded(noise(8, 8), "WEBP", save_all=True, append_images=[noise(8, 8, 1)]))
    assert data[12:16] == b"VP8X"
    data[24:30] = b"".join((edge - 1).to_bytes(3, "little") for edge in (width, height))
    return bytes(data)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
class TestMemory:
    def peak_bytes(self, process: DecoderProcess) -> int:
        status = Path(f"/proc/{pid(process)}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def test_a_file_that_decodes_to_more_than_its_header_says(
        self, process: DecoderProcess
    ) -> None:
        process.decode(encoded(noise(40, 40), "AVIF"), RECIPE)
        before = self.peak_bytes(process)
        with pytest.raises(InvalidImage):
            process.decode(lying_avif(LIE), RECIPE)
        assert self.peak_bytes(process) - before < 50 * MEBIBYTE

    def test_the_same_without_the_limit_would_cost_more(self, tmp_path: Path) -> None:
        """Or the test above would prove nothing."""
        file = tmp_path / "lying.avif"
        file.write_bytes(lying_avif(LIE))
        script = """
import sys
from pathlib import Path
from service.imaging.decoder import decode
from tests.service.images import recipe
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
data = Path(sys.argv[1]).read_bytes()
before = peak()
decode(data, recipe(32, 28), max_pixels=1000)
print(peak() - before)
"""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        kibibytes = subprocess.run(
            [sys.executable, "-c", script, file],
            env=environment,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        assert int(kibibytes) * 1024 > 50 * MEBIBYTE

    @pytest.mark.parametrize(
        ("format", "file", "edge"),
        [("PNG", 0, 40), ("PNG", 30, 40), ("PNG", 0, 1000), ("WEBP", 0, 40)],
    )
    def test_what_a_reader_may_take(
        self,
        process: DecoderProcess,
        before_all: Callable[[str], None],
        format: str,
        file: int,
        edge: int,
    ) -> None:
        """In MiB, and for a moment: 24 for a header, 64 and 24 bytes a pixel for the pixels, and
        for either two copies of the file, whose last bytes here say how much its reader takes.
        What lies free from before, a few, can be taken too. A WebP's header has room for the
        largest canvases that there are.
        """
        before_all("""
import struct
import numpy as np
from PIL import Image, ImageFile
from service.imaging import formats
load = ImageFile.ImageFile.load
def greedy(reader):
    def open(file, name):
        global pixels
        header, pixels = struct.unpack("<II", file.getvalue()[-8:])
        np.empty(header, np.uint8)
        return reader(file, name)
    return open
def greedy_load(image):
    if image.tile:
        np.empty(pixels, np.uint8)
    return load(image)
for name, (reader, accepts) in Image.OPEN.items():
    Image.OPEN[name] = greedy(reader), accepts
ImageFile.ImageFile.load = greedy_load
""")
        image = plain("red", (edge, edge), format) + bytes(file * MEBIBYTE)

        def decode(header: int, pixels: int) -> None:
            taken = struct.pack("<II", header * MEBIBYTE, pixels * MEBIBYTE)
            assert process.decode(image + taken, RECIPE).pixels.shape == (28, 28, 3)

        header, pixels = 24 + 2 * file, 64 + 2 * file + 24 * edge**2 // MEBIBYTE
        if format == "WEBP":
            header += 2 * 4 * 2 * (Image.MAX_IMAGE_PIXELS or 0) // MEBIBYTE
        decode(header - 8, pixels - 8)
        survivor = pid(process)
        for taken in ((header + 8, 0), (0, pixels + 8)):
            with pytest.raises(InvalidImage, match="it needs more memory than an image of its"):
                decode(*taken)
        assert pid(process) == survivor

    def test_what_is_no_readers_may_find_no_memory_either(
        self, process: DecoderProcess, before_all: Callable[[str], None]
    ) -> None:
        before_all("""
from service.imaging import decoder as images
check = images.check_size
def hungry(image, **limits):
    if image.width == 99:
        raise MemoryError
    check(image, **limits)
images.check_size = hungry
""")
        process.decode(RED, RECIPE)
        survivor = pid(process)
        with pytest.raises(InvalidImage, match="more memory than its header explains"):
            process.decode(plain("red", (99, 40)), RECIPE)
        assert process.decode(RED, RECIPE).pixels.shape == (28, 28, 3)
        assert pid(process) == survivor

    @pytest.mark.parametrize(
        "bomb",
        [header_alone(format, 60_000, 60_000) for format in ("PNG", "BMP", "GIF", "JPEG")]
        + [encoded(Image.new("RGB", (4000, 4000)), format) for format in ("PNG", "AVIF")]
        + [canvas(13_377, 13_377)],
        ids=["PNG", "BMP", "GIF", "JPEG", "PNG of black", "AVIF of black", "WEBP"],
    )
    def test_a_bomb_costs_nothing(self, bomb: bytes) -> None:
        with decoder_process(max_pixels=50_000_000, timeout_seconds=WAIT_SECONDS) as process:
            process.decode(RED, RECIPE)
            before = self.peak_bytes(process)
            with pytest.raises(ImageTooLarge):
                process.decode(bomb, RECIPE)
            assert self.peak_bytes(process) - before < 10 * MEBIBYTE

    def test_a_large_file_is_held_once(self, process: DecoderProcess) -> None:
        process.decode(RED, RECIPE)
        before = self.peak_bytes(process)
        with pytest.raises(UnsupportedMedia):
            process.decode(bytes(40 * MEBIBYTE), RECIPE)
        assert self.peak_bytes(process) - before < 44 * MEBIBYTE

    def test_what_a_large_image_took_is_given_back(self, process: DecoderProcess) -> None:
        large = encoded(Image.new("RGB", (1000, 1000), "red"), "WEBP")
        resident = psutil.Process
        for _ in range(3):
            process.decode(large, RECIPE)
        before = resident(pid(process)).memory_info().rss
        for _ in range(30):
            process.decode(large, RECIPE)
        assert resident(pid(process)).memory_info().rss - before < 8 * MEBIBYTE


def test_a_file_that_is_larger_than_all_before_it(process: DecoderProcess) -> None:
    """It is received under the limit for itself, not for the image before it."""
    process.decode(RED, RECIPE)
    survivor = pid(process)
    bitmap = encoded(noise(40, 40), "BMP") + bytes(100 * MEBIBYTE)
    assert process.decode(bitmap, RECIPE).pixels.shape == (28, 28, 3)
    assert process.pid == survivor


@pytest.mark.parametrize("place", [33, -12], ids=["before the pixels", "after them"])
def test_a_header_that_is_endless_work(process: DecoderProcess, place: int) -> None:
    """A directory of 65 535 entries that lie, each a warning: no rule of ours knows of it."""
    entries = (struct.pack("<HHII", tag, 4, 2**30, 0) for tag in range(65_535))
    exif = b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + b"".join(entries) + bytes(4)
    data = RED[:place] + png_chunk(b"eXIf", exif) + RED[place:]
    process.decode(RED, RECIPE)
    survivor = pid(process)
    with pytest.raises(InvalidImage, match=r"header takes more than 0\.025 s to read"):
        process.decode(data, RECIPE)
    assert process.decode(RED, RECIPE).pixels.shape == (28, 28, 3)
    assert process.pid == survivor


def test_the_time_that_a_header_may_take_ends_with_it() -> None:
    """The pixels of a large image take longer."""
    with _briefly():
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 0
    left = signal.getitimer(signal.ITIMER_VIRTUAL)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    assert left == (0, 0)


def test_four_mebibytes_of_text(process: DecoderProcess) -> None:
    """What an image says of itself is not looked at; more than that is dropped."""

    def described(length: int) -> bytes:
        texts = (length // 8,) * 7 + (length - length // 8 * 7,)
        chunks = (png_chunk(b"tEXt", b"Comment\0" + b"x" * text) for text in texts)
        return RED[:33] + b"".join(chunks) + RED[33:]

    for length in (4 * MEBIBYTE, 4 * MEBIBYTE + 1, 9 * MEBIBYTE):
        assert process.decode(described(length), RECIPE).pixels.shape == (28, 28, 3)


def test_what_a_library_writes_does_not_reach_the_log(
    process: DecoderProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    """libtiff writes lines of its own to stderr."""
    tiff = encoded(noise(40, 40), "TIFF", compression="tiff_lzw")
    for cut in range(20, len(tiff), 97):
        damaged = tiff[:cut] + b"\xff" * 8 + tiff[cut + 8 :]
        try:
            process.decode(damaged, RECIPE)
        except ServiceError:
            continue
    process.close()
    assert capfd.readouterr() == ("", "")
