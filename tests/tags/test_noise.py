"""Noise changes the share that was asked for, by the law that was asked for, and the same labels in any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused, TagwiseError, UsageError
from tagwise.tags import noise as module
from tagwise.tags.noise import (
    GROUPED,
    KINDS,
    Kind,
    Noise,
    Noised,
    drifted_law,
    marginal_variants,
    with_noise,
)
from tagwise.tags.substitutes import LabelGroups, Substitutes, label_groups
from tagwise.tags.table import text_numbers
from tests.references.sampling import flat, zipf_corpus

LABELS = 6
SYNSETS = [["a"], ["a", "b"], ["b", "c"], ["c"], [], ["d"]]
PARENTS = {"a": ["p"], "b": ["p", "q"], "d": ["q"]}
GROUPS = {"synonym": label_groups(SYNSETS), "confusable": label_groups(SYNSETS, PARENTS)}
NEIGHBOURS = {
    "synonym": [{1}, {0, 2}, {1, 3}, {2}, set(), set()],
    "confusable": [{1, 2}, {0, 2, 5}, {0, 1, 5}, set(), set(), {1, 2}],
}

labelled = st.lists(st.lists(st.integers(0, LABELS - 1), max_size=4, unique=True).map(sorted), min_size=1, max_size=25)
kinds = st.sampled_from(KINDS)
shares = st.floats(0.05, 0.95)


def noised(pictures: list[list[int]], kind: Kind, fraction: float, names: list[int] | None = None) -> Noised | None:
    """None where all labels were dropped."""
    ids, offsets = flat(pictures)
    records = text_numbers([f"picture {name}" for name in names or range(len(pictures))])
    try:
        return with_noise(ids, offsets, records, Noise(kind, fraction), labels=LABELS, seed=3, groups=GROUPS.get(kind))
    except DataRefused:
        assert kind == "dropped"
        return None


def listed(found: Noised) -> list[list[int]]:
    """The labels of each picture."""
    return [part.tolist() for part in np.split(found.assignment.ids, found.assignment.offsets[1:-1])]


@given(labelled.filter(any), kinds, shares, st.randoms(use_true_random=False))
def test_w14_order_of_pictures_and_blocks_do_not_show(
    pictures: list[list[int]], kind: Kind, fraction: float, random: Any
) -> None:
    whole = noised(pictures, kind, fraction)
    order = list(range(len(pictures)))
    random.shuffle(order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_PICTURES", random.randint(1, 7))
        shuffled = noised([pictures[row] for row in order], kind, fraction, names=order)
    if whole is None or shuffled is None:
        assert whole is shuffled is None
        return
    assert listed(shuffled) == [listed(whole)[row] for row in order]
    assert (shuffled.changed, shuffled.unchangeable, shuffled.emptied) == (
        whole.changed,
        whole.unchangeable,
        whole.emptied,
    )
    assert shuffled.law_after.tolist() == whole.law_after.tolist()


@given(labelled.filter(any), kinds, shares)
def test_w14_pictures_keep_as_many_distinct_labels_in_order(
    pictures: list[list[int]], kind: Kind, fraction: float
) -> None:
    found = noised(pictures, kind, fraction)
    if found is None:
        return
    for before, after in zip(pictures, listed(found), strict=True):
        assert after == sorted(set(after))
        assert set(after) <= set(before) if kind == "dropped" else len(after) == len(before)
    emptied = sum(bool(before) and not after for before, after in zip(pictures, listed(found), strict=True))
    assert found.emptied == emptied
    assert found.changed == int(np.count_nonzero(found.became != flat(pictures)[0]))


@given(labelled.filter(any), kinds, shares, shares)
def test_w14_more_noise_changes_the_same_labels_in_the_same_way(
    pictures: list[list[int]], kind: Kind, one: float, other: float
) -> None:
    little, much = (noised(pictures, kind, fraction) for fraction in sorted((one, other)))
    if little is not None and much is not None:
        changed = little.became != flat(pictures)[0]
        assert little.became[changed].tolist() == much.became[changed].tolist()
        assert little.unchangeable <= much.unchangeable


@given(labelled.filter(any), kinds.filter(lambda kind: kind not in ("dropped", "marginal-with-self")))
def test_w14_a_label_stays_only_where_no_other_is_possible(pictures: list[list[int]], kind: Kind) -> None:
    """At the largest share below 1 the noise meets every label."""
    found = noised(pictures, kind, float(np.nextafter(1, 0)))
    assert found is not None
    ids, offsets = flat(pictures)
    held = set(ids.tolist())
    possible = {"marginal": [held] * LABELS, "uniform": [set(range(LABELS))] * LABELS} | NEIGHBOURS
    stayed = 0
    for row, before in enumerate(pictures):
        became = found.became[offsets[row] : offsets[row + 1]].tolist()
        for label, after in zip(before, became, strict=True):
            if after == label:
                stayed += 1
                assert possible[kind][label] <= {*before, *became}
            else:
                assert after in possible[kind][label] - set(before)
    assert (found.unchangeable, found.changed) == (stayed, len(ids) - stayed)


@given(labelled.filter(any), shares)
def test_w14_all_kinds_meet_the_same_labels(pictures: list[list[int]], fraction: float) -> None:
    dropped = noised(pictures, "dropped", fraction)
    if dropped is not None:
        for kind in KINDS:
            found = noised(pictures, kind, fraction)
            assert found is not None
            changed = found.became != flat(pictures)[0]
            assert (dropped.became[changed] == -1).all()
            if kind != "marginal-with-self":
                assert found.changed + found.unchangeable == dropped.changed


GOLDEN = np.array([0.5, 0.25, 0.125, 0.125])


def single_labels(pictures: int, seed: int = 1) -> tuple[NDArray[np.int32], NDArray[np.int64], Any]:
    """One label each, by the law of the fact sheet."""
    ids = np.repeat(np.arange(4, dtype=np.int32), (GOLDEN * pictures).astype(int))
    return ids, np.arange(pictures + 1), np.random.default_rng(seed).integers(0, 2**63, pictures).astype(np.uint64)


@pytest.mark.parametrize("kind", ["marginal", "marginal-with-self"])
def test_w14_the_law_drifts_by_the_formula_or_stays(kind: Kind) -> None:
    """The fact sheet's law at p = 0.5: what becomes of every label, within four standard errors."""
    ids, offsets, records = single_labels(160_000)
    found = with_noise(ids, offsets, records, Noise(kind, 0.5), labels=4, seed=9)
    others = np.tile(GOLDEN, (4, 1)) * (1 - np.eye(4) * (kind == "marginal"))
    moves = 0.5 * np.eye(4) + 0.5 * others / others.sum(1, keepdims=True)
    counts = np.bincount(ids * 4 + found.became, minlength=16).reshape(4, 4)
    expected = 160_000 * GOLDEN[:, None] * moves
    spread = np.sqrt(expected * (1 - moves))
    assert (np.abs(counts - expected) <= 4 * spread).all()
    law = drifted_law(GOLDEN, 0.5) if kind == "marginal" else GOLDEN
    assert (np.abs(found.law_after - law) <= 4 * np.sqrt((spread**2).sum(0)) / 160_000).all()
    share, drift = marginal_variants(GOLDEN, 0.5)[kind]
    assert abs(found.changed_fraction - share) <= 4 * np.sqrt(share * (1 - share) / 160_000)
    assert found.total_variation == pytest.approx(drift, abs=0.005)
    assert found.law_before.tolist() == GOLDEN.tolist()


