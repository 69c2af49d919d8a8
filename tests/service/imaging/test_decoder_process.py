"""One decoding process: how it ends, and what then becomes of its image."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from service.errors import DecoderFailed, InvalidImage
from service.imaging import decoder_process as module
from service.imaging.decoder_process import (
    DecoderProcess,
    DecodingCancelled,
    LargerThanExpected,
)
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.images import plain, recipe
from tests.service.imaging.processes import decoder_process

RECIPE = recipe(32, 28)
RED = plain("red")
MEBIBYTE = 2**20
ODD = plain("red", (99, 40))


@pytest.fixture
def failures() -> list[str]:
    return []


@pytest.fixture
def process(failures: list[str]) -> Iterator[DecoderProcess]:
    with decoder_process(
        max_pixels=1_000_000, timeout_seconds=WAIT_SECONDS, observe_failure=failures.append
    ) as process:
        yield process


def pid(process: DecoderProcess) -> int:
    assert process.pid is not None
    return process.pid


def good(process: DecoderProcess, data: bytes = RED) -> bool:
    return process.decode(data, RECIPE).pixels.shape == (28, 28, 3)


@pytest.fixture
def by_the_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called, an image has no limit by the clock: on a busy machine a good one may need it."""
    return lambda: monkeypatch.setattr(module, "STALLED_TIMEOUTS", 100 * WAIT_SECONDS)


def stopped(process: DecoderProcess) -> int:
    """Its process, which from now on does nothing with what it is sent."""
    process.start()
    os.kill(pid(process), signal.SIGSTOP)
    return pid(process)


def test_an_image_that_takes_too_much_of_a_cpu_is_given_up(
    before_all: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    failures: list[str],
    by_the_cpu_alone: Callable[[], None],
) -> None:
    by_the_cpu_alone()
    before_all("""
from service.imaging import decoder as images
check = images.check_size
def endless(image, **limits):
    while image.width == 99:
        pass
    check(image, **limits)
images.check_size = endless
""")
    with decoder_process(
        max_pixels=1_000_000, timeout_seconds=0.5, observe_failure=failures.append
    ) as process:
        process.start()
        first = pid(process)
        with pytest.raises(InvalidImage, match=r"more than 0\.5 s of a CPU"):
            process.decode(ODD, RECIPE)
        assert not psutil.pid_exists(first)
        assert good(process)
        assert f"{module._named(ODD)} was given up" in caplog.text
        assert failures == ["timeout"]


def test_a_process_that_gets_nothing_done_is_given_up(
    failures: list[str], by_the_cpu_alone: Callable[[], None]
) -> None:
    """It is not the image's fault: others may have the CPU."""
    with decoder_process(
        max_pixels=1_000_000, timeout_seconds=0.2, observe_failure=failures.append
    ) as process:
        first = stopped(process)
        with pytest.raises(DecoderFailed, match=r"gave no answer for 0\.6 s"):
            process.decode(RED, RECIPE)
        assert not psutil.pid_exists(first)
        by_the_cpu_alone()
        assert good(process)
        assert failures == ["timeout"]


def test_a_process_that_takes_no_image_is_given_up(
    failures: list[str], by_the_cpu_alone: Callable[[], None]
) -> None:
    """More than the socket between them holds. It is not the image's fault."""
    with decoder_process(
        max_pixels=1_000_000, timeout_seconds=0.5, observe_failure=failures.append
    ) as process:
        first = stopped(process)
        with pytest.raises(DecoderFailed, match="took no image"):
            process.decode(RED + bytes(8 * MEBIBYTE), RECIPE)
        assert not psutil.pid_exists(first)
        by_the_cpu_alone()
        assert good(process)
        assert failures == ["timeout"]


ENDED_BY_ODD_IMAGES = """
import os
from pathlib import Path
from service.imaging import decoder as images
check = images.check_size
def fatal(image, **limits):
    if image.width == 99 and not Path({once!r}).exists():
        {then}
        os.kill(os.getpid(), {signal})
    check(image, **limits)
images.check_size = fatal
"""


def test_an_image_that_ends_two_processes_is_refused(
    process: DecoderProcess,
    before_all: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    failures: list[str],
) -> None:
    """As a fault in a decoder would end them."""
    before_all(ENDED_BY_ODD_IMAGES.format(once="/nowhere", then="", signal="11"))
    with pytest.raises(InvalidImage, match="ended its decoder"):
        process.decode(ODD, RECIPE)
    assert caplog.text.count(f"status -{signal.SIGSEGV.value}") == 2
    assert failures == ["ended", "ended"]
    assert good(process)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_an_image_whose_process_was_killed_is_tried_once_more(
    process: DecoderProcess,
    before_all: Callable[[str], None],
    tmp_path: Path,
    failures: list[str],
    number: signal.Signals,
) -> None:
    """The kernel's memory killer takes what is largest, whatever it is doing."""
    once = tmp_path / "once"
    before_all(
        ENDED_BY_ODD_IMAGES.format(
            once=str(once), then=f"Path({str(once)!r}).touch()", signal=number.value
        )
    )
    process.start()
    first = pid(process)
    assert good(process, ODD)
    assert process.pid != first
    assert failures == ["ended"]


