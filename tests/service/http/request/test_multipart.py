"""Forms as other software writes and reads them, in whatever pieces they arrive."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from python_multipart import parse_form

from service.errors import MalformedRequest
from service.http.request.multipart import (
    MAX_BOUNDARY_BYTES,
    MAX_HEADER_PARAMETERS,
    MAX_PADDING_BYTES,
    MAX_PART_FIELDS,
    MAX_PART_HEADER_BYTES,
    MultipartParser,
)

TYPE = "multipart/form-data; boundary=edge"
Part = tuple[str, "str | None", bytes]


class Kept:
    """The parts that were told of."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = 0

    def begin(self, name: str, file_name: str | None) -> None:
        assert self.ended == len(self.parts)
        self.parts.append((name, file_name, b""))

    def add(self, data: memoryview) -> None:
        assert data
        name, file_name, content = self.parts[-1]
        self.parts[-1] = (name, file_name, content + bytes(data))

    def end(self) -> None:
        self.ended += 1
        assert self.ended == len(self.parts)


def parsed(body: bytes, pieces: Sequence[int] = (), content_type: str = TYPE) -> list[Part]:
    """pieces: where the body is divided. The form is whole."""
    kept = Kept()
    parser = MultipartParser(content_type, kept)
    places = [0, *sorted(place % (len(body) + 1) for place in pieces), len(body)]
    for start, end in itertools.pairwise(places):
        parser.feed(body[start:end])
    assert parser.ended
    assert kept.ended == len(kept.parts)
    return kept.parts


def part(header: bytes, content: bytes = b"x", boundary: bytes = b"edge") -> bytes:
    return b"--" + boundary + b"\r\n" + header + b"\r\n\r\n" + content + b"\r\n"


NAMED = b'Content-Disposition: form-data; name="file"; filename="a.png"'
END = b"--edge--\r\n"

# Content that has a beginning of the boundary in it, or of a line that might be one.
CONTENT = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"-", b"--", b"--ed", b"\r\n--edg", b"e", b"\x00", b"--edge"]
    )
    | st.binary(max_size=5),
    max_size=12,
).map(b"".join)


@settings(deadline=None, max_examples=300)
@given(
    contents=st.lists(
        CONTENT.filter(lambda content: b"\r\n--edge" not in b"\r\n" + content), max_size=5
    ),
    pieces=st.lists(st.integers(0, 2000), max_size=20),
    padding=st.sampled_from([b"", b" ", b"\t "]),
)
def test_parts_in_any_pieces(contents: list[bytes], pieces: list[int], padding: bytes) -> None:
    parts = (part(NAMED, content, b"edge" + padding) for content in contents)
    body = b"".join(parts) + END + b"--edge\r\nmore"
    assert parsed(body, pieces) == [("file", "a.png", content) for content in contents]


# Without what clients escape in ways of their own.
NAMES = st.text(
    st.characters(exclude_categories=["C"], exclude_characters='"\\'), min_size=1, max_size=12
)


@settings(deadline=None, max_examples=200)
@given(
    files=st.lists(
        st.tuples(
            NAMES,
            NAMES,
            st.binary(max_size=40),
        ),
        min_size=1,
        max_size=4,
    ),
    pieces=st.lists(st.integers(0, 2000), max_size=6),
)
def test_what_a_client_writes_is_what_another_parser_reads(
    files: list[tuple[str, str, bytes]], pieces: list[int]
) -> None:
    request = httpx2.Request(
        "POST", "http://a", files=[(name, (file, data)) for name, file, data in files]
    )
    body = request.read()
    theirs: list[Part] = []

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        name, file_name = file.field_name.decode(), file.file_name.decode()
        theirs.append((name, file_name, file.file_object.read()))

    headers = {"Content-Type": request.headers["Content-Type"].encode()}
    parse_form(headers, io.BytesIO(body), lambda _: None, on_file)
    assert parsed(body, pieces, request.headers["Content-Type"]) == theirs


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b'Content-Disposition: form-data; name="a"', ("a", None)),
        (b"content-disposition:form-data;name=a;filename=b", ("a", "b")),
        (b'X-A: b\r\nContent-Disposition: form-data; name="a; b"', ("a; b", None)),
        (b'Content-Disposition: form-data; name="a\\"b"; filename=""', ('a"b', "")),
        ('Content-Disposition: form-data; name="é"; filename="ü.png"'.encode(), ("é", "ü.png")),
        (b'Content-Disposition: form-data; name="\xe9"', ("\xe9", None)),
        (b"Content-Disposition: form-data; name=\"a\"; filename*=utf-8''b", ("a", "")),
        (b'Content-Disposition: form-data; name="a"; filename="C:\\b.png"', ("a", "b.png")),
    ],
)
def test_names(header: bytes, expected: tuple[str, str | None]) -> None:
    assert parsed(part(header) + END) == [(*expected, b"x")]


def test_a_preamble_and_what_follows_the_end_are_ignored() -> None:
    body = b"This is a form.\r\n" + part(NAMED) + END + part(NAMED)
    assert parsed(body) == [("file", "a.png", b"x")]
    assert parsed(b"\r\n\r\n" + part(NAMED) + b"--edge--") == [("file", "a.png", b"x")]
    assert parsed(END) == []


@pytest.mark.parametrize(
    "content_type", [TYPE, 'multipart/form-data; boundary="edge"; charset=punycode']
)
def test_boundaries(content_type: str) -> None:
    assert parsed(part(NAMED) + END, content_type=content_type) == [("file", "a.png", b"x")]


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "b" * (MAX_BOUNDARY_BYTES + 1),
        "multipart/form-data; boundary=b" + ";a=b" * MAX_HEADER_PARAMETERS,
    ],
)
def test_a_content_type_without_a_usable_boundary(content_type: str) -> None:
    with pytest.raises(MalformedRequest, match="Content-Type"):
        MultipartParser(content_type, Kept())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (part(b""), "no name"),
        (part(b"no colon"), "no name"),
        (part(b": no name"), "no name"),
        (part(NAMED + b"\r\n folded: a"), "no name"),
        (part(b"A: b"), "Content-Disposition of a form's part has no name"),
        (
            part(b"Content-Disposition: form-data"),
            "Content-Disposition of a form's part has no name",
        ),
        (part(NAMED + b"; a=b" * MAX_HEADER_PARAMETERS), "parameters"),
        (part(b"\r\n".join([NAMED] * (MAX_PART_FIELDS + 1))), "header fields"),
        (part(NAMED + b"a" * MAX_PART_HEADER_BYTES), "header of a form's part may have"),
        (part(NAMED) + b"--edge" + b" " * (MAX_PADDING_BYTES + 1) + b"\r\n", "end of its line"),
        (part(NAMED) + b"--edge" + b" " * 10_000, "end of its line"),
        (part(NAMED) + b"--edged\r\n", "end of its line"),
        (part(NAMED) + b"--edge-\r\n", "end of its line"),
    ],
)
def test_what_is_no_form(body: bytes, says: str) -> None:
    for pieces in ((), range(len(body))):
        with pytest.raises(MalformedRequest, match=says):
            parsed(body, pieces)


def test_what_breaks_off_has_not_ended() -> None:
    body = part(NAMED) + END
    for length in range(len(body) - len(b"-\r\n")):
        parser = MultipartParser(TYPE, Kept())
        parser.feed(body[:length])
        assert not parser.ended, length


def test_little_is_kept_between_pieces() -> None:
    parser = MultipartParser(TYPE, Kept())
    parser.feed(part(NAMED, b"\r" * 100_000)[:-2])
    assert len(parser._rest) < len(b"\r\n--edge")
