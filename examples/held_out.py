"""Serves an imported model, asks it for the images that were held back, and draws what came."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from rich.progress import track

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

START_TIMEOUT_SECONDS = 300.0


@contextmanager
def served(name: str) -> Iterator[httpx2.Client]:
    """A server of its own process that is ready, and ends here."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = [f"--models={name}", "--host=127.0.0.1", f"--port={port}", "--log-level=warning"]
    server = subprocess.Popen([sys.executable, "-m", "service", "serve", *options])
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_until_ready(server, client)
            yield client
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_until_ready(server: subprocess.Popen[bytes], client: httpx2.Client) -> None:
    end = time.monotonic() + START_TIMEOUT_SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit("The server did not become ready; its log says why.")


def ask(client: httpx2.Client, files: Sequence[Path]) -> list[str]:
    """The most probable class of each image."""

    def one(file: Path) -> str:
        answer = client.post("/predict", params={"top_k": 1}, files={"file": file.read_bytes()})
        answer.raise_for_status()
        return str(answer.json()["predictions"][0]["label"])

    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(one, files)
        return list(track(answers, "Asking the server", total=len(files)))


def plot(pixels: Pixels, classes: list[str], truth: Labels, given: Labels, path: Path) -> None:
    """How often which class was called what, and some of the images, mistaken ones first."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1, 1.2))
    left, right = halves
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (truth, given), 1)
    panel = left.subplots()
    panel.imshow(counts, cmap="Blues")
    for row, column in np.argwhere(counts):
        color = "white" if 2 * counts[row, column] > counts.max() else "black"
        panel.text(column, row, counts[row, column], ha="center", va="center", color=color)
    slope = 45 if max(map(len, classes)) > 2 else 0
    panel.set_xticks(range(len(classes)), classes, rotation=slope)
    panel.set_yticks(range(len(classes)), classes)
    panel.set(xlabel="the server's answer", ylabel="what it shows")
    order = np.argsort(given == truth, kind="stable")
    places = right.subplots(4, 6).flat
    for place, index in zip_longest(places, order[: len(places)]):
        place.set_axis_off()
        if index is None:
            continue
        title, color = classes[given[index]], "#2f855a"
        if given[index] != truth[index]:
            title, color = f"{title}: no,\n{classes[truth[index]]}", "#c53030"
        place.imshow(pixels[index])
        place.set_title(title, fontsize=9, color=color)
    figure.savefig(path, dpi=80)
