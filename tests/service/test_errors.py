"""The entry of an error in a protocol's table."""

from __future__ import annotations

from service.errors import (
    InvalidImage,
    ServiceError,
    ShuttingDown,
    Unavailable,
    Unprocessable,
    entry_of,
)

TABLE = {ServiceError: 1, Unprocessable: 2, Unavailable: 3, ShuttingDown: 4}


def test_an_error_has_the_entry_of_its_class_or_of_the_nearest_base() -> None:
    assert entry_of(ShuttingDown("bye"), TABLE) == 4
    assert entry_of(InvalidImage("torn"), TABLE) == 2
    assert entry_of(ServiceError("other"), TABLE) == 1


def test_a_class_has_the_entry_that_its_errors_have() -> None:
    assert entry_of(InvalidImage, TABLE) == 2
