"""One URL to one file: what is asked of the server, and what stays on the disk."""

from __future__ import annotations

import gzip
import hashlib
import logging
from pathlib import Path

import pytest

from model_builder.checkpoints.download.config import Deadline
from model_builder.checkpoints.download.http import download
from model_builder.errors import FetchFailed
from tests.conftest import MakeServer
from tests.model_builder.checkpoints.download.fetch_process import QUICK
from tests.model_builder.faulty_server import Fault, FaultyServer

CONTENT = bytes(range(256)) * 1000
HALF = len(CONTENT) // 2
ETAG = f'"{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.partial"


def fetch(server: FaultyServer, path: Path, *, deadline_seconds: float = 60.0) -> bool:
    server.files["/weights.h5"] = CONTENT
    return download(
        f"{server.url}/weights.h5",
        path,
        description="Fetching weights",
        retry_policy=QUICK,
        deadline=Deadline(deadline_seconds),
    )


def test_a_file_arrives_in_one_answer(faulty_server: FaultyServer, path: Path) -> None:
    assert fetch(faulty_server, path) is False
    assert path.read_bytes() == CONTENT
    assert faulty_server.ranges_asked() == [None]


def test_what_an_earlier_process_left_is_continued(faulty_server: FaultyServer, path: Path) -> None:
    path.write_bytes(CONTENT[:1000])
    assert fetch(faulty_server, path) is True
    assert path.read_bytes() == CONTENT
    assert [(asked.range, asked.if_range) for asked in faulty_server.asked] == [
        ("bytes=1000-", None)
    ]


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({}, ETAG),
        ({"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, ETAG),
        (
            {"ETag": f"W/{ETAG}", "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"},
            "Wed, 21 Oct 2015 07:28:00 GMT",
        ),
        ({"ETag": f"W/{ETAG}"}, None),
    ],
)
def test_the_rest_is_asked_for_if_the_file_is_the_same(
    faulty_server: FaultyServer, path: Path, headers: dict[str, str], validator: str | None
) -> None:
    faulty_server.faults.append(Fault(sends=0.5, headers=headers))
    fetch(faulty_server, path)
    assert path.read_bytes() == CONTENT
    assert [asked.if_range for asked in faulty_server.asked] == [None, validator]


def test_a_server_without_ranges_is_not_asked_for_parts(
    make_server: MakeServer, path: Path
) -> None:
    server = make_server(ranges=False)
    server.faults.append(Fault(sends=0.5))
    assert fetch(server, path) is False
    assert path.read_bytes() == CONTENT
    assert server.ranges_asked() == [None, None]


def test_a_server_may_forget_its_ranges(make_server: MakeServer, path: Path) -> None:
    """It answers 200 with the whole file; the part that was there must not stay before it."""
    server = make_server(ranges=False)
    path.write_bytes(b"x" * 1000)
    assert fetch(server, path) is False
    assert path.read_bytes() == CONTENT
    assert server.ranges_asked() == ["bytes=1000-"]


def test_a_whole_file_is_not_fetched_again(faulty_server: FaultyServer, path: Path) -> None:
    path.write_bytes(CONTENT)
    assert fetch(faulty_server, path) is True
    assert path.read_bytes() == CONTENT
    assert faulty_server.ranges_asked() == [f"bytes={len(CONTENT)}-"]


def test_more_than_a_whole_file_is_thrown_away(faulty_server: FaultyServer, path: Path) -> None:
    path.write_bytes(CONTENT + b"x")
    assert fetch(faulty_server, path) is False
    assert path.read_bytes() == CONTENT
    assert faulty_server.ranges_asked() == [f"bytes={len(CONTENT) + 1}-", None]


@pytest.mark.parametrize("span", [f"bytes 0-99/{len(CONTENT)}", "items 1000-1999/*"])
def test_other_bytes_than_asked_for_are_not_appended(
    faulty_server: FaultyServer, path: Path, span: str
) -> None:
    path.write_bytes(CONTENT[:1000])
    faulty_server.faults.append(Fault(headers={"Content-Range": span}, body=CONTENT[:100]))
    assert fetch(faulty_server, path) is False
    assert path.read_bytes() == CONTENT
    assert faulty_server.ranges_asked() == ["bytes=1000-", None]


def test_a_compressed_answer_is_unpacked_and_not_continued(
    faulty_server: FaultyServer, path: Path
) -> None:
    packed = Fault(headers={"Content-Encoding": "gzip"}, body=gzip.compress(CONTENT))
    faulty_server.faults += [Fault(headers=packed.headers, body=packed.body, sends=0.9), packed]
    assert fetch(faulty_server, path) is False
    assert path.read_bytes() == CONTENT
    assert faulty_server.ranges_asked() == [None, None]


@pytest.mark.parametrize(("ranges", "left"), [(True, CONTENT[:HALF]), (False, None)])
def test_what_came_stays_where_it_can_be_continued(
    make_server: MakeServer, path: Path, ranges: bool, left: bytes | None
) -> None:
    server = make_server(ranges=ranges)
    server.faults += [Fault(sends=0.5), Fault(status=404)]
    with pytest.raises(FetchFailed, match=r"^the server answered 404$"):
        fetch(server, path)
    assert (path.read_bytes() if path.exists() else None) == left


def test_no_attempt_begins_after_the_deadline(faulty_server: FaultyServer, path: Path) -> None:
    with pytest.raises(FetchFailed, match=r"^the deadline of 0 s has passed$"):
        fetch(faulty_server, path, deadline_seconds=0.0)
    assert faulty_server.asked == []


def test_size_and_what_was_here_are_logged(
    faulty_server: FaultyServer, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "model_builder")
    path.write_bytes(CONTENT[:HALF])
    fetch(faulty_server, path)
    assert caplog.messages == ["Fetching weights (0.3 MB), 0.1 MB of it here"]


def test_an_address_that_is_none(path: Path) -> None:
    with pytest.raises(FetchFailed, match=r"^UnsupportedProtocol: .*missing an 'http://'"):
        download("weights", path, description="", retry_policy=QUICK, deadline=Deadline(60.0))
