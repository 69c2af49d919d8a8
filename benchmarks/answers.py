"""The classes that servers name for the same images: a fast wrong answer is no answer."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.images import read_requests

ANSWER_TIMEOUT_SECONDS = 60.0
# A server that listens before it can answer.
START_TIMEOUT_SECONDS = 60.0
ASKED = 32
# An image whose two most probable classes are nearly equal may get either.
MIN_SAME_PERCENT = 95.0


class WrongAnswers(Exception):
    """A server names other classes than the service."""


def of_service(answer: Any) -> int:
    """The most probable class in an answer of the service to one image."""
    found: int = answer["predictions"][0]["class_id"]
    return found


def of_peer(answer: Any) -> int:
    found: int = answer["output"]
    return found


def classes(port: int, requests: Path, read: Callable[[Any], int]) -> list[int]:
    """The class of each of the first ASKED requests of a folder, asked one by one."""
    give_up = time.monotonic() + START_TIMEOUT_SECONDS
    found: list[int] = []
    for request in read_requests(requests)[:ASKED]:
        while True:
            try:
                status, body = _post(port, request)
            except OSError as error:
                status, body = 0, str(error).encode()
            if status == 200:
                break
            if found or time.monotonic() > give_up:
                raise WrongAnswers(
                    f"An image was not classified. Received: {status} {body[:500]!r}"
                )
            time.sleep(0.1)
        found.append(read(json.loads(body)))
    return found


def check_same(name: str, given: list[int], expected: list[int]) -> int:
    """How many are the same. Raises WrongAnswers for fewer than MIN_SAME_PERCENT."""
    same = sum(one == other for one, other in zip(given, expected, strict=True))
    if same < MIN_SAME_PERCENT / 100 * len(expected):
        raise WrongAnswers(
            f"{name} names the class that the service names for {same} of {len(expected)} images."
        )
    return same


def _post(port: int, request: bytes) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT_SECONDS) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection, method="POST")
        answer.begin()
        return answer.status, answer.read()
