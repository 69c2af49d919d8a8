"""`python -m service`: the service with the environment's settings."""

from __future__ import annotations

import sys

from service.server import serve
from service.settings import Settings

if __name__ == "__main__":
    sys.exit(serve(Settings()))
