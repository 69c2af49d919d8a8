"""A decoding process: crashes, timeouts and memory limits refuse one image and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image, features

from service.errors import (
    DecoderFailed,
    ImageTooLarge,
    InvalidImage,
    ServiceError,
    UnsupportedMedia,
)
from service.imaging.decoder import decode
from service.imaging.decoder_process import START_UP_BYTES, DecoderProcess
from service.imaging.sandbox import _briefly
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.images import (
    encoded,
    header_alone,
    lying_avif,
    noise,
    plain,
    png_chunk,
    recipe,
)

MAX_PIXELS = 1_000_000
RECIPE = recipe(32, 28)
RED = plain("red")
MEBIBYTE = 2**20
LIE = 6000


@pytest.fixture
def process() -> Iterator[DecoderProcess]:
    process = DecoderProcess(max_pixels=MAX_PIXELS, timeout_seconds=WAIT_SECONDS)
    yield process
    process.close()


@pytest.fixture
def before_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes decoding processes run a script first: Python runs a `sitecustomize` at its start."""

    def write(script: str) -> None:
        (tmp_path / "sitecustomize.py").write_text(script)
        monkeypatch.syspath_prepend(str(tmp_path))

    return write


def pid(process: DecoderProcess) -> int:
    assert process.pid is not None
    return process.pid


def test_it_gives_what_decoding_here_gives(process: DecoderProcess) -> None:
    for data in (RED, encoded(noise(300, 200), "JPEG"), encoded(noise(60, 90), "WEBP")):
        there = process.decode(data, RECIPE)
        np.testing.assert_array_equal(there, decode(data, RECIPE, max_pixels=MAX_PIXELS))
    assert process.decode(RED, recipe(40, 7)).shape == (7, 7, 3)


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


def test_an_image_that_takes_too_long_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    process = DecoderProcess(max_pixels=MAX_PIXELS, timeout_seconds=1.0)
    try:
        process.decode(RED, RECIPE)
        first = pid(process)
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(InvalidImage, match="not decoded within 1 s"):
            process.decode(RED, RECIPE)
        assert not psutil.pid_exists(first)
        assert process.decode(RED, RECIPE).shape == (28, 28, 3)
        assert "was given up after" in caplog.text
    finally:
        process.close()


def test_a_process_that_takes_no_image_is_given_up() -> None:
    """The file is larger than the socket's buffer. The error does not blame the image."""
    process = DecoderProcess(max_pixels=MAX_PIXELS, timeout_seconds=0.5)
    try:
        process.decode(RED, RECIPE)
        first = pid(process)
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(DecoderFailed, match=r"took no image for 0\.5 s"):
            process.decode(RED + bytes(8 * MEBIBYTE), RECIPE)
        assert not psutil.pid_exists(first)
        assert process.decode(RED, RECIPE).shape == (28, 28, 3)
    finally:
        process.close()


