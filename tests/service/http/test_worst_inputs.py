"""What a client can make the event loop parse: at its worst it holds the loop for 2 ms or less.

Counted in lines of Python within one callback: 30,000 take 1 to 2 ms. What searches or copies in C
takes less than 1 ms for as many bytes as one read of a socket brings.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

import pytest

from service.http.middleware.header_limits import (
    MAX_FIELD_BYTES,
    MAX_FIELDS,
    MAX_PARAMETERS,
    MAX_TARGET_BYTES,
)
from service.http.request.multipart import (
    MAX_HEADER_PARAMETERS,
    MAX_PART_FIELDS,
    MAX_PART_HEADER_BYTES,
)
from service.protocols.bytes_tensor import join_elements
from service.protocols.json_text import MAX_TEXT_BYTES
from tests.service.conftest import MODEL_NAME, Serve, Service
from tests.service.http.loop_work import request_work

MAX_LINES = 30_000
# One read of a socket, of which uvloop and asyncio make 256 KB.
PIECE_BYTES = 256 * 1024
FORM = (b"content-type", b"multipart/form-data; boundary=b")
QUOTED = b'a="' + b"\\" * (MAX_FIELD_BYTES - 20) + b'"'


def long(unit: bytes, length: int = MAX_FIELD_BYTES - 40) -> bytes:
    return unit * (length // len(unit))


HEADERS: dict[str, list[tuple[bytes, bytes]]] = {
    "a cookie of backslashes": [(b"cookie", QUOTED)],
    "cookies": [(b"cookie", long(b"a=b;"))] * 3,
    "as many fields as may be": [(b"x-%d" % n, b"b") for n in range(MAX_FIELDS - 1)],
    "more fields": [(b"a", b"b")] * 5000,
    "a field too long": [(b"accept", b"," * 200_000)],
    "fields too long together": [(b"accept", long(b"a,"))] * 40,
    "Accept": [(b"accept", long(b"a/b;q=0.1,"))],
    "Authorization": [(b"authorization", b"Bearer " + long(b"a "))],
    "X-Request-ID": [(b"x-request-id", long(b"a."))],
    "X-Request-Timeout-Ms": [(b"x-request-timeout-ms", long(b"1"))],
    "Content-Length": [(b"content-length", long(b"9"))],
    "Content-Type": [(b"content-type", b"multipart/form-data; boundary=b" + long(b";"))],
    "Content-Type, more": [(b"content-type", b"multipart/form-data; boundary=b" + b";" * 180_000)],
    "Content-Type, quoted": [(b"content-type", b'multipart/form-data; a="' + long(b'\\";'))],
    "Content-Type, no form": [(b"content-type", long(b"image/png;"))],
    "charset": [(b"content-type", b"multipart/form-data; boundary=b; charset=" + long(b"a_"))],
    "boundary": [(b"content-type", b"multipart/form-data; boundary=" + long(b"-"))],
    "Range": [(b"range", b"bytes=" + long(b"1-2,"))],
    "If-None-Match": [(b"if-none-match", long(b'"a",'))],
    "If-Modified-Since": [(b"if-modified-since", long(b"1 Jan "))],
    "tracestate": [(b"tracestate", long(b"a=b,"))] * 3,
    "baggage": [(b"baggage", long(b"a=b,"))] * 3,
    "traceparent": [(b"traceparent", long(b"00-"))],
}
QUERIES = {
    "parameters": b"&".join([b"top_k=1"] * MAX_PARAMETERS),
    "more parameters": b"a=b&" * 50_000,
    "escapes": b"model=" + long(b"%41", MAX_TARGET_BYTES - 100),
    "an unknown name": long(b"mode", MAX_TARGET_BYTES - 100) + b"=1",
    "longer": b"model=" + b"a" * 200_000,
    "a number": b"top_k=" + long(b"9", 4000),
}
PATHS = {
    "segments": "/" + "a/" * ((MAX_TARGET_BYTES - 100) // 2),
    "a model": "/models/" + "a" * (MAX_TARGET_BYTES - 100),
    "a model of v2": "/v2/models/" + "a" * (MAX_TARGET_BYTES - 100) + "/infer",
    "versions": "/v2/models/a" + "/versions/1" * 300 + "/infer",
    "colons": "/v1/models/" + ":predict" * 500,
    "a static file": "/static-offline-docs/" + "a/" * ((MAX_TARGET_BYTES - 100) // 2),
    "longer": "/" + "a" * 200_000,
}


def part(header: bytes, content: bytes = b"x") -> bytes:
    return b"--b\r\n" + header + b"\r\n\r\n" + content + b"\r\n"


NAMED = b'Content-Disposition: form-data; name="file"; filename="a"'
FIELD_LINE = b"a: " + b" " * (MAX_PART_HEADER_BYTES // MAX_PART_FIELDS - 8)
BODIES = {
    "files": part(NAMED) * 5000,
    "fields": part(b'Content-Disposition: form-data; name="a"') * 5000,
    "parts without a header": b"--b\r\n\r\n" * 30_000,
    "boundaries alone": b"--b\r\n" * 40_000,
    "semicolons": part(NAMED + b";" * (MAX_HEADER_PARAMETERS - 2)) * 32,
    "more semicolons": part(NAMED + b";" * 4000) * 32,
    "quotes": part(NAMED + b';a="' + b'\\";' * 5) * 32,
    "header fields": part(b"\r\n".join([NAMED, *[FIELD_LINE] * (MAX_PART_FIELDS - 1)])) * 32,
    "more header fields": part(b"\r\n".join([NAMED, *[b"a: b"] * 5000])) * 32,
    "spaces before a value": part(b"a:" + b" " * 4000 + b"b") * 48,
    "nearly boundaries": part(NAMED, b"\r\n--" * 60_000),
    "boundaries within a line": part(NAMED, b"\r\n--bx" * 40_000),
    "padding": part(NAMED) + b"--b" + b" " * 200_000,
    "carriage returns": part(NAMED, b"\r" * 250_000),
    "a preamble": b"\r\n-" * 80_000,
    "an epilogue": part(NAMED) + b"--b--" + b"\r\n--b" * 40_000,
}


TENSORS = f"/v2/models/{MODEL_NAME}/infer"
# Of JSON: images and arrays are as long as may be, and the rest as much as is looked at.
LONG_TEXT, LONG_ARRAY = b'"' + b"A" * 256 + b'",', b"[" + b"1," * 128 + b"1],"
DOCUMENTS = {
    "quotes": b'"' * MAX_TEXT_BYTES,
    "objects": b"[" + b"{}," * (MAX_TEXT_BYTES // 3 - 2) + b"{}]",
    "keys": b"{" + b'"":1,' * (MAX_TEXT_BYTES // 6) + b'"":1}',
    "inputs": b'{"inputs":[' + b"{}," * (MAX_TEXT_BYTES // 3 - 10) + b"{}]}",
    "outputs": b'{"inputs":[],"outputs":[' + b"{}," * (MAX_TEXT_BYTES // 3 - 20) + b"{}]}",
    "instances": b'{"instances":[' + b"{}," * (MAX_TEXT_BYTES // 3 - 10) + b"{}]}",
    "parameters": b'{"parameters":{' + b'"":1,' * (MAX_TEXT_BYTES // 6) + b'"":1}}',
    "brackets": b"[" * 250_000,
    "nearly long": (b'"' + b"A" * 255 + b" ") * 1000,
    "nearly numbers": (b"[" * 254 + b"x") * 1000,
    "texts": b"[" + LONG_TEXT * 900 + b"1]",
    "arrays": b'["",' + LONG_ARRAY * 900 + b'""]',
    "a text": b'["' + b"A" * 2_000_000 + b'"]',
    "escaped slashes": b'["' + b"\\/" * 1_000_000 + b'"]',
    "an array": b"[" + b"1," * 1_000_000 + b"1]",
    "a bomb": gzip.compress(bytes(5_000_000)),
}


def too_long(service: Service, requests: Mapping[str, dict[str, Any]]) -> dict[str, int]:
    """The requests that hold the loop for longer, each with its lines."""
    found = {}
    for name, request in requests.items():
        # The first one builds what is kept.
        request_work(service.app, **request)
        found[name] = request_work(service.app, **request).longest
    return {name: lines for name, lines in found.items() if lines > MAX_LINES}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/health/live"), ("POST", "/predict"), ("GET", "/page.css")]
)
def test_headers(service: Service, method: str, path: str) -> None:
    requests = {
        name: {"method": method, "path": path, "headers": fields}
        for name, fields in HEADERS.items()
    }
    assert too_long(service, requests) == {}


def test_headers_and_a_query_that_are_traced(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra 'tracing' is not installed")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    predict = {"method": "POST", "path": "/predict"}
    requests: dict[str, dict[str, Any]] = {
        **{name: {**predict, "headers": fields} for name, fields in HEADERS.items()},
        **{name: {**predict, "query": query} for name, query in QUERIES.items()},
    }
    assert too_long(serve(), requests) == {}


@pytest.mark.parametrize(("method", "path"), [("POST", "/predict"), ("GET", "/models")])
def test_queries(service: Service, method: str, path: str) -> None:
    requests = {
        name: {"method": method, "path": path, "query": query} for name, query in QUERIES.items()
    }
    assert too_long(service, requests) == {}


def test_paths(service: Service) -> None:
    assert too_long(service, {name: {"path": path} for name, path in PATHS.items()}) == {}


def test_forms(service: Service) -> None:
    requests = {
        name: {
            "method": "POST",
            "path": "/predict",
            "headers": [FORM],
            "body": [
                body[start : start + PIECE_BYTES] for start in range(0, len(body), PIECE_BYTES)
            ],
        }
        for name, body in BODIES.items()
    }
    assert too_long(service, requests) == {}


def pieces_of(body: bytes) -> list[bytes]:
    return [body[start : start + PIECE_BYTES] for start in range(0, len(body), PIECE_BYTES)]


@pytest.mark.parametrize("path", [TENSORS, f"/v1/models/{MODEL_NAME}:predict"])
def test_documents(service: Service, path: str) -> None:
    requests = {
        name: {
            "method": "POST",
            "path": path,
            "headers": [(b"content-encoding", b"gzip")] if name == "a bomb" else [],
            "body": pieces_of(body),
        }
        for name, body in DOCUMENTS.items()
    }
    assert too_long(service, requests) == {}


def test_binary_tensors(service: Service) -> None:
    raw = join_elements([b""] * 500_000)
    tensor = '{"name":"image","datatype":"BYTES","shape":[32],"parameters":{"binary_data_size":%d}}'
    head = b'{"inputs":[%s]}' % (tensor % len(raw)).encode()
    length = (b"inference-header-content-length", b"%d" % len(head))
    request = {"method": "POST", "path": TENSORS, "headers": [length]}
    assert too_long(service, {"elements": {**request, "body": pieces_of(head + raw)}}) == {}
