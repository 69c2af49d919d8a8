"""`python -m service`: what `resnet serve` does, with the environment's settings."""

from __future__ import annotations

from service.cli import main

if __name__ == "__main__":
    main(["serve"])
