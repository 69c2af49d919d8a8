"""A real nginx with the project's own nginx.conf, on this machine's loopback."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

NGINX_CONF = Path(__file__).parents[1] / "deploy" / "nginx.conf"
# Debian installs it into a folder that only root's PATH contains.
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
END_SECONDS = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Nginx:
    """Listens on `port` in front of the replicas' ports. folder: for all of its files.

    changed: texts of nginx.conf, each with what takes its place.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        replicas: Sequence[int],
        changed: Mapping[str, str] | None = None,
    ) -> None:
        assert NGINX is not None
        folder.chmod(0o755)
        self._folder = folder
        path = folder / "nginx.conf"
        path.write_text(_configuration(folder, port, replicas, changed or {}))
        self.log = folder / "nginx.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [NGINX, "-c", str(path), "-p", str(folder), "-g", "daemon off;"],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def upstreams(self, path: str) -> list[list[str]]:
        """Of each request to a path that begins so: the replicas that were asked, in order.

        Those that nginx has answered so far; a connection that it could not open counts.
        """
        lines = map(json.loads, (self._folder / "access.log").read_text().splitlines())
        asked = [one["upstream"] for one in lines if one["uri"].startswith(path)]
        return [one.split(", ") for one in asked if one and one != "-"]

    def stop(self) -> None:
        # SIGTERM ends its workers too; SIGKILL would leave them.
        self.process.terminate()
        self.process.wait(END_SECONDS)


def write_grpc_rules(
    folder: Path, port: int, replicas: Sequence[int], changed: Mapping[str, str] | None = None
) -> None:
    """For an Nginx of that folder: it listens on `port` for gRPC, before the replicas' gRPC ports.

    changed: texts of the project's rules, each with what takes its place. Those of TLS
    (tls.conf.example) are included where they are changed.
    """
    rules = folder / "resnet.d"
    rules.mkdir()
    ours = (NGINX_CONF.parent / "nginx.d" / "grpc.conf").read_text()
    (server,) = re.findall(r"server resnet:8001 ([^;]*);", ours)
    changes = {
        f"server resnet:8001 {server};": "\n".join(
            f"server 127.0.0.1:{replica} {server};" for replica in replicas
        ),
        "listen 8001 ": f"listen 127.0.0.1:{port} ",
        **(changed or {}),
    }
    for source in (NGINX_CONF.parent / "nginx.d").iterdir():
        text = source.read_text()
        if source.suffix == ".example" and not any(old in text for old in changed or {}):
            continue
        for old, new in changes.items():
            text = text.replace(old, new)
        (rules / source.name.removesuffix(".example")).write_text(text)


def _configuration(
    folder: Path, port: int, replicas: Sequence[int], changed: Mapping[str, str]
) -> str:
    """The project's configuration, with local addresses and its own folder."""
    text = NGINX_CONF.read_text()
    (server,) = re.findall(r"server resnet:8000 ([^;]*);", text)
    servers = "\n".join(f"server 127.0.0.1:{replica} {server};" for replica in replicas)
    for old, new in (
        (f"server resnet:8000 {server};", servers),
        ("listen 8000;", f"listen 127.0.0.1:{port};"),
        ("/tmp/", f"{folder}/"),
        ("/dev/stdout", str(folder / "access.log")),
        ("/dev/stderr", str(folder / "error.log")),
        *changed.items(),
    ):
        assert old in text, old
        text = text.replace(old, new)
    return text
