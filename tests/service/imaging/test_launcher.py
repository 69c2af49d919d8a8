"""Decoding processes that can't be started, and the fork server that they come from."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from service.errors import DecoderFailed, ShuttingDown
from service.imaging import fork_server_client
from service.imaging import launcher as module
from service.imaging.decoder_process import MAX_PROCESSES, DecoderProcess
from service.imaging.fork_server_client import START_UP_BYTES
from service.imaging.launcher import PROBLEM, Launcher
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.images import plain, recipe
from tests.service.imaging.processes import decoders, fork_servers

RECIPE = recipe(32, 28)
RED = plain("red")


@pytest.fixture
def failures() -> list[str]:
    return []


@pytest.fixture
def launcher(failures: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    """Which tries again at once."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    launcher = Launcher(failures.append)
    yield launcher
    launcher.close()


def fails(launcher: Launcher) -> None:
    """To launch, with words for a client."""
    with pytest.raises(DecoderFailed) as failure:
        launcher.launch()
    assert str(failure.value) == PROBLEM
    assert launcher.problem == PROBLEM


def works(launcher: Launcher) -> None:
    process = launcher.launch()
    assert process.alive
    assert launcher.problem is None
    assert launcher.end(process) == -signal.SIGKILL


def test_without_an_interpreter(
    launcher: Launcher,
    failures: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert launcher.problem is None
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/nowhere/python")
        for _ in range(3):
            fails(launcher)
    assert failures == ["start"] * 3
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == [
        f"{PROBLEM} [Errno 2] No such file or directory: '/nowhere/python'"
    ]
    works(launcher)


def test_without_descriptors(launcher: Launcher) -> None:
    """Neither for a fork server nor for a process of one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def without(work: Callable[[Launcher], None]) -> None:
        lowest = os.open(os.devnull, os.O_RDONLY)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            work(launcher)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    without(fails)
    works(launcher)
    without(fails)
    works(launcher)


def open_descriptors() -> int:
    return psutil.Process().num_fds()


def test_a_failure_leaves_no_descriptor_open(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_descriptors()
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/nowhere/python")
        fails(launcher)
        broken.setattr(sys, "executable", "/bin/false")
        fails(launcher)
    assert open_descriptors() == before
    works(launcher)
    launcher.close()
    assert open_descriptors() == before


def test_without_room_for_another_process(
    launcher: Launcher, before_all: Callable[[str], None], tmp_path: Path
) -> None:
    full = tmp_path / "full"
    before_all(f"""
import errno, os
from pathlib import Path
fork = os.fork
def full():
    if Path({str(full)!r}).exists():
        raise OSError(errno.EAGAIN, "no more")
    return fork()
os.fork = full
""")
    works(launcher)
    (server,) = fork_servers()
    full.touch()
    fails(launcher)
    full.unlink()
    works(launcher)
    assert fork_servers() == {server}


def test_the_log_says_why_it_did_not_start(
    launcher: Launcher, before_all: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    before_all("""
import os, sys
sys.stderr.write("Traceback (most recent call last):\\nImportError: no libjpeg here\\n")
sys.stderr.flush()
os._exit(3)
""")
    fails(launcher)
    assert "status is 3. Traceback (most recent call last):\nImportError: no" in caplog.text


def test_one_that_writes_without_end_does_not_block_on_it(
    launcher: Launcher, before_all: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    before_all("""
import contextlib, os
with contextlib.suppress(BlockingIOError):
    while True:
        os.write(2, b"x" * 1024)
os._exit(3)
""")
    fails(launcher)
    (record,) = caplog.records
    assert "status is 3" in record.getMessage()
    assert len(record.getMessage()) < START_UP_BYTES + 200


def test_it_does_not_try_again_for_every_image(
    launcher: Launcher, failures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 1000.0)
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/bin/false")
        fails(launcher)
    fails(launcher)
    assert failures == ["start"]


def test_a_check_finds_out(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/bin/false")
        launcher.check()
    assert launcher.problem == PROBLEM
    launcher.check()
    assert launcher.problem is None
    assert decoders(fork_servers()) == set()
    launcher.close()
    assert launcher.check() is None


def test_a_fork_server_that_was_killed_is_replaced(launcher: Launcher, failures: list[str]) -> None:
    """With what it had forked, which nobody could end any more."""
    orphan = launcher.launch()
    (first,) = fork_servers()
    os.kill(first, signal.SIGKILL)
    works(launcher)
    assert first not in fork_servers()
    eventually(lambda: not orphan.alive)
    assert launcher.end(orphan) is None
    assert failures == []


def test_a_fork_server_has_one_thread(launcher: Launcher) -> None:
    """A lock that another one holds would stay locked in what is forked."""
    works(launcher)
    (server,) = fork_servers()
    assert psutil.Process(server).num_threads() == 1


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="Linux's memory killer")
def test_the_memory_killer_takes_a_decoder_first(launcher: Launcher) -> None:
    def score(pid: int | str) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    process = launcher.launch()
    (server,) = fork_servers()
    assert score(server) == score("self")
    eventually(lambda: score(process.pid) == min(1000, score("self") + 500))
    launcher.end(process)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_the_first_process_of_a_container_keeps_no_zombies() -> None:
    """It is given the children of a fork server that was killed."""
    script = """
import ctypes, os, signal, psutil
PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
from service.imaging.launcher import Launcher
launcher = Launcher()
process = launcher.launch()
os.kill(process.server.pid, signal.SIGKILL)
launcher.end(process)
assert psutil.Process().children() == []
launcher.close()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def test_it_may_be_ending_a_process_that_finds_the_fork_server_lost(launcher: Launcher) -> None:
    process = launcher.launch()
    (first,) = fork_servers()
    os.kill(first, signal.SIGKILL)
    assert launcher.end(process) is None
    works(launcher)


@pytest.mark.parametrize("times", [1, MAX_PROCESSES - 1, MAX_PROCESSES])
def test_an_image_whose_fork_server_is_killed(
    launcher: Launcher, before_all: Callable[[str], None], tmp_path: Path, times: int
) -> None:
    """It is tried again, and never blamed."""
    begun, held = tmp_path / "begun", tmp_path / "held"
    before_all(f"""
import time
from pathlib import Path
from service.imaging import sandbox
answer = sandbox._answer
def held(data, task):
    Path({str(begun)!r}).touch()
    while Path({str(held)!r}).exists():
        time.sleep(0.01)
    return answer(data, task)
sandbox._answer = held
""")
    held.touch()
    process = DecoderProcess(launcher, max_pixels=10_000, timeout_seconds=WAIT_SECONDS)
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(process.decode, RED, RECIPE)
        for _ in range(times):
            eventually(begun.exists)
            begun.unlink()
            (first,) = fork_servers()
            os.kill(first, signal.SIGKILL)
            # Another process is wanted, and with the old fork server goes all that it forked.
            works(launcher)
        held.unlink()
        if times < MAX_PROCESSES:
            assert under_way.result(WAIT_SECONDS).pixels.shape == (28, 28, 3)
        else:
            with pytest.raises(DecoderFailed, match="end before they have decoded the image"):
                under_way.result(WAIT_SECONDS)
    process.close()


def test_a_fork_server_that_does_not_answer_is_replaced(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_server_client, "ANSWER_SECONDS", 0.5)
    works(launcher)
    (first,) = fork_servers()
    os.kill(first, signal.SIGSTOP)
    works(launcher)
    assert fork_servers() & {first} == set()


def test_closing_ends_every_process(launcher: Launcher) -> None:
    processes = [launcher.launch() for _ in range(3)]
    servers = fork_servers()
    forked = decoders(servers)
    assert (len(servers), len(forked)) == (1, 3)
    launcher.close()
    assert fork_servers() == set()
    eventually(lambda: not any(psutil.pid_exists(one) for one in forked))
    assert [launcher.end(one) for one in processes] == [None] * 3
    with pytest.raises(ShuttingDown):
        launcher.launch()


def test_closing_waits_for_none_that_starts(
    launcher: Launcher, before_all: Callable[[str], None], tmp_path: Path
) -> None:
    starting = tmp_path / "starting"
    before_all(f"""
import time
from pathlib import Path
Path({str(starting)!r}).touch()
time.sleep({4 * WAIT_SECONDS})
""")
    outcomes: list[type[BaseException]] = []

    def launch() -> None:
        try:
            launcher.launch()
        except ShuttingDown as error:
            outcomes.append(type(error))

    thread = threading.Thread(target=launch)
    thread.start()
    eventually(starting.exists)
    launcher.close()
    thread.join(WAIT_SECONDS)
    assert outcomes == [ShuttingDown]
    assert fork_servers() == set()
