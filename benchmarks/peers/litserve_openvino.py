"""An artifact of OpenVINO behind LitServe, tuned: images are decoded in processes of their own.

PEER_ARTIFACT=FOLDER python litserve_openvino.py PORT
"""

from __future__ import annotations

import base64
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import litserve
from openvino_network import BATCH_TIMEOUT_MS, CPUS, MAX_BATCH_SIZE, Network, decode


class ImageClassifier(litserve.LitAPI):  # type: ignore[misc]
    """The hooks that LitServe calls, in their order."""

    def setup(self, _device: Any) -> None:
        self.decoders = ProcessPoolExecutor(CPUS, multiprocessing.get_context("spawn"))
        self.network = Network()

    def decode_request(self, request: dict[str, str]) -> bytes:
        return base64.b64decode(request["image_data"])

    def batch(self, inputs: list[bytes]) -> list[Any]:
        return list(self.decoders.map(decode, inputs))

    def predict(self, pixels: list[Any]) -> list[int]:
        classes: list[int] = self.network.classify(pixels)
        return classes

    def unbatch(self, output: list[int]) -> list[int]:
        return output

    def encode_response(self, output: int) -> dict[str, int]:
        return {"output": output}


if __name__ == "__main__":
    classifier = ImageClassifier(
        max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT_MS / 1000
    )
    server = litserve.LitServer(classifier, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning"
    )
