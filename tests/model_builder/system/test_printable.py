"""What others wrote, printed as what it is."""

from __future__ import annotations

import pytest

from model_builder.system.printable import printable, printable_lines, shortlist


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Egyptian cat", "Egyptian cat"),
        ("œuf à la crème\u00a0🥚", "œuf à la crème\u00a0🥚"),
        ("[/b] tulip\\", "[/b] tulip\\"),
        ("\x1b[31mred\x1b]0;owned\x07", r"\x1b[31mred\x1b]0;owned\x07"),
        ("a\nb\r\nc\td\x0be\x0cf", r"a\nb\r\nc\td\x0be\x0cf"),
        ("\x7f\x80\x9b31m", r"\x7f\x80\x9b31m"),
        ("\u202etxt.exe\u2028\u2029\ufeff", r"\u202etxt.exe\u2028\u2029\ufeff"),
        ("name\udcff\U000e0041", r"name\udcff\U000e0041"),
    ],
)
def test_what_is_not_visible_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert shown.encode()


def test_lines_stay_lines_and_only_the_first_looks_like_one_of_the_log() -> None:
    text = "Tried:\n- the cache\n12:00:00 INFO\x1b[2K a\tb\r"
    assert printable_lines(text) == ("Tried:\n  - the cache\n  12:00:00 INFO\\x1b[2K a\tb\\r")
    assert printable_lines("one line") == "one line"
    assert len(printable_lines("x" * 10_000_000)) < 5000


def test_of_many_names_some_are_listed_and_the_rest_counted() -> None:
    assert shortlist([]) == ""
    assert shortlist(["a", "b"]) == "a, b"
    assert (
        shortlist(map(str, range(300_000))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... and 299990 more"
    )
    assert shortlist(["x" * 1_000_000]) == "x" * 100 + "..."
