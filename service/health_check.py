"""Asks the service of this container whether it is well: `python -m service.health_check [ready]`.

For health checks that run a command. It reads the variables that the service reads, and imports
nothing else of it: it is started every few seconds.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from collections.abc import Mapping
from contextlib import closing

TIMEOUT_SECONDS = 4.0
PROBES = ("live", "ready")
# Addresses of every interface, and the one to ask then.
ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def connection(environment: Mapping[str, str]) -> http.client.HTTPConnection:
    """To the service with these variables. Raises ValueError for a port that is no number."""
    given = environment.get("RESNET_HOST") or "127.0.0.1"
    host, port = ANY.get(given, given), int(environment.get("RESNET_PORT") or 8000)
    if not environment.get("RESNET_TLS_CERT_FILE"):
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    # The certificate has the name that clients know the service by, and not this address.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """The exit status: 0 where it answers with 200, 1 where not, 2 for other arguments."""
    probe, *more = arguments or ["live"]
    if more or probe not in PROBES:
        sys.stderr.write("usage: python -m service.health_check [live|ready]\n")
        return 2
    try:
        with closing(connection(environment)) as asked:
            asked.request("GET", f"/health/{probe}")
            status = asked.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stderr.write(f"/health/{probe} can't be asked: {error}\n")
        return 1
    if status != 200:
        sys.stderr.write(f"/health/{probe} answers {status}\n")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
