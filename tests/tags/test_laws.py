"""The laws equal the goldens and the formulas written as loops."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused, UsageError
from tagwise.tags import laws
from tagwise.tags.drawing import drawing
from tagwise.tags.law_report import LawStatistics, SampledLaws, law_statistics, report_laws, sampled_laws
from tagwise.tags.laws import LAW_FORMS, Law, label_factors, labelled_pictures, parse_law, rarest_counts, rarest_labels
from tests.references import sampling as reference
from tests.references.sampling import draws_of, golden_arrays, golden_corpus, goldens, scheme, zipf_corpus

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
    report = sampled_laws(ids, offsets, counts, law, threshold)
    draws = draws_of(report.drawn, ids, offsets)

    def listed(field: str) -> Any:
        return pytest.approx([golden[field][label] for label in corpus["labels"]], **EXACT)

    assert label_factors(counts, law, threshold).tolist() == listed("r_label")
    assert draws.tolist() == pytest.approx(golden["r_image"], **EXACT)
    assert report.epoch_length == pytest.approx(golden["expected_epoch_length"], **EXACT)
    expected = report.occurrence * (draws * np.diff(offsets)).sum()
    assert expected.tolist() == listed("expected_occurrences")
    assert report.occurrence.tolist() == listed("occurrence_law")
    assert report.mass.tolist() == listed("target_mass_law")
    assert report.intended.tolist() == listed("intended_law")
    assert report.occurrence_statistics.total_variation == pytest.approx(golden["tv_occurrence_vs_intended"], **EXACT)
    assert_statistics(report.occurrence_statistics, golden["stats_occurrence"])
    assert_statistics(report.mass_statistics, golden["stats_target_mass"])


@pytest.mark.parametrize("letter", "ABC")
def test_w5_head_cap_goldens(letter: str) -> None:
    corpus, (ids, offsets, counts) = golden_corpus(letter), golden_arrays(letter)
    for golden in corpus["head_cap"]:
        report = sampled_laws(ids, offsets, counts, "cap", golden["t"])

        def listed(field: str, golden: Any = golden) -> Any:
            return pytest.approx([golden[field][label] for label in corpus["labels"]], **EXACT)

        assert label_factors(counts, "cap", golden["t"]).tolist() == listed("label_probability")
        assert draws_of(report.drawn, ids, offsets).tolist() == pytest.approx(golden["image_keep_probability"], **EXACT)
        assert report.epoch_length == pytest.approx(golden["expected_kept"], **EXACT)
        assert report.occurrence.tolist() == listed("occurrence_law")
        assert report.mass.tolist() == listed("target_mass_law")


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


@pytest.mark.parametrize(("law", "threshold"), [("natural", None), ("sqrt", 100.0), ("cap", 50.0), ("raked", 3e4)])
def test_half_of_the_epoch_is_in_the_pictures_drawn_most(law: str, threshold: float | None) -> None:
    ids, offsets, counts = zipf_corpus()
    report = sampled_laws(ids, offsets, counts, law, threshold)
    sums = np.cumsum(np.sort(draws_of(report.drawn, ids, offsets))[::-1])
    half = int(np.searchsorted(sums, sums[-1] / 2)) + 1
    assert report.half_epoch_pictures == pytest.approx(half, abs=0 if law in ("natural", "sqrt") else 0.001 * half + 1)


def test_natural_law_has_no_threshold() -> None:
    with pytest.raises(UsageError, match="no threshold"):
        label_factors(np.array([4, 2]), "natural", 3)


@pytest.mark.parametrize("threshold", [None, 0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("law", ["sqrt", "power:0.3", "cap", "raked"])
def test_other_laws_need_a_threshold(law: str, threshold: float | None) -> None:
    with pytest.raises(UsageError, match=f"law {law} needs"):
        drawing(*golden_arrays("A"), law, threshold)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sqr", "nearest is sqrt"),
        ("rake", "nearest are raked"),
        ("power", "nearest is power:0.3"),
        ("raked:square", "nearest are raked:"),
        ("uniform:0.5", "nearest are"),
        ("natural:", "nearest is natural"),
        ("zebra", "there are natural, sqrt, uniform, cap, raked"),
        ("", "there are natural"),
        ("power:1.5", "at most 1: power:0.3"),
        ("raked:0", "above 0"),
        ("power:nan", "above 0"),
    ],
)
def test_what_is_no_law_is_told_the_nearest_that_is_one(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_law(text)


def test_each_form_of_a_law_is_read() -> None:
    read = {text: parse_law(text) for text in LAW_FORMS}
    assert read["sqrt"] == parse_law("power:0.5")
    assert read["uniform"] == parse_law("power:1")
    assert read["raked"] == parse_law("raked:sqrt") == parse_law("raked:0.5")
    assert read["raked:uniform"] == parse_law("raked:1.0")
    assert read["power:0.3"] == Law(scheme="power", exponent=0.3)


@pytest.mark.parametrize(("law", "threshold"), [("natural", None), ("sqrt", 3.0), ("cap", 3.0), ("raked", 3.0)])
def test_corpus_without_labels_is_refused(law: str, threshold: float | None) -> None:
    with pytest.raises(DataRefused, match="has a label"):
        report_laws(np.empty(0, np.int32), np.zeros(3, np.int64), np.zeros(4, np.int64), law, threshold)


labelled = st.lists(st.lists(st.integers(0, 5), max_size=4, unique=True), min_size=1, max_size=25).filter(any)
exponents = st.floats(0.01, 1).map(lambda exponent: f"power:{exponent}")
repeating = st.tuples(st.sampled_from(["sqrt", "uniform"]) | exponents, st.floats(0.5, 40))


@given(labelled, st.just(("natural", None)) | repeating)
def test_laws_equal_their_loops(pictures: list[list[int]], chosen: tuple[Any, float | None]) -> None:
    ids, offsets = reference.flat(pictures)
    counts = reference.counts(pictures, 6)
    law, threshold = chosen
    factors = [reference.label_factor(count, law, threshold) for count in counts]
    weights = [reference.image_factor(picture, factors) for picture in pictures]
    report = sampled_laws(ids, offsets, np.array(counts), law, threshold)
    assert label_factors(np.array(counts), law, threshold).tolist() == pytest.approx(factors)
    assert draws_of(report.drawn, ids, offsets).tolist() == pytest.approx(weights)
    assert report.occurrence.tolist() == pytest.approx(reference.occurrence_law(pictures, weights, 6))
    assert report.mass.tolist() == pytest.approx(
        reference.mass_law([picture for picture in pictures if picture], [w for w in weights if w], 6)
    )
    assert report.epoch_length == pytest.approx(sum(weights))
    assert report.occurrence_statistics.effective_labels == pytest.approx(
        reference.effective_labels(report.occurrence.tolist())
    )
    assert law_statistics(report.mass, report.mass).total_variation == 0


@given(labelled, st.sampled_from(["sqrt", "uniform"]) | exponents, st.floats(0.5, 40), st.floats(1, 3))
def test_repeat_factors_are_at_least_1_and_grow_with_the_threshold(
    pictures: list[list[int]], law: str, threshold: float, times: float
) -> None:
    ids, offsets = reference.flat(pictures)
    counts = np.array(reference.counts(pictures, 6))
    less, more = (draws_of(drawing(ids, offsets, counts, law, t), ids, offsets) for t in (threshold, threshold * times))
    held = np.diff(offsets) > 0
    assert (less[held] >= 1).all()
    assert not less[~held].any()
    assert (more >= less).all()


@given(labelled, st.floats(0.01, 40), st.floats(1, 3))
def test_a_cap_keeps_with_a_probability_that_grows_with_its_threshold(
    pictures: list[list[int]], threshold: float, times: float
) -> None:
    ids, offsets = reference.flat(pictures)
    counts = reference.counts(pictures, 6)
    less, more = (
        draws_of(drawing(ids, offsets, np.array(counts), "cap", t), ids, offsets)
        for t in (threshold, threshold * times)
    )
    assert less.tolist() == pytest.approx([reference.keep_probability(p, counts, threshold) for p in pictures])
    assert ((less >= 0) & (less <= more + 1e-12) & (more <= 1)).all()
    assert ((less > 0) == (np.diff(offsets) > 0)).all()


@given(labelled, st.just(("natural", None)) | repeating | st.tuples(st.just("cap"), st.floats(0.5, 40)))
def test_shares_sum_to_1_whatever_the_law(pictures: list[list[int]], chosen: tuple[str, float | None]) -> None:
    ids, offsets = reference.flat(pictures)
    report = sampled_laws(ids, offsets, np.array(reference.counts(pictures, 6)), *chosen)
    for law in (report.intended, report.occurrence, report.mass):
        assert law.sum() == pytest.approx(1)
        assert (law >= 0).all()
    assert 0 < report.effective_sample_size <= report.pictures * (1 + 1e-12)
    assert 1 <= report.half_epoch_pictures <= (report.pictures + 1) // 2


@given(labelled)
def test_rarest_label_has_the_smallest_count(pictures: list[list[int]]) -> None:
    ids, offsets = reference.flat(pictures)
    counts = np.array(reference.counts(pictures, 6))
    (block,) = rarest_labels(ids, offsets, counts)
    assert block[0] == 0
    for picture, rarest in zip(pictures, block[1].tolist(), strict=True):
        assert (rarest == -1) if not picture else counts[rarest] == min(counts[label] for label in picture)


@given(labelled, st.integers(1, 7), st.sampled_from([("sqrt", 7.0), ("cap", 2.0), ("raked", 40.0)]))
def test_blocks_do_not_show(pictures: list[list[int]], size: int, chosen: tuple[str, float]) -> None:
    ids, offsets = reference.flat(pictures)
    counts = np.array(reference.counts(pictures, 6))
    whole = sampled_laws(ids, offsets, counts, *chosen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laws, "BLOCK_PICTURES", size)
        blocks: SampledLaws = sampled_laws(ids, offsets, counts, *chosen)
        assert rarest_counts(ids, offsets, counts).sum() == whole.pictures
    assert blocks.epoch_length == pytest.approx(whole.epoch_length)
    assert blocks.half_epoch_pictures == whole.half_epoch_pictures
    assert blocks.mass.tolist() == pytest.approx(whole.mass.tolist(), abs=1e-12)
    assert blocks.occurrence.tolist() == pytest.approx(whole.occurrence.tolist(), abs=1e-12)


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
    assert report.natural.half_epoch_pictures == 5
    assert report.chosen.half_epoch_pictures == 3, "10 draws of {p, z}, 5 of each {p, y}"


def test_labelled_pictures_of_a_memory_map_are_counted_in_blocks(tmp_path: Path) -> None:
    offsets = np.arange(2_000_001)
    offsets[1_000_000:] -= 1  # one picture without labels
    np.save(tmp_path / "offsets.npy", offsets)
    tracemalloc.start()
    found = labelled_pictures(np.load(tmp_path / "offsets.npy", mmap_mode="r"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == 1_999_999
    assert peak < 2 * 2**20