def test_w14_drift_of_the_fact_sheet() -> None:
    assert drifted_law(GOLDEN, 0.5) == pytest.approx([0.40476, 0.28571, 0.15476, 0.15476], abs=5e-6)
    assert marginal_variants(GOLDEN, 0.5)["marginal-with-self"] == (0.328125, 0)
    assert marginal_variants(GOLDEN, 0.5)["marginal"] == pytest.approx((0.5, 0.5 - 0.40476), abs=5e-6)
    assert drifted_law(np.array([1.0, 0.0]), 0.5).tolist() == [1, 0], "a single label stays"


@pytest.mark.parametrize("kind", ["marginal", "uniform", "dropped"])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_w14_share_changed_is_the_share_asked_for(kind: Kind, fraction: float) -> None:
    """On the Zipf corpus, whose pictures have up to three labels."""
    ids, offsets, _ = zipf_corpus()
    records = text_numbers([str(row) for row in range(len(offsets) - 1)])
    found = with_noise(ids, offsets, records, Noise(kind, fraction), labels=1000, seed=4)
    assert abs(found.changed_fraction - fraction) <= 4 * np.sqrt(fraction * (1 - fraction) / len(ids))
    assert found.unchangeable == 0
    assert (found.emptied > 0) == (kind == "dropped")


