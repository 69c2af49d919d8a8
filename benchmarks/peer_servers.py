"""The servers that the service is compared with, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.images import as_body, as_json
from benchmarks.server import Server, free_port, running
from model_builder.artifact.manifest import Precision

SCRIPTS = Path(__file__).with_name("peers")
# Mosec refuses what takes longer than three seconds by default, as many connections do here.
MOSEC_OPTIONS = ("--timeout", "60000", "--log-level", "warning", "--port")


@dataclass(frozen=True, slots=True)
class Peer:
    """One server. precision: of the artifact that it serves; None: its weights are random.

    as_request: the request with one JPEG. options: those before the port.
    """

    name: str
    script: str
    precision: Precision | None
    as_request: Callable[[bytes], bytes]
    health: str
    options: tuple[str, ...] = ()


LITSERVE = Peer("LitServe, PyTorch", "litserve_pytorch.py", None, as_json, "/health")
LITSERVE_FLOAT32 = Peer(
    "LitServe, OpenVINO float32", "litserve_openvino.py", "float32", as_json, "/health"
)
PEERS = (
    LITSERVE,
    LITSERVE_FLOAT32,
    Peer("LitServe, OpenVINO int8", "litserve_openvino.py", "int8", as_json, "/health"),
    Peer("Mosec, OpenVINO float32", "mosec_openvino.py", "float32", as_body, "/", MOSEC_OPTIONS),
    Peer("Mosec, OpenVINO int8", "mosec_openvino.py", "int8", as_body, "/", MOSEC_OPTIONS),
)


@contextmanager
def peer_server(peer: Peer, python: Path, artifact: Path | None, log: Path) -> Iterator[Server]:
    """python: of the environment that has the peers. Raises ServerFailed."""
    port = free_port()
    command = [str(python), str(SCRIPTS / peer.script), *peer.options, str(port)]
    environment = {} if artifact is None else {"PEER_ARTIFACT": str(artifact)}
    with running(command, environment, port, peer.health, log) as server:
        yield server