@pytest.mark.parametrize(
    "answer",
    ["b''", "b'?'", "b'p'", "b'p' + bytes(11)", "b'r{}'", "b'r[1, 2]'", "b'l'", "bytes(2**26 + 1)"],
)
def test_what_was_taken_over_takes_over_nothing_else(
    process: DecoderProcess, before_all: Callable[[str], None], answer: str
) -> None:
    """Whatever it answers."""
    before_all(f"""
from service.imaging import sandbox
original = sandbox._answer
def answer(data, task):
    image = original(data, task)
    return {answer} if len(data) == {len(ODD)} else image
sandbox._answer = answer
""")
    with pytest.raises(InvalidImage, match="ended its decoder"):
        process.decode(ODD, RECIPE)
    assert good(process)


def test_one_that_died_while_idle_is_started_again(
    process: DecoderProcess, failures: list[str]
) -> None:
    """And no image is tried once more for it."""
    process.decode(RED, RECIPE)
    first = pid(process)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: psutil.Process(first).status() == psutil.STATUS_ZOMBIE)
    assert good(process)
    assert process.pid != first
    assert not psutil.pid_exists(first)
    assert failures == []


def test_no_signal_but_the_services_own_word_ends_it(process: DecoderProcess) -> None:
    """Ctrl-C and a supervisor reach the whole group; what is under way is finished first."""
    process.decode(RED, RECIPE)
    first = pid(process)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(first, number)
        process.decode(RED, RECIPE)
    assert process.pid == first
    assert process.close() == -signal.SIGKILL
    assert not psutil.pid_exists(first)
    assert process.close() is None


def test_what_is_cancelled_ends_with_its_process(
    process: DecoderProcess, failures: list[str]
) -> None:
    first, cancelled = stopped(process), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(process.decode, RED, RECIPE, cancelled=cancelled.is_set)
        cancelled.set()
        process.interrupt()
        with pytest.raises(DecodingCancelled):
            under_way.result(WAIT_SECONDS)
    assert not psutil.pid_exists(first)
    assert failures == []
    with pytest.raises(DecodingCancelled):
        process.decode(RED, RECIPE, cancelled=lambda: True)
    survivor = pid(process)
    assert good(process)
    assert process.pid == survivor


def test_an_interruption_that_comes_too_late_costs_no_image(process: DecoderProcess) -> None:
    process.decode(RED, RECIPE)
    process.interrupt()
    assert good(process)


def test_an_image_larger_than_expected_is_not_decoded(process: DecoderProcess) -> None:
    assert process.decode(ODD, RECIPE, expected_pixels=99 * 40).image_pixels == 99 * 40
    survivor = pid(process)
    with pytest.raises(LargerThanExpected) as larger:
        process.decode(ODD, RECIPE, expected_pixels=99 * 40 - 1)
    assert larger.value.pixels == 99 * 40
    assert good(process)
    assert process.pid == survivor


def test_niceness_is_of_the_process_alone() -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    with decoder_process(max_pixels=10_000, timeout_seconds=WAIT_SECONDS, niceness=3) as process:
        assert good(process)
        assert os.getpriority(os.PRIO_PROCESS, pid(process)) == ours + 3
    assert os.getpriority(os.PRIO_PROCESS, 0) == ours


def test_it_goes_when_the_service_goes() -> None:
    """However that ended, and whatever it does: nobody is left who could end it."""
    script = """
import os, signal
from service.imaging.decoder_process import DecoderProcess
from service.imaging.launcher import Launcher
process = DecoderProcess(Launcher(), max_pixels=1000, timeout_seconds=1)
process.start()
os.kill(process.pid, signal.SIGSTOP)
print(process.pid, process.start().server.pid, flush=True)
os._exit(1)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    orphans = [int(orphan) for orphan in ended.stdout.split()]
    assert len(orphans) == 2

    def gone(orphan: int) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE
        return True

    eventually(lambda: all(gone(orphan) for orphan in orphans))


def test_the_log_names_an_image_that_ends_its_decoders(
    process: DecoderProcess, before_all: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    before_all(ENDED_BY_ODD_IMAGES.format(once="/nowhere", then="", signal="9"))
    with pytest.raises(InvalidImage):
        process.decode(ODD, RECIPE)
    errors = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert errors == [f"{module._named(ODD)} ended 2 decoders and is refused"]
