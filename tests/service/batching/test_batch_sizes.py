"""How many images a batch takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.batching.batch_sizes import BatchSizes

# Four images cost what four single ones do; on GPU everything up to 8 costs the same.
FLAT = {1: 1.0, 2: 2.0, 4: 4.0, 8: 8.0}
GPU = {1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0}
SIZES = st.dictionaries(st.integers(1, 64), st.floats(0.001, 10), min_size=1)


@pytest.mark.parametrize(
    ("seconds", "waiting", "taken"),
    [
        (FLAT, 1, 1),
        (FLAT, 3, 2),
        (FLAT, 5, 4),
        (FLAT, 7, 4),
        (FLAT, 8, 8),
        (FLAT, 100, 8),
        (GPU, 3, 3),
        (GPU, 7, 7),
        (GPU, 100, 8),
        # Padding 7 to 8 costs less than 4, then 2, then 1.
        ({1: 1.0, 2: 1.6, 4: 2.8, 8: 4.8}, 7, 7),
        ({1: 1.0, 2: 1.6, 4: 2.8, 8: 4.8}, 5, 4),
        ({4: 1.0}, 1, 1),
        # Near enough, and fewer turns.
        ({1: 1.0, 2: 1.98, 4: 4.1, 8: 8.3}, 100, 8),
    ],
)
def test_what_answers_the_most_a_second(
    seconds: dict[int, float], waiting: int, taken: int
) -> None:
    assert BatchSizes(seconds).take(waiting) == taken


@given(seconds=SIZES, waiting=st.integers(1, 100))
def test_nothing_that_could_be_taken_is_quicker(seconds: dict[int, float], waiting: int) -> None:
    plan = BatchSizes(seconds)
    taken = plan.take(waiting)
    assert 1 <= taken <= min(waiting, plan.largest)

    def rate(count: int) -> float:
        return count / seconds[plan.padded_size(count)]

    assert rate(taken) >= 0.95 * max(map(rate, range(1, min(waiting, plan.largest) + 1)))


def test_sizes_ascend_and_each_count_is_padded_to_the_next() -> None:
    plan = BatchSizes({8: 1.0, 1: 0.2, 3: 0.5})
    assert (plan.sizes, plan.largest) == ((1, 3, 8), 8)
    assert [plan.padded_size(count) for count in (1, 2, 3, 4, 8)] == [1, 3, 3, 8, 8]


@pytest.mark.parametrize("seconds", [{}, {0: 1.0}])
def test_a_plan_has_sizes(seconds: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="Received"):
        BatchSizes(seconds)


@pytest.mark.parametrize(
    ("seconds", "quick"),
    [
        (FLAT, 1),
        (GPU, 8),
        ({1: 1.0, 2: 1.8, 4: 3.6}, 1),
        ({1: 1.0, 2: 1.79, 4: 3.58}, 2),
        ({4: 1.0}, 4),
    ],
)
def test_the_shortest_batch_that_answers_nearly_as_much_a_second(
    seconds: dict[int, float], quick: int
) -> None:
    assert BatchSizes(seconds).quick == quick
