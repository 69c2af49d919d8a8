"""The service's own server around a fake model, with few descriptors.

    python -m tests.service.http.connection.limited_server PORT LOOP DESCRIPTORS [late]

RESNET_ variables are its settings. late: it does not know of the limit, so that it runs into it.
"""

from __future__ import annotations

import resource
import sys

from service.http.connection.descriptors import warn_of_limit
from service.http.server import Server, listen
from service.observability.logging import configure_logging
from tests.service.http.factory import make


def main(port: int, loop: str, descriptors: int, late: bool) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    if not late:
        limit()
    configure_logging("info", "json")
    server = Server(make())
    server.config.loop = loop
    warn_of_limit(server.max_connections)
    if late:
        limit()
    server.run(sockets=[listen("127.0.0.1", port)])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:] == ["late"])
