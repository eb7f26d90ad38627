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
from tagwise.tags.drawing import drawing
from tagwise.tags.epoch import EpochIndex, positions_of
from tagwise.tags.rounding import FRACTION_BITS, Rounding, Systematic
from tagwise.tags.thresholds import choose_threshold
from tests.references import sampling as reference
from tests.references.sampling import draws_of, golden_arrays, golden_corpus, scheme, zipf_corpus


def built(arrays: Any, law: str, threshold: float | None = None, rounding: Rounding = "systematic") -> EpochIndex:
    ids, offsets, counts = arrays
    return EpochIndex.of(ids, offsets, drawing(ids, offsets, counts, law, threshold), rounding)


def factors_of(index: EpochIndex, pictures: int) -> NDArray[np.float64]:
    """What the index holds as expected draws of each picture."""
    factors = np.zeros(pictures)
    factors[index.rows] = np.repeat(index.group_factors, np.diff(index.group_starts)) / 2.0**FRACTION_BITS
    return factors


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


@pytest.mark.parametrize("letter", "ABC")
def test_w9_systematic_rounding_goldens(letter: str) -> None:
    """Each picture a group of its own, in the order of the list."""
    for golden in golden_corpus(letter)["systematic_rounding"]:
        factors = np.array(golden_corpus(letter)["schemes"][golden["scheme"]]["r_image"])
        index = EpochIndex(
            law="sqrt",
            threshold=1.0,
            rounding="systematic",
            rows=np.arange(len(factors)),
            group_starts=np.arange(len(factors) + 1),
            group_factors=np.rint(factors * 2**FRACTION_BITS).astype(np.int64),
        )
        with pytest.MonkeyPatch.context() as patch:
            offset = int(golden["offset"] * 2**FRACTION_BITS)
            patch.setattr("tagwise.tags.rounding.stream_seed", lambda *names, offset=offset: offset)
            starts = Systematic(index, 0, 0).slot_starts
        assert np.diff(starts).tolist() == golden["copies"]
        assert np.repeat(np.arange(len(factors)), np.diff(starts)).tolist() == golden["image_of_position"]


@pytest.mark.parametrize(
    ("letter", "law", "threshold"), [("B", "sqrt", 10.0), ("C", "cap", 2.0), ("C", "raked", 16.5), ("B", "cap", 3.0)]
)
def test_w9_independent_rounding_over_many_epochs(letter: str, law: str, threshold: float) -> None:
    """Each picture by itself: copies floor or ceil and right in the mean, lengths spread as a sum of coins."""
    arrays = golden_arrays(letter)
    index, epochs = built(arrays, law, threshold, "independent"), 2000
    factors = draws_of(drawing(*arrays, law, threshold), *arrays[:2])
    drawn = np.stack([copies(index, len(factors), 5, number) for number in range(epochs)])
    assert ((drawn >= np.floor(factors)) & (drawn <= np.ceil(factors))).all()
    variances = (factors % 1) * (1 - factors % 1)
    assert (np.abs(drawn.mean(axis=0) - factors) <= 4 * np.sqrt(variances / epochs) + 1e-6).all()
    lengths = drawn.sum(axis=1)
    assert lengths.var() == pytest.approx(variances.sum(), rel=0.2)
    together = np.corrcoef((drawn - drawn.mean(axis=0))[:, variances > 0.01].T)
    assert np.abs(together[np.triu_indices(len(together), 1)]).max() < 5 / np.sqrt(epochs)


@pytest.mark.parametrize(("law", "threshold"), [("cap", 2.0), ("raked", 16.5), ("raked:uniform", 11.0)])
def test_w9_factors_below_1_are_exact_in_the_mean(law: str, threshold: float) -> None:
    arrays = golden_arrays("C")
    index, epochs = built(arrays, law, threshold), 2000
    factors = draws_of(drawing(*arrays, law, threshold), *arrays[:2])
    assert (factors < 1).any()
    drawn = np.stack([copies(index, len(factors), 5, number) for number in range(epochs)])
    near = 1e-6
    assert ((drawn >= np.floor(factors + near)) & (drawn <= np.ceil(factors - near))).all()
    errors = np.sqrt((factors % 1) * (1 - factors % 1) / epochs)
    assert (np.abs(drawn.mean(axis=0) - factors) <= 4 * errors + 1e-6).all()
    assert set(drawn.sum(axis=1).tolist()) <= {int(np.floor(factors.sum() + near)), int(np.ceil(factors.sum() - near))}


labelled = st.lists(st.lists(st.integers(0, 5), max_size=4, unique=True), min_size=1, max_size=25).filter(any)
chosen_laws = st.one_of(
    st.just(("natural", None)),
    st.tuples(st.sampled_from(["sqrt", "uniform", "power:0.3"]), st.floats(0.5, 40)),
    st.tuples(st.just("cap"), st.floats(1, 40)),
    st.tuples(st.sampled_from(["raked", "raked:uniform"]), st.floats(25, 80)),
)


