"""The epoch: exact copies, exact lengths, the same order on any machine and any number of them."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused, TagwiseError
from tagwise.tags.epoch import EpochIndex, positions_of
from tagwise.tags.laws import image_factors, label_factors, rarest_counts, threshold_for_length
from tests.references import sampling as reference
from tests.references.sampling import golden_arrays, golden_corpus, scheme, zipf_corpus


def copies(index: EpochIndex, pictures: int, seed: int, number: int) -> NDArray[np.int64]:
    epoch = index.epoch(seed, number)
    return np.bincount(epoch.rows(np.arange(epoch.length)), minlength=pictures)


@pytest.mark.parametrize(
    ("letter", "name"), [(letter, name) for letter in "BC" for name in golden_corpus(letter)["schemes"]]
)
def test_w9_copies_and_lengths_over_many_epochs(letter: str, name: str) -> None:
    """Corpus B: 10,000 epochs; a mean of copies has the standard error of a coin with r's fraction."""
    ids, offsets, counts = golden_arrays(letter)
    law, threshold = scheme(name)
    factors = np.array(golden_corpus(letter)["schemes"][name]["r_image"])
    index = EpochIndex.build(ids, offsets, counts, law, threshold)
    epochs = 10_000 if name == "sqrt@t=10" else 1000
    drawn = np.stack([copies(index, len(factors), 5, number) for number in range(epochs)])
    low, high = np.floor(factors), np.ceil(factors)
    assert ((drawn >= low) & (drawn <= high)).all()
    lengths = drawn.sum(axis=1)
    assert set(lengths.tolist()) <= {int(np.floor(factors.sum())), int(np.ceil(factors.sum()))}
    fraction = factors - low
    errors = np.sqrt(fraction * (1 - fraction) / epochs)
    assert (np.abs(drawn.mean(axis=0) - factors) <= 4 * errors + 1e-6).all()
    whole = factors.sum()
    length_error = np.sqrt((whole % 1) * (1 - whole % 1) / epochs)
    assert abs(lengths.mean() - whole) <= 4 * length_error + 1e-6


labelled = st.lists(st.lists(st.integers(0, 5), max_size=4, unique=True), min_size=1, max_size=25).filter(any)
chosen_laws = st.just(("natural", None)) | st.tuples(st.sampled_from(["sqrt", "uniform"]), st.floats(0.5, 40))


@given(labelled, chosen_laws, st.integers(0, 99))
def test_w9_any_corpus_any_epoch(pictures: list[list[int]], chosen: tuple[Any, float | None], number: int) -> None:
    ids, offsets = reference.flat(pictures)
    counts = np.array(reference.counts(pictures, 6))
    factors = image_factors(ids, offsets, label_factors(counts, *chosen))
    index = EpochIndex.build(ids, offsets, counts, *chosen)
    drawn = copies(index, len(pictures), 0, number)
    near = 1e-6  # a factor is held to 2^-25
    assert (drawn >= np.floor(factors + near) - (np.abs(factors - np.rint(factors)) < near)).all()
    assert (drawn <= np.ceil(factors - near) + (np.abs(factors - np.rint(factors)) < near)).all()
    assert not drawn[[not picture for picture in pictures]].any(), "pictures without labels are never drawn"
    assert abs(drawn.sum() - factors.sum()) < 1 + near
    assert index.expected_length == pytest.approx(factors.sum(), abs=1e-4)


def test_natural_epoch_shows_each_labelled_picture_once() -> None:
    ids, offsets, counts = zipf_corpus()
    index = EpochIndex.build(ids, offsets, counts, "natural")
    assert len(index.group_factors) == 1
    first, second = (index.epoch(0, number).rows(np.arange(20_000)) for number in (0, 1))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(20_000))
    assert np.abs(first - second).mean() > 5000


def test_whole_factors_are_exact_in_every_epoch() -> None:
    """Corpus A, uniform, t=8: factors 1, 4, 8, 8 and always 32 draws."""
    index = EpochIndex.build(*golden_arrays("A"), "uniform", 8)
    for number in range(50):
        assert copies(index, 12, 1, number).tolist() == [1] * 8 + [4, 4, 8, 8]


def test_extra_copies_go_to_all_of_a_group_and_not_in_company() -> None:
    """40 pictures of factor 1.5: pairs share an extra copy as often as chance has it."""
    pictures = [[0]] * 100 + [[1]] * 40
    ids, offsets = reference.flat(pictures)
    index = EpochIndex.build(ids, offsets, np.array([100, 40]), "uniform", 60)
    extra = np.stack([copies(index, 140, 0, number)[100:] - 1 for number in range(2000)])
    assert (extra.sum(axis=1) == 20).all()
    together = (extra.T @ extra)[np.triu_indices(40, k=1)] / 2000
    expected = 20 * 19 / (40 * 39)
    error = np.sqrt(expected * (1 - expected) / 2000)
    assert np.abs(together - expected).max() < 5 * error


def test_w10_epochs_and_seeds_are_unrelated() -> None:
    index = EpochIndex.build(*zipf_corpus(), "sqrt", 100)
    orders = [index.epoch(seed, number).rows(np.arange(20_000)) for seed, number in ((0, 0), (0, 1), (1, 0))]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert np.mean(orders[first] == orders[second]) < 0.01


