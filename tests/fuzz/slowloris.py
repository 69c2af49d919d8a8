"""Measures a client's latency, alone and beside 200 connections that never end their header.

    python -m tests.fuzz.slowloris http://127.0.0.1:8000 [CONNECTIONS]

Each slow connection sends a byte a second, and connects again when the server closes it.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
from rich.console import Console

PHOTO = Path(__file__).parents[1] / "photos" / "coffee_cup.jpg"
ROUNDS, REQUESTS = 4, 25


def drip(host: str, port: int, until: threading.Event) -> None:
    while not until.is_set():
        with contextlib.suppress(OSError), socket.create_connection((host, port)) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nX-Slow: ")
            while not until.wait(1):
                connection.sendall(b"a")


def milliseconds(client: httpx2.Client, photo: bytes) -> list[float]:
    times = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        response = client.post("/predict", content=photo, headers={"Content-Type": "image/jpeg"})
        assert response.status_code == 200, response.text
        times.append(1000 * (time.perf_counter() - started))
    return times


def main(url: str, count: int) -> None:
    parts = urlsplit(url)
    assert parts.hostname is not None
    photo = PHOTO.read_bytes()
    alone: list[float] = []
    beside: list[float] = []
    with httpx2.Client(base_url=url, timeout=60) as client:
        milliseconds(client, photo)
        for _ in range(ROUNDS):
            alone += milliseconds(client, photo)
            until = threading.Event()
            address = (parts.hostname, parts.port or 80, until)
            slow = [threading.Thread(target=drip, args=address) for _ in range(count)]
            for thread in slow:
                thread.start()
            time.sleep(1)
            beside += milliseconds(client, photo)
            until.set()
            for thread in slow:
                thread.join()
    for name, times in (("alone", alone), (f"beside {count} slow connections", beside)):
        quantiles = statistics.quantiles(times, n=20)
        line = f"{name}: median {statistics.median(times):.1f} ms, 95th {quantiles[-1]:.1f} ms"
        Console().print(line)
    Console().print(f"ratio of medians: {statistics.median(beside) / statistics.median(alone):.2f}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200)
