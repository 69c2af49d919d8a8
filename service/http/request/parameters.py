"""Query parameters and form fields: a name that is none is refused with the nearest one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from service.errors import InvalidParameter

# A longer name is no misspelling: to compare it takes its length times that of those there are.
MAX_MISSPELT_LENGTH = 100


def check_query(given: Iterable[str], known: Collection[str]) -> None:
    """Raises InvalidParameter for a query parameter that the route does not have."""
    for name in given:
        if name not in known:
            raise InvalidParameter(
                f"The query parameters are {', '.join(known)}. Received: {name!r}."
                f"{_suggestion(name, known)}"
            )


def check_form(
    given: Iterable[str], parts: Collection[str], part: str, parameters: Collection[str]
) -> None:
    """Raises InvalidParameter for a form field other than the images.

    parts: the names that images may have; part: the usual one. parameters: those of the query.
    """
    for name in given:
        if name not in parts:
            in_query = " Parameters belong in the query." if name in parameters else ""
            raise InvalidParameter(
                f"A form has parts named {part!r} only. Received: {name!r}."
                f"{in_query or _suggestion(name, (part, *parameters))}"
            )


def _suggestion(name: str, known: Collection[str]) -> str:
    if len(name) > MAX_MISSPELT_LENGTH:
        return ""
    nearest = get_close_matches(name, known, n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
