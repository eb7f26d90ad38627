"""Work in threads: the order of the answers is the order of the items."""

from __future__ import annotations

import time
from itertools import count, islice

import pytest

from tagwise.base.errors import UsageError
from tagwise.corpus.pool import map_in_order


@pytest.mark.parametrize("workers", [1, 3, None])
def test_answers_come_in_the_order_of_the_items(workers: int | None) -> None:
    def late(number: int) -> int:
        time.sleep((number % 3) / 1000)
        return number**2

    assert list(map_in_order(late, range(100), workers)) == [number**2 for number in range(100)]


def test_items_are_taken_only_a_little_ahead() -> None:
    taken = []
    endless = (taken.append(number) or number for number in count())  # type: ignore[func-returns-value]
    answers = map_in_order(abs, endless, 2)
    assert list(islice(answers, 3)) == [0, 1, 2]
    answers.close()  # type: ignore[attr-defined]
    assert len(taken) < 50


def test_an_error_comes_out_where_its_item_stands() -> None:
    answers = map_in_order(lambda number: 1 // number, [1, 0], 2)
    assert next(answers) == 1
    with pytest.raises(ZeroDivisionError):
        next(answers)


def test_no_workers_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one"):
        next(map_in_order(abs, [1], 0))
