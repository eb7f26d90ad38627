"""What is thinned out for drawing keeps its meaning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.pages.marks import averaged, line_keys, percent, ranks_drawn


@given(st.integers(1, 3000))
def test_an_averaged_curve_is_short_rises_and_keeps_a_straight_line(points: int) -> None:
    x, y = averaged(np.arange(float(points)), 3 - 2 * np.arange(float(points)))
    assert len(x) == len(y) <= 240
    assert (np.diff(x) > 0).all()
    np.testing.assert_allclose(y, 3 - 2 * x, atol=1e-9)


@given(st.integers(1, 10**6))
def test_drawn_ranks_are_few_and_hold_both_ends(labels: int) -> None:
    ranks = ranks_drawn(labels)
    assert (ranks[0], ranks[-1]) == (1, labels)
    assert len(ranks) <= 240
    assert (np.diff(ranks) > 0).all()


def test_twenty_lines_differ_in_colour_or_dash() -> None:
    keys = line_keys(map(str, range(20)))
    assert len({(key.color, key.dash) for key in keys}) == 20


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.8123, "81.2%"), (0.0, "0.0%"), (1.0, "100.0%"), (0.0001, "<0.1%"), (float("nan"), "\N{EN DASH}")],
)
def test_percents_have_one_digit(fraction: float, text: str) -> None:
    assert percent(fraction) == text
