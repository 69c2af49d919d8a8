"""Clients without a pause: they try again as docs/clients.md says, and compare answers."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2

GIVE_UP_SECONDS = 120.0
WAIT_SECONDS = 1.0
BROKEN = 0


@dataclass
class Seen:
    """attempts: by status, BROKEN for a connection that broke. gave_up: requests without a 200.

    answers: requests by photo, and by the digest of their predictions.
    """

    attempts: Counter[int] = field(default_factory=Counter)
    gave_up: int = 0
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def answered(self) -> int:
        return self.answers.total()


@contextmanager
def sending(url: str, photos: Mapping[str, bytes], clients: int) -> Iterator[Seen]:
    """Meanwhile so many clients send the photos in turn, each on a connection of its own."""
    seen, lock, end = Seen(), threading.Lock(), threading.Event()

    def send() -> None:
        with httpx2.Client(timeout=60) as client:
            while not end.is_set():
                for name, photo in photos.items():
                    _send(client, f"{url}/predict", name, photo, seen, lock)

    threads = [threading.Thread(target=send) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        end.set()
        for thread in threads:
            thread.join(GIVE_UP_SECONDS + 60)


def _send(
    client: httpx2.Client, url: str, name: str, photo: bytes, seen: Seen, lock: threading.Lock
) -> None:
    ends = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < ends:
        status, kind, wait, body = _attempt(client, url, photo)
        with lock:
            seen.attempts[status] += 1
            if status == 200:
                seen.answers[name, digest(body)] += 1
        if status == 200:
            return
        # A 500 of the service is a problem in JSON, and stays. Ray's is that of a lost replica.
        if status not in (BROKEN, 429, 502, 503) and not (status == 500 and "json" not in kind):
            break
        time.sleep(wait)
    with lock:
        seen.gave_up += 1


def _attempt(client: httpx2.Client, url: str, photo: bytes) -> tuple[int, str, float, bytes]:
    """Status, content type, seconds to wait, body."""
    try:
        response = client.post(url, files={"file": photo})
    except httpx2.TransportError:
        return BROKEN, "", WAIT_SECONDS, b""
    wait = float(response.headers.get("retry-after", WAIT_SECONDS))
    kind = response.headers.get("content-type", "")
    return response.status_code, kind, wait, response.content


def digest(body: bytes) -> str:
    """Of the predictions; the rest of an answer are its own times."""
    predictions = json.loads(body)["predictions"]
    return hashlib.sha256(json.dumps(predictions).encode()).hexdigest()
