"""Classifies photos by any of the three HTTP protocols, with retries.

    pip install requests
    python classify.py --protocol v2 --threads 64 photos/*.jpg

The variable API_KEY has the API key, where the server requires one.
"""

from __future__ import annotations

import argparse
import base64
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

# Beyond it a request that is refused is given up.
GIVE_UP_SECONDS = 120.0
# For a connection, and for the answer.
TIMEOUT_SECONDS = (5.0, 60.0)
# 429: over the rate limit. 503: no room, loading or shutting down. 502: a balancer without servers.
TRY_AGAIN = (429, 502, 503)

# A label and its probability.
Class = tuple[str, float]
_local = threading.local()


def post(url: str, **request: Any) -> requests.Response:
    """The response, after as many attempts as it takes. Raises requests.RequestException."""
    # A session keeps its connection; one must not be shared by threads.
    session: requests.Session = _local.__dict__.setdefault("session", requests.Session())
    if key := os.environ.get("API_KEY"):
        session.headers["Authorization"] = f"Bearer {key}"
    ends = time.monotonic() + GIVE_UP_SECONDS
    while True:
        try:
            response = session.post(url, timeout=TIMEOUT_SECONDS, **request)
            if response.status_code not in TRY_AGAIN:
                break
            wait = float(response.headers.get("Retry-After", 1))
        except requests.ConnectionError:
            # The server may be starting again.
            response, wait = None, 1.0
        # Never sooner than it says, and not all clients at the same time.
        wait *= random.uniform(1.0, 1.25)
        if time.monotonic() + wait > ends:
            break
        time.sleep(wait)
    if response is None:
        raise requests.ConnectionError(f"{url} can't be reached")
    if not response.ok:
        # The text says what is wrong: problem details, or {"error": ...} below /v1 and /v2.
        raise requests.HTTPError(f"{response.status_code}: {response.text}", response=response)
    return response


def by_predict(url: str, _model: str, image: bytes) -> Class:
    """The service's own API."""
    body = post(f"{url}/predict", files={"file": image}, params={"top_k": 1}).json()
    best = body["predictions"][0]
    return best["label"], best["probability"]


def by_v2(url: str, model: str, image: bytes) -> Class:
    """The Open Inference Protocol: Triton, KServe."""
    text = base64.b64encode(image).decode()
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [text]}
    output = {"name": "probabilities", "parameters": {"classification": 1}}
    body = {"inputs": [tensor], "outputs": [output]}
    answer = post(f"{url}/v2/models/{model}/infer", json=body).json()
    probability, _index, label = answer["outputs"][0]["data"][0].split(":", 2)
    return label, float(probability)


def by_v1(url: str, model: str, image: bytes) -> Class:
    """TensorFlow Serving's REST API."""
    text = base64.b64encode(image).decode()
    body = {"examples": [{"image": {"b64": text}}]}
    answer = post(f"{url}/v1/models/{model}:classify", json=body).json()
    label, probability = answer["results"][0][0]
    return label, probability


PROTOCOLS: dict[str, Callable[[str, str, bytes], Class]] = {
    "predict": by_predict,
    "v2": by_v2,
    "v1": by_v1,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="resnet50.keras_in1k")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="predict")
    parser.add_argument("--threads", type=int, default=8)
    options = parser.parse_args()

    def line(photo: Path) -> str:
        image = photo.read_bytes()
        label, probability = PROTOCOLS[options.protocol](options.url, options.model, image)
        return f"{photo}\t{label}\t{probability:.6f}"

    with ThreadPoolExecutor(options.threads) as pool:
        for text in pool.map(line, options.photos):
            sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
