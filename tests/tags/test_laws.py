"""The laws equal the goldens and the formulas written as loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused, UsageError
from tagwise.tags import laws
from tagwise.tags.law_report import LawStatistics, SampledLaws, law_statistics, report_laws, sampled_laws
from tagwise.tags.laws import (
    image_factors,
    label_factors,
    mass_law,
    occurrence_law,
    rarest_counts,
    rarest_labels,
    threshold_for_length,
)
from tests.references import sampling as reference
from tests.references.sampling import golden_arrays, golden_corpus, goldens, scheme, zipf_corpus

CASES = [(letter, name) for letter in "ABC" for name in golden_corpus(letter)["schemes"]]
EXACT: dict[str, Any] = {"rel": 1e-9, "abs": 1e-12}


def assert_statistics(found: LawStatistics, golden: dict[str, float]) -> None:
    assert found.effective_labels == pytest.approx(golden["effective_labels"], **EXACT)
    assert np.log(found.effective_labels) == pytest.approx(golden["entropy_nats"], **EXACT)
    assert found.rank_slope == pytest.approx(golden["rank_slope"], rel=1e-9, abs=1e-9)
    assert found.head_fraction == pytest.approx(golden["head_share_top1pct"], **EXACT)
    assert found.largest_fraction == pytest.approx(golden["largest_share"], **EXACT)


@pytest.mark.parametrize(("letter", "name"), CASES)
def test_w5_goldens(letter: str, name: str) -> None:
    corpus, (ids, offsets, counts) = golden_corpus(letter), golden_arrays(letter)
    golden, (law, threshold) = corpus["schemes"][name], scheme(name)
    factors = label_factors(counts, law, threshold)
    weights = image_factors(ids, offsets, factors)
    report = sampled_laws(ids, offsets, counts, law, threshold)

    def listed(field: str) -> Any:
        return pytest.approx([golden[field][label] for label in corpus["labels"]], **EXACT)

    assert factors.tolist() == listed("r_label")
    assert weights.tolist() == pytest.approx(golden["r_image"], **EXACT)
    assert report.epoch_length == pytest.approx(golden["expected_epoch_length"], **EXACT)
    expected = report.occurrence * (weights * np.diff(offsets)).sum()
    assert expected.tolist() == listed("expected_occurrences")
    assert report.occurrence.tolist() == listed("occurrence_law")
    assert report.mass.tolist() == listed("target_mass_law")
    assert report.intended.tolist() == listed("intended_law")
    assert report.occurrence_statistics.total_variation == pytest.approx(golden["tv_occurrence_vs_intended"], **EXACT)
    assert_statistics(report.occurrence_statistics, golden["stats_occurrence"])
    assert_statistics(report.mass_statistics, golden["stats_target_mass"])


def test_w6_zipf_corpus_passes_its_checks() -> None:
    golden = goldens()["zipf"][0]
    ids, offsets, counts = zipf_corpus()
    checks = golden["checks"]
    first = [ids[offsets[row] : offsets[row + 1]].tolist() for row in range(8)]
    assert first == golden["first_images"]
    assert len(ids) == checks["total_tags"]
    held = np.bincount(np.diff(offsets), minlength=4)
    assert {str(k): int(held[k]) for k in (1, 2, 3)} == checks["images_with_k"]
    assert np.count_nonzero(counts) == checks["labels_seen"]
    assert np.count_nonzero(counts == 1) == checks["singletons"]
    assert counts.max() == checks["max_frequency"]
    assert {label: int(counts[int(label)]) for label in checks["frequency_of_label"]} == checks["frequency_of_label"]


@pytest.mark.parametrize("name", goldens()["zipf"][0]["schemes"])
def test_w6_zipf_schemes(name: str) -> None:
    golden, (law, threshold) = goldens()["zipf"][0]["schemes"][name], scheme(name)
    report = sampled_laws(*zipf_corpus(), law, threshold)
    assert report.epoch_length == pytest.approx(golden["expected_epoch_length"], **EXACT)
    assert report.largest_factor == pytest.approx(golden["max_r_image"], **EXACT)
    assert report.occurrence[:5].tolist() == pytest.approx(golden["occurrence_law_first5"], **EXACT)
    assert report.occurrence_statistics.total_variation == pytest.approx(golden["tv_occurrence_vs_intended"], **EXACT)
    assert_statistics(report.occurrence_statistics, golden["stats_occurrence"])
    assert_statistics(report.mass_statistics, golden["stats_target_mass"])
    assert_statistics(report.intended_statistics, golden["stats_intended"])


def test_effective_sample_size_of_the_zipf_corpus() -> None:
    """The fact sheet: 0.589 N for sqrt at the largest count."""
    report = sampled_laws(*zipf_corpus(), "sqrt", 4193)
    assert report.effective_sample_size / report.pictures == pytest.approx(0.589, abs=5e-4)


@pytest.mark.parametrize("letter", "ABC")
def test_w7_thresholds_for_lengths(letter: str) -> None:
    ids, offsets, counts = golden_arrays(letter)
    rarest = rarest_counts(ids, offsets, counts)
    for golden in golden_corpus(letter)["t_for_epoch_length"]:
        found = threshold_for_length(counts, rarest, golden["mode"], golden["epoch_length"])
        assert found == pytest.approx(golden["t"], rel=1e-9)
        if golden["epoch_length"] == 1.5 * len(golden_corpus(letter)["images"]):
            assert threshold_for_length(counts, rarest, golden["mode"]) == found, "1.5 N is the default"


@pytest.mark.parametrize("length", [0.0, 9.999, float("nan"), float("inf")])
def test_w7_lengths_that_leave_pictures_out_are_refused(length: float) -> None:
    ids, offsets, counts = golden_arrays("B")
    with pytest.raises(UsageError, match="10 labelled pictures"):
        threshold_for_length(counts, rarest_counts(ids, offsets, counts), "sqrt", length)


def test_natural_law_has_no_threshold() -> None:
    ids, offsets, counts = golden_arrays("B")
    with pytest.raises(UsageError, match="natural"):
        threshold_for_length(counts, rarest_counts(ids, offsets, counts), "natural", 15)
    with pytest.raises(UsageError, match="no threshold"):
        label_factors(counts, "natural", 3)


@pytest.mark.parametrize("threshold", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_other_laws_need_a_threshold(threshold: float | None) -> None:
    with pytest.raises(UsageError, match="above 0"):
        label_factors(np.array([1, 2]), "sqrt", threshold)


def test_unknown_law_is_told_its_neighbour() -> None:
    with pytest.raises(UsageError, match="nearest is sqrt"):
        label_factors(np.array([1]), "sqr", 3)  # type: ignore[arg-type]


def test_corpus_without_labels_is_refused() -> None:
    with pytest.raises(DataRefused, match="None of 2 pictures"):
        report_laws(np.empty(0, np.int32), np.zeros(3, np.int64), np.zeros(4, np.int64), "natural")


labelled = st.lists(st.lists(st.integers(0, 5), max_size=4, unique=True), min_size=1, max_size=25).filter(any)
repeating = st.tuples(st.sampled_from(["sqrt", "uniform"]), st.floats(0.5, 40))


@given(labelled, st.just(("natural", None)) | repeating)
def test_laws_equal_their_loops(pictures: list[list[int]], chosen: tuple[Any, float | None]) -> None:
    ids, offsets = reference.flat(pictures)
    counts = reference.counts(pictures, 6)
    law, threshold = chosen
    factors = [reference.label_factor(count, law, threshold) for count in counts]
    weights = [reference.image_factor(picture, factors) for picture in pictures]
    assert label_factors(np.array(counts), law, threshold).tolist() == pytest.approx(factors)
    found = image_factors(ids, offsets, np.array(factors))
    assert found.tolist() == weights
    occurrence = occurrence_law(ids, offsets, found, 6)
    assert occurrence.tolist() == pytest.approx(reference.occurrence_law(pictures, weights, 6))
    assert mass_law(ids, offsets, found, 6).tolist() == pytest.approx(
        reference.mass_law([picture for picture in pictures if picture], [w for w in weights if w], 6)
    )
    statistics = law_statistics(occurrence, occurrence)
    assert statistics.effective_labels == pytest.approx(reference.effective_labels(occurrence.tolist()))
    assert statistics.total_variation == 0


@given(labelled, st.sampled_from(["sqrt", "uniform"]), st.floats(1, 20))
def test_solved_threshold_is_the_one_that_bisection_finds(pictures: list[list[int]], law: Any, times: float) -> None:
    ids, offsets = reference.flat(pictures)
    counts = np.array(reference.counts(pictures, 6))
    drawn = [picture for picture in pictures if picture]
    threshold = threshold_for_length(counts, rarest_counts(ids, offsets, counts), law, times * len(drawn))
    length = image_factors(ids, offsets, label_factors(counts, law, threshold)).sum()
    assert length == pytest.approx(times * len(drawn))
    if times > 1.001:
        assert threshold == pytest.approx(reference.threshold_by_bisection(drawn, 6, law, times * len(drawn)), rel=1e-6)


@given(labelled)
def test_rarest_label_has_the_smallest_count(pictures: list[list[int]]) -> None:
    ids, offsets = reference.flat(pictures)
    counts = np.array(reference.counts(pictures, 6))
    (block,) = rarest_labels(ids, offsets, counts)
    assert block[0] == 0
    for picture, rarest in zip(pictures, block[1].tolist(), strict=True):
        assert (rarest == -1) if not picture else counts[rarest] == min(counts[label] for label in picture)


@given(labelled, st.integers(1, 7))
def test_blocks_do_not_show(pictures: list[list[int]], size: int) -> None:
    ids, offsets = reference.flat(pictures)
    counts = np.array(reference.counts(pictures, 6))
    whole = sampled_laws(ids, offsets, counts, "sqrt", 7.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laws, "BLOCK_PICTURES", size)
        blocks: SampledLaws = sampled_laws(ids, offsets, counts, "sqrt", 7.0)
        assert rarest_counts(ids, offsets, counts).sum() == whole.pictures
    assert blocks.epoch_length == whole.epoch_length
    assert blocks.mass.tolist() == pytest.approx(whole.mass.tolist())
    assert blocks.occurrence.tolist() == pytest.approx(whole.occurrence.tolist())


def test_single_label_has_no_slope() -> None:
    assert law_statistics(np.array([1.0, 0.0]), np.array([1.0, 0.0])).rank_slope == 0


def test_head_is_the_hundredth_rounded_up() -> None:
    """0.01 * 700 is 7.000000000000001 in floats; the head of 700 labels is 7 of them."""
    assert law_statistics(np.full(700, 1 / 700), np.full(700, 1 / 700)).head_fraction == pytest.approx(0.01)
    assert law_statistics(np.full(701, 1 / 701), np.full(701, 1 / 701)).head_fraction == pytest.approx(8 / 701)


def test_report_holds_the_corpus_as_it_is_beside_the_corpus_as_drawn() -> None:
    report = report_laws(*golden_arrays("B"), "uniform", 10)
    assert report.natural.epoch_length == 10
    assert report.chosen.epoch_length == pytest.approx(34)
    assert report.natural.effective_sample_size == pytest.approx(10)