@given(labelled, chosen_laws, st.sampled_from(["systematic", "independent"]), st.integers(0, 99))
def test_w9_any_corpus_any_epoch(
    pictures: list[list[int]], chosen: tuple[str, float | None], rounding: Rounding, number: int
) -> None:
    ids, offsets = reference.flat(pictures)
    arrays = ids, offsets, np.array(reference.counts(pictures, 6))
    factors, index = draws_of(drawing(*arrays, *chosen), ids, offsets), built(arrays, *chosen, rounding)
    held = factors_of(index, len(pictures))
    assert held.tolist() == pytest.approx(factors.tolist(), rel=7e-4, abs=2**-25)
    drawn = copies(index, len(pictures), 0, number)
    assert ((drawn >= np.floor(held)) & (drawn <= np.ceil(held))).all()
    assert not drawn[[not picture for picture in pictures]].any(), "pictures without labels are never drawn"
    if rounding == "systematic":
        assert abs(drawn.sum() - factors.sum()) < 1 + 1e-6
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


INDICES = {
    "repeated": built(zipf_corpus(), "sqrt", 100),
    "capped": built(zipf_corpus(), "cap", 100),
    "raked": built(zipf_corpus(), "raked", 36_000),
    "independent": built(zipf_corpus(), "sqrt", 100, "independent"),
}


@given(st.sampled_from(sorted(INDICES)), st.integers(0, 250), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_w10_global_batches_are_the_same_for_any_world(name: str, step: int, seed: int) -> None:
    epoch = INDICES[name].epoch(seed, 0)
    step = min(step, epoch.length // 64 - 1)
    batches = [
        np.concatenate([epoch.rows(positions_of(step, 64, rank, world)) for rank in range(world)]).tolist()
        for world in (1, 4, 8)
    ]
    assert batches[0] == batches[1] == batches[2]


@pytest.mark.parametrize("name", INDICES)
def test_w10_resume_needs_only_the_step(name: str) -> None:
    epoch, again = (INDICES[name].epoch(3, 2) for _ in range(2))
    whole = epoch.rows(np.arange(epoch.length))
    for step in (0, 1, 17, epoch.length // 64 - 1):
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
    for name, index in INDICES.items():
        index.save(tmp_path / name)
        loaded = EpochIndex.load(tmp_path / name)
        assert isinstance(loaded.rows, np.memmap)
        assert (loaded.law, loaded.threshold, loaded.rounding) == (index.law, index.threshold, index.rounding)
        positions = np.arange(3000)
        assert loaded.epoch(1, 1).rows(positions).tolist() == index.epoch(1, 1).rows(positions).tolist()


def test_weights_by_the_thousand_share_levels_and_keep_the_length() -> None:
    """100,000 weights over e^-16 to e^16: no more than 65,536 groups, each within 0.07 % of its members."""
    weights = np.exp(np.random.default_rng(0).uniform(-16, 16, 100_000))
    levels_of = drawing(*golden_arrays("A"), "cap", 2.0)
    levels = levels_of.levels(weights)
    assert levels_of.level_count <= 65_536
    for level in np.unique(levels)[::997]:
        together = weights[levels == level]
        assert together.max() / together.min() < 1.0007
    order = np.argsort(weights)
    assert (np.diff(levels[order]) >= 0).all()
    assert INDICES["raked"].expected_length == pytest.approx(36_000, abs=0.01)


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


class _SortedRows:
    """Rows stored in the order of the index: they need no list of their own."""

    dtype = np.dtype(np.int64)

    def __getitem__(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return places


def test_w11_any_position_of_an_epoch_of_1e9_rows_needs_next_to_no_memory() -> None:
    """17,000 labels; a repeat factor of 1 to 5."""
    sizes = np.full(17_000, 10**9 // 17_000)
    rows: Any = _SortedRows()
    index = EpochIndex(
        law="sqrt",
        threshold=1.0,
        rounding="systematic",
        rows=rows,
        group_starts=np.concatenate([[0], np.cumsum(sizes)]),
        group_factors=(np.linspace(1, 5, 17_000) * 2**FRACTION_BITS).astype(np.int64),
    )
    tracemalloc.start()
    try:
        epoch = index.epoch(0, 7)
        drawn = epoch.rows(np.arange(epoch.length - 4096, epoch.length))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 2**20
    assert epoch.length == pytest.approx(3 * sizes.sum(), rel=1e-6)
    assert len(np.unique(drawn)) > 4090, "of a billion rows hardly one comes twice in 4,096 draws"
    assert drawn.max() < sizes.sum()


@pytest.mark.parametrize(("law", "asked"), [("sqrt", None), ("cap", 90), ("raked", None)])
def test_w11_index_needs_little_memory_beyond_the_rows(law: str, asked: int | None) -> None:
    """Virtual pictures; four times as many need no more, so that the bound holds for any number."""
    few, many = (_beyond_the_rows(pictures, law, asked) for pictures in (2**19, 2**21))
    assert few < 64 * 2**20
    assert many - few < 2**19, "a third of a byte a picture"


def _beyond_the_rows(pictures: int, law: str, asked: int | None) -> int:
    """Bytes at the peak, from the law to the first pictures of an epoch."""
    labels = 17_000
    ids: Any = _VirtualIds(labels)
    offsets: Any = _VirtualOffsets(pictures)
    counts = np.zeros(labels, np.int64)
    for first in range(0, pictures, 2**18):
        counts += np.bincount(ids[slice(first, min(first + 2**18, pictures))], minlength=labels)
    tracemalloc.start()
    try:
        threshold = choose_threshold(ids, offsets, counts, law, asked)
        index = EpochIndex.build(ids, offsets, counts, law, threshold)
        index.epoch(0, 0).rows(np.arange(4096))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert asked is not None or index.epoch(0, 0).length == pytest.approx(1.5 * pictures, abs=1)
    return peak - index.rows.nbytes
