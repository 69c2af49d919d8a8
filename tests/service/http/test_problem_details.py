"""The tree of errors, and the HTTP status of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus

import pytest

import service.errors
from service.errors import (
    FAULT,
    InvalidImage,
    ModelNotReady,
    NonFiniteOutput,
    QueueFull,
    ServiceError,
    Unavailable,
)
from service.http.problem_details import STATUS, problem_of, status_of

DRAWN = re.compile(r"^(?P<branches>[|+\- ]*)(?P<name>[A-Z]\w+)", re.MULTILINE)


def tree(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    """The class and all below it, each after its parent."""
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


ALL = list(tree(ServiceError))


def drawn() -> list[tuple[int, str]]:
    """Depth and name of every line of the drawing."""
    drawing = (service.errors.__doc__ or "").split("\n\n", 1)[1]
    return [(len(match["branches"]) // 4, match["name"]) for match in DRAWN.finditer(drawing)]


def depth(kind: type[ServiceError]) -> int:
    return kind.__mro__.index(ServiceError)


def test_the_drawing_shows_every_class_where_it_belongs() -> None:
    assert drawn() == [(depth(kind), kind.__name__) for kind in ALL]


def test_every_family_of_errors_has_a_status_of_its_own() -> None:
    """Only subclasses of a family share its status."""
    families = [kind for kind in ALL if depth(kind) == 1]
    assert {*STATUS} - {ServiceError} <= {*families}
    statuses = [status_of(kind) for kind in families if kind in STATUS and status_of(kind) != 500]
    assert len(set(statuses)) == len(statuses)
    assert [kind.__name__ for kind in families if status_of(kind) == 500] == ["InferenceFailed"]


def test_every_error_of_the_module_is_in_the_tree() -> None:
    found = {
        one
        for one in vars(service.errors).values()
        if isinstance(one, type) and issubclass(one, BaseException)
    }
    assert found == set(ALL)


@pytest.mark.parametrize("kind", ALL)
def test_each_has_a_status_and_a_code(kind: type[ServiceError]) -> None:
    assert HTTPStatus(status_of(kind)) >= 400
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)


def test_codes_are_unique() -> None:
    """NonFiniteOutput is one image's InferenceFailed: a client need not tell them apart."""
    codes = [kind.code for kind in ALL if kind is not NonFiniteOutput]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", ALL)
def test_only_what_may_pass_says_when_to_try_again(kind: type[ServiceError]) -> None:
    assert (kind.retry_after_seconds is not None) == issubclass(kind, Unavailable)
    assert issubclass(kind, Unavailable) == (status_of(kind) == 503)


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


def test_where_the_service_is_at_fault_its_words_go_to_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of one of several images too, which no handler answers."""
    body = problem_of(ServiceError("Its last line was: no room in /secret"))
    assert (body["status"], body["code"], body["detail"]) == (500, "internal_error", FAULT)
    assert "no room in /secret" in caplog.text
    assert problem_of(InvalidImage("cut short"))["detail"] == "cut short"
