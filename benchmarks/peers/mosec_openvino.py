"""An artifact of OpenVINO behind Mosec, tuned: images are decoded in processes of their own.

PEER_ARTIFACT=FOLDER python mosec_openvino.py --port PORT
"""

from __future__ import annotations

from typing import Any

from mosec import Server, Worker
from openvino_network import BATCH_TIMEOUT_MS, CPUS, MAX_BATCH_SIZE, Network, decode


class Decoder(Worker):  # type: ignore[misc]
    """The request's body is the image."""

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> Any:
        return decode(data)


class Classifier(Worker):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.network = Network()

    def forward(self, data: list[Any]) -> list[dict[str, int]]:
        return [{"output": output} for output in self.network.classify(data)]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Decoder, num=CPUS, route="/predict")
    server.append_worker(
        Classifier,
        max_batch_size=MAX_BATCH_SIZE,
        max_wait_time=BATCH_TIMEOUT_MS,
        route="/predict",
    )
    server.run()
