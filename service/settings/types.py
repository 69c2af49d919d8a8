"""Types of settings' values."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, PlainValidator

Seconds = Annotated[float, Field(allow_inf_nan=False)]

# As browsers send it: scheme, host, and a port that is not the scheme's own.
_ORIGIN: Final = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?")
ANY_ORIGIN: Final = "*"
_ROOT_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)*")
# First parts of the service's own paths. Behind a proxy that strips a prefix of that name, a path
# with the prefix could not be told from one without.
OWN_PATHS: Final = frozenset(
    {
        "docs",
        "health",
        "metrics",
        "models",
        "openapi.json",
        "page",
        "predict",
        "redoc",
        "static-offline-docs",
        "v1",
        "v2",
    }
)


MAX_WORKERS: Final = 256


def parts_of(text: str) -> tuple[str, ...]:
    """The parts of a list that commas separate."""
    return tuple(one for part in text.split(",") if (one := part.strip()))


def _networks(text: str) -> str:
    for one in parts_of(text):
        try:
            ip_network(one)
        except ValueError as error:
            raise ValueError(
                f"expected addresses and networks such as 10.0.0.7 or 10.1.0.0/16; {error}"
            ) from None
    return text


def _origins(text: str) -> str:
    for one in parts_of(text):
        if one != ANY_ORIGIN and not _ORIGIN.fullmatch(one):
            raise ValueError(
                "expected origins such as https://shop.example or http://localhost:3000, in lower "
                f"case and without a path, or {ANY_ORIGIN}. Received: {one!r}"
            )
    return text


def _root_path(text: str) -> str:
    path = text.rstrip("/")
    if not _ROOT_PATH.fullmatch(path):
        raise ValueError(f"expected a path such as /resnet. Received: {text!r}")
    if path[1:].partition("/")[0] in OWN_PATHS:
        raise ValueError(f"the service has a path of its own that begins so. Received: {text!r}")
    return path


def _workers(value: object) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    text = str(value)
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MAX_WORKERS:
        raise ValueError(f"expected 1 to {MAX_WORKERS}, or auto. Received: {value!r}")
    return int(text)


# IP addresses and networks, separated by commas.
Networks = Annotated[str, AfterValidator(_networks)]
# Origins of web pages, separated by commas, or "*".
Origins = Annotated[str, AfterValidator(_origins)]
# "" or a path that begins with a slash and ends without one.
RootPath = Annotated[str, AfterValidator(_root_path)]
# A number of processes; "auto" for as many as the machine's CPUs and GPUs make sense of.
Workers = Annotated[int | Literal["auto"], PlainValidator(_workers)]
