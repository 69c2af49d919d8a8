"""The paths that middleware treats in a way of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

PREDICT: Final = "/predict"
LIVE: Final = "/health/live"
READY: Final = "/health/ready"
METRICS: Final = "/metrics"
PAGE: Final = "/"
# Below it are the style sheets and the modules of the page.
PAGE_FILES: Final = "/page"
DOCS: Final = "/docs"
REDOC: Final = "/redoc"
OPENAPI: Final = "/openapi.json"
DOCS_STATIC: Final = "/static-offline-docs"

V2: Final = "/v2"
V2_LIVE: Final = "/v2/health/live"
V2_READY: Final = "/v2/health/ready"
V2_MODEL: Final = "/v2/models/{name}"
V2_VERSION: Final = "/v2/models/{name}/versions/{version}"
INFER: Final = "/infer"
V1: Final = "/v1"
# OpenAI's, among TensorFlow Serving's paths.
EMBEDDINGS: Final = "/v1/embeddings"
# TensorFlow Serving's: of a model, of its version, of the version with a label.
V1_MODELS: Final = tuple(
    "/v1/models/{name}" + part for part in ("", "/versions/{version}", "/labels/{label}")
)
PREDICT_METHOD: Final = ":predict"
CLASSIFY_METHOD: Final = ":classify"

PROBES: Final = frozenset({LIVE, READY, V2_LIVE, V2_READY})
# Load balancers and Prometheus poll these: no key, no trace, a log line at the level "debug".
MONITORING: Final = PROBES | {METRICS}
# What a browser needs before its user can enter a key.
PUBLIC: Final = MONITORING | {PAGE, DOCS, REDOC, OPENAPI}

_PUBLIC_FOLDERS: Final = (PAGE_FILES + "/", DOCS_STATIC + "/", DOCS + "/")


def needs_key(path: str) -> bool:
    """Whether an API key is required there, where keys are set up."""
    return path not in PUBLIC and not path.startswith(_PUBLIC_FOLDERS)


@dataclass(frozen=True, slots=True)
class InferenceTarget:
    """Which model a request's path and query name, None for the default. route: the template.

    in_body: whether only the body names it.
    """

    route: str
    model: str | None = None
    version: str | None = None
    in_body: bool = False


# Paths on which a request is refused while there is no room for its image, and their routes.
_TARGETS: Final = tuple(
    (re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", route)), route)
    for route in (
        V2_MODEL + INFER,
        V2_VERSION + INFER,
        *(path + method for path in V1_MODELS for method in (PREDICT_METHOD, CLASSIFY_METHOD)),
    )
)

# The templates of all routes that images are sent to.
INFERENCE_ROUTES: Final = (PREDICT, EMBEDDINGS, *(route for _, route in _TARGETS))


def inference_target(path: str, query: bytes) -> InferenceTarget | None:
    """None where the path is none of inference. Raises KeyError for an empty `?model=`.

    path: percent-decoded.
    """
    if path == PREDICT:
        name = parse_qs(query.decode("latin-1"))["model"][-1] if b"model=" in query else None
        return InferenceTarget(PREDICT, name)
    if path == EMBEDDINGS:
        return InferenceTarget(EMBEDDINGS, in_body=True)
    for pattern, route in _TARGETS:
        if found := pattern.fullmatch(path):
            named = found.groupdict()
            return InferenceTarget(route, named["name"], named.get("version"))
    return None
