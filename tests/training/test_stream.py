"""Epoch after epoch without a gap, each picture seen; any stretch can be asked for at any time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tagwise.tags.drawing import drawing
from tagwise.tags.epoch import EpochIndex, positions_of
from tagwise.tags.rounding import Rounding
from tagwise.training.stream import PictureStream
from tests.references.sampling import golden_arrays
from tests.training.tiny import PICTURES, tiny_index

SEED = 4


def chained(index: EpochIndex, epochs: int) -> NDArray[np.int64]:
    """The endless order, written out."""
    opened = [index.epoch(SEED, number) for number in range(epochs)]
    return np.concatenate([epoch.rows(np.arange(epoch.length)) for epoch in opened])


@given(st.sampled_from(["systematic", "independent"]), st.integers(0, 500), st.integers(1, 400))
def test_any_stretch_is_that_of_the_epochs_in_a_row(rounding: Rounding, first: int, count: int) -> None:
    """Stretches of up to several epochs, from a stream that has seen nothing before."""
    index = replace(tiny_index(), rounding=rounding)
    expected = chained(index, 20)[first : first + count]
    found = PictureStream(index, SEED).rows(np.arange(first, first + count))
    assert found.tolist() == expected.tolist()


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6))
def test_the_order_of_questions_changes_no_answer(steps: list[int]) -> None:
    stream = PictureStream(tiny_index(), SEED)
    for step in steps:
        fresh = PictureStream(tiny_index(), SEED)
        assert stream.rows(positions_of(step, 16)).tolist() == fresh.rows(positions_of(step, 16)).tolist()


def test_p12_one_epoch_of_the_natural_law_shows_each_picture_once() -> None:
    """Whatever the batch, the last of an epoch is filled from the next."""
    ids, offsets, counts = golden_arrays("C")
    index = EpochIndex.build(ids, offsets, counts, "natural")
    pictures = len(offsets) - 1
    stream = PictureStream(index, SEED)
    rows = np.concatenate([stream.rows(positions_of(step, 4)) for step in range(pictures)])
    assert Counter(rows.tolist()) == dict.fromkeys(range(pictures), 4)
    for epoch in range(4):
        assert sorted(rows[epoch * pictures : (epoch + 1) * pictures].tolist()) == list(range(pictures))


def test_epochs_of_positions() -> None:
    lengths = [tiny_index().epoch(SEED, number).length for number in range(5)]
    expected = np.repeat(np.arange(5), lengths)
    stream = PictureStream(tiny_index(), SEED)
    assert [stream.epoch_of(position) for position in range(sum(lengths))] == expected.tolist()


def test_epochs_that_happen_to_be_empty_are_passed_over() -> None:
    """Two pictures of one label, each kept with a chance of a half."""
    drawn = drawing(np.zeros(2, np.int32), np.arange(3), np.array([2]), "cap", 1.0)
    index = EpochIndex.of(np.zeros(2, np.int32), np.arange(3), drawn, "independent")
    assert 0 in [index.epoch(SEED, number).length for number in range(40)]
    assert PictureStream(index, SEED).rows(np.arange(20)).tolist() == chained(index, 60)[:20].tolist()


@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
def test_batches_larger_than_an_epoch_are_served_too(batch: int) -> None:
    rows = PictureStream(tiny_index(), SEED).rows(positions_of(1, batch))
    assert len(rows) == batch
    assert rows.min() >= 0
    assert rows.max() < PICTURES
