"""`python -m service`: the `resnet` command; without arguments, `resnet serve`."""

from __future__ import annotations

import sys

from service.cli.main import main

if __name__ == "__main__":
    main(sys.argv[1:] or ["serve"])
