"""One URL to one file: the requests, and the bytes that are kept."""

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


def test_a_file_is_received_in_one_response(faulty_server: FaultyServer, path: Path) -> None:
    assert fetch(faulty_server, path) is False
    assert path.read_bytes() == CONTENT
    assert faulty_server.ranges_asked() == [None]


def test_the_bytes_of_an_earlier_process_are_resumed(
    faulty_server: FaultyServer, path: Path
) -> None:
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
def test_the_rest_is_requested_if_the_file_is_unchanged(
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


def test_a_server_that_stops_supporting_ranges(make_server: MakeServer, path: Path) -> None:
    """It answers 200 with the whole file, which must replace the bytes received before."""
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


def test_more_bytes_than_the_whole_file_are_discarded(
    faulty_server: FaultyServer, path: Path
) -> None:
    path.write_bytes(CONTENT + b"x")
    assert fetch(faulty_server, path) is False
    assert path.read_bytes() == CONTENT
    assert faulty_server.ranges_asked() == [f"bytes={len(CONTENT) + 1}-", None]


@pytest.mark.parametrize("span", [f"bytes 0-99/{len(CONTENT)}", "items 1000-1999/*"])
def test_other_bytes_than_the_requested_ones_are_not_appended(
    faulty_server: FaultyServer, path: Path, span: str
) -> None:
    path.write_bytes(CONTENT[:1000])
    faulty_server.faults.append(Fault(headers={"Content-Range": span}, body=CONTENT[:100]))
    assert fetch(faulty_server, path) is False
    assert path.read_bytes() == CONTENT
    assert faulty_server.ranges_asked() == ["bytes=1000-", None]


def test_a_compressed_response_is_decompressed_and_not_resumed(
    faulty_server: FaultyServer, path: Path
) -> None:
    packed = Fault(headers={"Content-Encoding": "gzip"}, body=gzip.compress(CONTENT))
    faulty_server.faults += [Fault(headers=packed.headers, body=packed.body, sends=0.9), packed]
    assert fetch(faulty_server, path) is False
    assert path.read_bytes() == CONTENT
    assert faulty_server.ranges_asked() == [None, None]


@pytest.mark.parametrize(("ranges", "left"), [(True, CONTENT[:HALF]), (False, None)])
def test_received_bytes_are_kept_where_the_server_has_ranges(
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


def test_the_size_and_the_bytes_received_earlier_are_logged(
    faulty_server: FaultyServer, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "model_builder")
    path.write_bytes(CONTENT[:HALF])
    fetch(faulty_server, path)
    assert caplog.messages == ["Fetching weights (0.3 MB), 0.1 MB received earlier"]


def test_an_invalid_url(path: Path) -> None:
    with pytest.raises(FetchFailed, match=r"^UnsupportedProtocol: .*missing an 'http://'"):
        download("weights", path, description="", retry_policy=QUICK, deadline=Deadline(60.0))
