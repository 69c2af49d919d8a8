"""The tree of errors: what each is called and which status it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus

import pytest

import service.errors
from service.errors import ModelNotReady, QueueFull, ServiceError, Unavailable

DRAWN = re.compile(r"^(?P<branches>[|+\- ]*)(?P<name>[A-Z]\w+) *(?P<status>\d{3})?", re.MULTILINE)


def tree(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    """The class and all below it, each after its parent."""
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


ALL = list(tree(ServiceError))


def drawn() -> list[tuple[int, str, int | None]]:
    """Depth, name and status of every line of the drawing."""
    drawing = (service.errors.__doc__ or "").split("\n\n", 1)[1]
    return [
        (
            len(match["branches"]) // 4,
            match["name"],
            int(match["status"]) if match["status"] else None,
        )
        for match in DRAWN.finditer(drawing)
    ]


def depth(kind: type[ServiceError]) -> int:
    return kind.__mro__.index(ServiceError)


def test_the_drawing_shows_every_class_where_it_belongs() -> None:
    assert [(level, name) for level, name, _ in drawn()] == [
        (depth(kind), kind.__name__) for kind in ALL
    ]


def test_the_drawing_gives_the_right_statuses() -> None:
    """Its own, or its parent's where it gives none."""
    statuses = {kind.__name__: kind for kind in ALL}
    for _, name, status in drawn():
        kind = statuses[name]
        parent = kind.__mro__[1]
        expected = parent.status if status is None else status  # type: ignore[attr-defined]
        assert kind.status == expected, name


def test_every_error_of_the_module_is_in_the_tree() -> None:
    found = {
        one
        for one in vars(service.errors).values()
        if isinstance(one, type) and issubclass(one, BaseException)
    }
    assert found == set(ALL)


@pytest.mark.parametrize("kind", ALL)
def test_each_has_a_status_and_a_code(kind: type[ServiceError]) -> None:
    assert HTTPStatus(kind.status) >= 400
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in ALL]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", ALL)
def test_only_what_may_pass_says_when_to_try_again(kind: type[ServiceError]) -> None:
    assert (kind.retry_after_seconds is not None) == issubclass(kind, Unavailable)
    assert issubclass(kind, Unavailable) == (kind.status == 503)


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        (QueueFull, {}, 1),
        (QueueFull, {"retry_after_seconds": 0}, 1),
        (QueueFull, {"retry_after_seconds": 1.2}, 2),
        (ModelNotReady, {}, 5),
        (ModelNotReady, {"retry_after_seconds": 0.5}, 1),
    ],
)
def test_never_at_once_and_never_too_early(
    kind: type[Unavailable], given: dict[str, float], told: int
) -> None:
    assert kind("busy", **given).retry_after_seconds == told