@given(st.integers(0, 500), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_w10_global_batches_are_the_same_for_any_world(step: int, seed: int) -> None:
    epoch = EpochIndex.build(*zipf_corpus(), "sqrt", 100).epoch(seed, 0)
    batches = [
        np.concatenate([epoch.rows(positions_of(step, 64, rank, world)) for rank in range(world)]).tolist()
        for world in (1, 4, 8)
    ]
    assert batches[0] == batches[1] == batches[2]


def test_w10_resume_needs_only_the_step() -> None:
    ids, offsets, counts = zipf_corpus()
    epoch = EpochIndex.build(ids, offsets, counts, "sqrt", 100).epoch(3, 2)
    whole = epoch.rows(np.arange(epoch.length))
    again = EpochIndex.build(ids, offsets, counts, "sqrt", 100).epoch(3, 2)
    for step in (0, 1, 17, 574):
        assert again.rows(positions_of(step, 64)).tolist() == whole[step * 64 : step * 64 + 64].tolist()
    assert again.rows(np.array([epoch.length - 1, 0])).tolist() == [whole[-1], whole[0]]


def test_order_is_the_same_on_every_machine() -> None:
    """Pinned: another order would make old runs impossible to repeat."""
    epoch = EpochIndex.build(*zipf_corpus(), "sqrt", 100).epoch(0, 0)
    rows = epoch.rows(np.arange(epoch.length))
    assert hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:16] == "ace10b80964f52d6"


@given(labelled, st.permutations(range(6)))
@settings(max_examples=30)
def test_numbering_of_labels_does_not_matter(pictures: list[list[int]], renumbered: list[int]) -> None:
    """Noise changes counts after ids were given, so that ids need not fall with counts."""
    renamed = [[renumbered[label] for label in picture] for picture in pictures]
    orders = []
    for named in (pictures, renamed):
        index = EpochIndex.build(*reference.flat(named), np.array(reference.counts(named, 6)), "sqrt", 9.0)
        orders.append(index.epoch(0, 0).rows(np.arange(index.epoch(0, 0).length)).tolist())
    assert orders[0] == orders[1]


def test_saved_index_draws_the_same_and_is_mapped(tmp_path: Path) -> None:
    index = EpochIndex.build(*zipf_corpus(), "sqrt", 100)
    index.save(tmp_path / "index")
    loaded = EpochIndex.load(tmp_path / "index")
    assert isinstance(loaded.rows, np.memmap)
    assert (loaded.law, loaded.threshold) == ("sqrt", 100)
    positions = np.arange(3000)
    assert loaded.epoch(1, 1).rows(positions).tolist() == index.epoch(1, 1).rows(positions).tolist()


def test_damaged_index_is_told(tmp_path: Path) -> None:
    EpochIndex.build(*golden_arrays("B"), "natural").save(tmp_path)
    (tmp_path / "groups.npy").write_bytes(b"")
    with pytest.raises(TagwiseError, match="remove it to build it anew"):
        EpochIndex.load(tmp_path)
    EpochIndex.build(*golden_arrays("B"), "natural").save(tmp_path)
    np.save(tmp_path / "rows.npy", np.arange(3))
    with pytest.raises(TagwiseError, match="differ in length"):
        EpochIndex.load(tmp_path)


def test_corpus_without_labels_and_endless_epochs_are_refused() -> None:
    with pytest.raises(DataRefused, match="0 labelled pictures"):
        EpochIndex.build(np.empty(0, np.int32), np.zeros(3, np.int64), np.zeros(4, np.int64), "natural")
    with pytest.raises(DataRefused, match="3e\\+11 draws"):
        EpochIndex.build(*reference.flat([[0]]), np.array([1]), "uniform", 3e11)


class _VirtualIds:
    """One label a picture, computed where it is read."""

    def __init__(self, labels: int) -> None:
        self._labels = labels

    def __getitem__(self, entries: slice) -> NDArray[np.int64]:
        shares = np.arange(entries.start, entries.stop) * 0.6180339887498949 % 1
        return np.minimum((self._labels**shares).astype(np.int64), self._labels - 1)


class _VirtualOffsets:
    def __init__(self, pictures: int) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return self._pictures + 1

    def __getitem__(self, pictures: int | slice) -> Any:
        return np.arange(pictures.start, pictures.stop) if isinstance(pictures, slice) else pictures


def test_w11_index_needs_little_memory_beyond_the_rows() -> None:
    """Four million virtual pictures here; the blocks do not grow with them."""
    pictures, labels = 4_000_000, 17_000
    ids: Any = _VirtualIds(labels)
    offsets: Any = _VirtualOffsets(pictures)
    counts = np.zeros(labels, np.int64)
    for first in range(0, pictures, 2**18):
        counts += np.bincount(ids[slice(first, min(first + 2**18, pictures))], minlength=labels)
    tracemalloc.start()
    try:
        rarest = rarest_counts(ids, offsets, counts)
        threshold = threshold_for_length(counts, rarest, "sqrt")
        index = EpochIndex.build(ids, offsets, counts, "sqrt", threshold)
        index.epoch(0, 0).rows(np.arange(4096))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert index.epoch(0, 0).length in (5_999_999, 6_000_000, 6_000_001)
    assert peak - index.rows.nbytes < 64 * 2**20
