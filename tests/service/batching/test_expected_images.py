"""What is known of a request whose body was not read."""

from __future__ import annotations

import pytest

from service.batching.expected_images import MAX_CLIENTS, ExpectedImages


def test_a_body_as_large_as_the_last_one_has_as_many_images() -> None:
    expected = ExpectedImages()
    assert expected.of("a", 1000) == 1
    expected.record("a", 32, 1000)
    assert expected.of("a", 1000) == expected.of("a", 10**9) == 32
    assert expected.of("a", 999) == 1
    assert expected.of("b", 1000) == 1


@pytest.mark.parametrize("images", [1, 3])
def test_the_last_request_alone_counts(images: int) -> None:
    expected = ExpectedImages()
    expected.record("a", 32, 1000)
    expected.record("a", images, 500)
    assert expected.of("a", 1000) == images


def test_of_an_unknown_length_it_has_as_many() -> None:
    expected = ExpectedImages()
    expected.record("a", 32, 1000)
    assert expected.of("a", None) == 32


def test_the_oldest_client_is_forgotten() -> None:
    expected = ExpectedImages()
    for number in range(MAX_CLIENTS + 1):
        expected.record(f"{number}", 2, 0)
    assert [expected.of(f"{number}", 1) for number in (0, 1, MAX_CLIENTS)] == [1, 2, 2]
