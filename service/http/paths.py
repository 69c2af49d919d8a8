"""The paths that middleware treats in a way of its own."""

from __future__ import annotations

from typing import Final

PREDICT: Final = "/predict"
LIVE: Final = "/health/live"
READY: Final = "/health/ready"
METRICS: Final = "/metrics"
PAGE: Final = "/"
PAGE_STYLE: Final = "/page.css"
PAGE_SCRIPT: Final = "/page.js"
DOCS: Final = "/docs"
REDOC: Final = "/redoc"
OPENAPI: Final = "/openapi.json"
DOCS_STATIC: Final = "/static-offline-docs"

# Paths on which a request is refused while there is no room for its image.
INFERENCE: Final = frozenset({PREDICT})
# Load balancers and Prometheus poll these: no key, no trace, a log line at the level "debug".
MONITORING: Final = frozenset({LIVE, READY, METRICS})
# What a browser needs before its user can enter a key.
PUBLIC: Final = MONITORING | {PAGE, PAGE_STYLE, PAGE_SCRIPT, DOCS, REDOC, OPENAPI}


def needs_key(path: str) -> bool:
    """Whether an API key is required there, where keys are set up."""
    return path not in PUBLIC and not path.startswith((DOCS_STATIC + "/", DOCS + "/"))
