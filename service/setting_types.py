"""Types of settings' values."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, Field

Seconds = Annotated[float, Field(allow_inf_nan=False)]


def networks_of(text: str) -> tuple[str, ...]:
    """The addresses and networks of a list that commas separate."""
    return tuple(one for part in text.split(",") if (one := part.strip()))


def _checked(text: str) -> str:
    for one in networks_of(text):
        try:
            ip_network(one)
        except ValueError as error:
            raise ValueError(
                f"expected addresses and networks such as 10.0.0.7 or 10.1.0.0/16; {error}"
            ) from None
    return text


# IP addresses and networks, separated by commas.
Networks = Annotated[str, AfterValidator(_checked)]