def test_an_image_that_ends_its_process_is_refused(
    process: DecoderProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """A signal, as after a fault in a decoder."""
    process.decode(RED, RECIPE)
    first = pid(process)
    os.kill(first, signal.SIGSTOP)

    def fault() -> None:
        os.kill(first, signal.SIGSEGV)
        with contextlib.suppress(ProcessLookupError):
            os.kill(first, signal.SIGCONT)

    threading.Timer(0.2, fault).start()
    with pytest.raises(InvalidImage, match="ended its decoder"):
        process.decode(RED, RECIPE)
    assert f"status -{signal.SIGSEGV.value}" in caplog.text
    assert process.decode(RED, RECIPE).shape == (28, 28, 3)


def test_one_that_died_while_idle_is_started_again(process: DecoderProcess) -> None:
    process.decode(RED, RECIPE)
    first = pid(process)
    os.kill(first, signal.SIGKILL)
    # Wait for its end without reaping it; DecoderProcess does that.
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert process.decode(RED, RECIPE).shape == (28, 28, 3)
    assert process.pid != first


def test_sigint_and_sigterm_do_not_end_it(process: DecoderProcess) -> None:
    """Ctrl-C and a supervisor signal the whole group; images being decoded are finished first."""
    process.decode(RED, RECIPE)
    first = pid(process)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(first, number)
        process.decode(RED, RECIPE)
    assert process.pid == first
    process.close()
    assert not psutil.pid_exists(first)
    assert process.close() is None


def test_a_process_that_does_not_start(
    process: DecoderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DecoderFailed, match="its status was 1"):
        process.decode(RED, RECIPE)


def test_the_log_says_why_a_process_did_not_start(
    process: DecoderProcess, before_all: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    before_all("""
import os, sys
sys.stderr.write("Traceback (most recent call last):\\nImportError: no libjpeg here\\n")
sys.stderr.flush()
os._exit(3)
""")
    with pytest.raises(DecoderFailed, match=r"status was 3.*ImportError: no libjpeg here$"):
        process.decode(RED, RECIPE)
    assert "Traceback (most recent call last):" in caplog.text


def test_a_process_that_writes_without_end_does_not_block_on_it(
    process: DecoderProcess, before_all: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    before_all("""
import contextlib, os
with contextlib.suppress(BlockingIOError):
    while True:
        os.write(2, b"x" * 1024)
os._exit(3)
""")
    with pytest.raises(DecoderFailed, match="status was 3"):
        process.decode(RED, RECIPE)
    (record,) = caplog.records
    assert len(record.getMessage()) < START_UP_BYTES + 100


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_an_avif_is_decoded_by_one_thread(
    process: DecoderProcess, before_all: Callable[[str], None]
) -> None:
    """The pool has a process for each CPU already."""
    before_all("""
from PIL import _avif
def decoder(data, codec, threads):
    raise ValueError(f"{threads} threads")
_avif.AvifDecoder = decoder
""")
    with pytest.raises(InvalidImage, match="read: 1 threads"):
        process.decode(encoded(noise(40, 40), "AVIF"), RECIPE)


def test_it_goes_when_the_service_goes() -> None:
    """Also when the service ends without closing it."""
    script = """
import os
from service.imaging.decoder_process import DecoderProcess
process = DecoderProcess(max_pixels=1000, timeout_seconds=1)
process.start()
print(process.pid, flush=True)
os._exit(1)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    orphan = int(ended.stdout)
    eventually(
        lambda: (
            not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE
        )
    )


def canvas(width: int, height: int) -> bytes:
    """An animated WebP whose frames cover a corner, of the largest size that Pillow opens."""
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
        """Otherwise the test above would pass without a limit too."""
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
        """24 MiB for a header, 64 MiB and 24 bytes a pixel for the pixels, and for either two
        copies of the file. The file's last bytes state how much its reader takes. A few MiB that
        are free in the process can be taken too. A WebP's header may reserve the largest canvases.
        """
        before_all("""
import struct
import numpy as np
from PIL import Image, ImageFile
open, load = Image.open, ImageFile.ImageFile.load
def greedy_open(file, **options):
    global pixels
    header, pixels = struct.unpack("<II", file.getvalue()[-8:])
    np.empty(header, np.uint8)
    return open(file, **options)
def greedy_load(image):
    if image.tile:
        np.empty(pixels, np.uint8)
    return load(image)
Image.open, ImageFile.ImageFile.load = greedy_open, greedy_load
""")
        image = plain("red", (edge, edge), format) + bytes(file * MEBIBYTE)

        def decode(header: int, pixels: int) -> None:
            taken = struct.pack("<II", header * MEBIBYTE, pixels * MEBIBYTE)
            assert process.decode(image + taken, RECIPE).shape == (28, 28, 3)

        header, pixels = 24 + 2 * file, 64 + 2 * file + 24 * edge**2 // MEBIBYTE
        if format == "WEBP":
            header += 2 * 4 * 2 * (Image.MAX_IMAGE_PIXELS or 0) // MEBIBYTE
        decode(header - 8, pixels - 8)
        survivor = pid(process)
        for taken in ((header + 8, 0), (0, pixels + 8)):
            with pytest.raises(InvalidImage, match="it needs more memory than an image of its"):
                decode(*taken)
        assert pid(process) == survivor

    def test_a_memory_error_outside_of_a_reader_is_a_refusal(
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
        assert process.decode(RED, RECIPE).shape == (28, 28, 3)
        assert pid(process) == survivor

    @pytest.mark.parametrize(
        "bomb",
        [header_alone(format, 60_000, 60_000) for format in ("PNG", "BMP", "GIF", "JPEG")]
        + [encoded(Image.new("RGB", (4000, 4000)), format) for format in ("PNG", "AVIF")]
        + [canvas(13_377, 13_377)],
        ids=["PNG", "BMP", "GIF", "JPEG", "PNG of black", "AVIF of black", "WEBP"],
    )
    def test_a_bomb_takes_no_memory(self, bomb: bytes) -> None:
        process = DecoderProcess(max_pixels=50_000_000, timeout_seconds=WAIT_SECONDS)
        try:
            process.decode(RED, RECIPE)
            before = self.peak_bytes(process)
            with pytest.raises(ImageTooLarge):
                process.decode(bomb, RECIPE)
            assert self.peak_bytes(process) - before < 10 * MEBIBYTE
        finally:
            process.close()

    def test_a_large_file_is_held_once(self, process: DecoderProcess) -> None:
        process.decode(RED, RECIPE)
        before = self.peak_bytes(process)
        with pytest.raises(UnsupportedMedia):
            process.decode(bytes(40 * MEBIBYTE), RECIPE)
        assert self.peak_bytes(process) - before < 44 * MEBIBYTE

    def test_memory_of_large_images_is_released(self, process: DecoderProcess) -> None:
        large = encoded(Image.new("RGB", (1000, 1000), "red"), "WEBP")
        resident = psutil.Process
        for _ in range(3):
            process.decode(large, RECIPE)
        before = resident(pid(process)).memory_info().rss
        for _ in range(30):
            process.decode(large, RECIPE)
        assert resident(pid(process)).memory_info().rss - before < 8 * MEBIBYTE


def test_a_file_that_is_larger_than_all_before_it(process: DecoderProcess) -> None:
    """It is received under its own limit, not under that of the image before it."""
    process.decode(RED, RECIPE)
    survivor = pid(process)
    bitmap = encoded(noise(40, 40), "BMP") + bytes(100 * MEBIBYTE)
    assert process.decode(bitmap, RECIPE).shape == (28, 28, 3)
    assert process.pid == survivor


@pytest.mark.parametrize("place", [33, -12], ids=["before the pixels", "after them"])
def test_limit_of_time_for_a_header(process: DecoderProcess, place: int) -> None:
    """Exif of 65 535 invalid entries, each a warning, which no limit counts."""
    entries = (struct.pack("<HHII", tag, 4, 2**30, 0) for tag in range(65_535))
    exif = b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + b"".join(entries) + bytes(4)
    data = RED[:place] + png_chunk(b"eXIf", exif) + RED[place:]
    process.decode(RED, RECIPE)
    survivor = pid(process)
    with pytest.raises(InvalidImage, match=r"header takes more than 0\.025 s to read"):
        process.decode(data, RECIPE)
    assert process.decode(RED, RECIPE).shape == (28, 28, 3)
    assert process.pid == survivor


def test_the_limit_of_time_ends_with_the_header() -> None:
    """Decoding the pixels of a large image takes longer than a header may."""
    with _briefly():
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 0
    left = signal.getitimer(signal.ITIMER_VIRTUAL)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    assert left == (0, 0)


def test_limit_of_text_in_a_png(process: DecoderProcess) -> None:
    """The service ignores text; Pillow unpacks up to this limit."""

    def described(length: int) -> bytes:
        texts = (length // 8,) * 7 + (length - length // 8 * 7,)
        chunks = (png_chunk(b"tEXt", b"Comment\0" + b"x" * text) for text in texts)
        return RED[:33] + b"".join(chunks) + RED[33:]

    assert process.decode(described(4 * MEBIBYTE), RECIPE).shape == (28, 28, 3)
    with pytest.raises(InvalidImage, match="text"):
        process.decode(described(4 * MEBIBYTE + 1), RECIPE)


def test_what_a_library_writes_does_not_reach_the_log(
    process: DecoderProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    """libtiff writes to stderr."""
    tiff = encoded(noise(40, 40), "TIFF", compression="tiff_lzw")
    for cut in range(20, len(tiff), 97):
        damaged = tiff[:cut] + b"\xff" * 8 + tiff[cut + 8 :]
        try:
            process.decode(damaged, RECIPE)
        except ServiceError:
            continue
    process.close()
    assert capfd.readouterr() == ("", "")