def test_another_seed_or_record_is_other_noise() -> None:
    ids, offsets, records = single_labels(800)
    runs = [(records, 1), (records, 2), (records + np.uint64(1), 1)]
    first, *others = (
        with_noise(ids, offsets, keys, Noise("uniform", 0.5), labels=4, seed=seed).became != ids for keys, seed in runs
    )
    for other in others:
        assert 0.4 < (first == other).mean() < 0.6


def test_labels_without_pictures_are_drawn_by_uniform_noise_alone() -> None:
    ids, offsets, records = single_labels(800)
    for kind, labels in (("uniform", {0, 1, 2, 3, 4, 5}), ("marginal", {0, 1, 2, 3})):
        found = with_noise(ids, offsets, records, Noise(kind, 0.9), labels=6, seed=1)  # type: ignore[arg-type]
        assert set(found.assignment.ids.tolist()) == labels


groups = st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=4, unique_by=lambda pair: pair[0]))
draws = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2**64 - 1), st.sets(st.integers(0, 4))), max_size=6)


@given(groups, draws)
def test_draws_equal_those_from_slots_laid_out(
    weighted: list[list[tuple[int, int]]], draws: list[tuple[int, int, set[int]]]
) -> None:
    """Each member of each of a label's groups, as often as it weighs; those taken are struck out."""
    weighted = [sorted(group) for group in weighted]
    members = np.array([member for group in weighted for member, _ in group], np.int32)
    weights = np.array([weight for group in weighted for _, weight in group], np.int64)
    starts = np.cumsum([0, *map(len, weighted)])
    substitutes = Substitutes(LabelGroups(members=members, starts=starts), weights, labels=5)
    which = [number for number, (_, _, taken) in enumerate(draws) for _ in taken]
    drawn = substitutes.draw(
        np.array([label for label, _, _ in draws], np.int32),
        np.array([word for _, word, _ in draws], np.uint64),
        np.array(which, np.intp),
        np.array([label for _, _, taken in draws for label in taken], np.int32),
    )
    for (label, word, taken), found in zip(draws, drawn.tolist(), strict=True):
        own = [group for group in weighted if label in [member for member, _ in group]]
        slots = [member for group in own for member, weight in group for _ in range(weight) if member not in taken]
        assert found == (slots[word % len(slots)] if slots else -1)


def test_groups_are_synsets_or_the_children_of_one_parent() -> None:
    for kind, neighbours in NEIGHBOURS.items():
        members = [
            set(GROUPS[kind].members[start:stop].tolist())
            for start, stop in zip(GROUPS[kind].starts[:-1], GROUPS[kind].starts[1:], strict=True)
        ]
        for label, near in enumerate(neighbours):
            assert set().union(*(group for group in members if label in group)) - {label} == near


@pytest.mark.parametrize("kind", GROUPED)
def test_a_space_without_synsets_has_no_neighbours(kind: Kind) -> None:
    with pytest.raises(DataRefused, match="tagwise labels --lexicon"):
        label_groups([[], []], {} if kind == "confusable" else None)


@pytest.mark.parametrize(
    ("text", "kind", "fraction"),
    [("marginal:0.25", "marginal", 0.25), (" marginal-with-self : .5", "marginal-with-self", 0.5)],
)
def test_noise_is_read_as_it_is_written(text: str, kind: Kind, fraction: float) -> None:
    assert Noise.parse(text) == Noise(kind, fraction) == Noise.parse(str(Noise(kind, fraction)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("marginl:0.1", "There is no noise 'marginl'; the nearest .* marginal"),
        ("0.25", "There is no noise '0.25'; there are marginal, "),
        *[(f"uniform:{p}", "above 0 and below 1; write for instance uniform:0.25") for p in ("nan", 0, 1, -0.1, "x")],
        ("uniform", "above 0 and below 1"),
    ],
)
def test_noise_that_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Noise.parse(text)


def test_noise_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(TagwiseError, match="leaves none of 1 labels"):
        with_noise(
            np.zeros(1, np.int32),
            np.array([0, 1]),
            text_numbers(["a"]),
            Noise("dropped", 0.999999),
            labels=1,
            seed=0,
        )
