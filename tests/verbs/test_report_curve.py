"""Comparisons with different numbers of labels become one curve, and it says no more than the seeds do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tagwise
from tagwise.transfer.records import Protocol
from tagwise.verbs.label_curve import curve_findings, curve_table, curves_of, verdict
from tagwise.verbs.label_trials import Trial, chosen, reached, trials_of
from tests.verbs.comparisons import write

HOSTILE = "\"'><script>alert(1)</script>"


def trial(model: str, accuracy: float, *, labelled: int = 5, seed: int = 0, place: int = 1, **more: Any) -> Trial:
    interval = (accuracy, accuracy - 1, accuracy + 1)
    gain = None if model == "scratch" else (accuracy - 50, accuracy - 51, accuracy - 49)
    protocol: Protocol = "train"
    facts: dict[str, Any] = {
        "protocol": protocol,
        "accuracy": interval,
        "class_mean": accuracy,
        "gain": gain,
        "hold_out": 0.5,
    }
    return Trial(labelled=labelled, seed=seed, place=place, model=model, **(facts | more))


def lines(trials: list[Trial]) -> list[str]:
    return list(dict.fromkeys(point.line for point in reached(trials)))


def test_several_seeds_are_a_mean_between_standard_deviations_and_one_seed_is_its_test_interval() -> None:
    values = [60.0, 63.0, 69.0]
    several = reached([trial(f"tags{seed}", value, seed=seed) for seed, value in enumerate(values)])[0].accuracy
    assert several.mean == pytest.approx(np.mean(values))
    assert (several.low, several.high) == pytest.approx((np.mean(values) - np.std(values, ddof=1), 68.5825757))
    assert several.told() == "64.0 ± 4.6"
    one = reached([trial("tags0", 60.0)])[0].accuracy
    assert (one.mean, one.low, one.high, one.told()) == (60.0, 59.0, 61.0, "60.0 (59.0 to 61.0)")


def test_models_numbered_by_seed_are_one_start() -> None:
    assert lines([trial(f"tags{seed}", 60, seed=seed) for seed in range(3)]) == ["tags by fine-tuning"]
    assert lines([trial(f"runs-{seed}", 60, seed=seed) for seed in range(3)]) == ["runs by fine-tuning"]
    assert lines([trial("tags0", 60, labelled=count) for count in (5, 10)]) == ["tags0 by fine-tuning"]


def test_models_that_one_seed_met_are_different_starts_however_they_are_called() -> None:
    both = [trial("resnet18", 60), trial("resnet34", 70)]
    assert lines(both) == ["resnet18 by fine-tuning", "resnet34 by fine-tuning"]
    assert lines([trial("resnet18", 60), trial("resnet34", 70, labelled=10)]) == lines(both)


def test_starts_that_would_share_a_name_keep_theirs() -> None:
    twice = [trial(f"x{'-' * place}{seed}", 60, seed=seed, place=place) for place in (1, 2) for seed in (0, 1)]
    assert lines(twice) == [f"{name} by fine-tuning" for name in ("x-0", "x-1", "x--0", "x--1")]
    assert lines([trial(str(seed), 60, seed=seed) for seed in (0, 1)]) == ["0 by fine-tuning", "1 by fine-tuning"]


def test_numbers_that_are_not_the_seeds_belong_to_the_names() -> None:
    nets = [trial(f"resnet{layers}", 60, seed=seed) for seed, layers in enumerate((18, 50))]
    assert lines(nets) == ["resnet18 by fine-tuning", "resnet50 by fine-tuning"]
    assert lines([trial(f"tags1{seed}", 60, seed=seed) for seed in (0, 1)]) == [
        f"tags1{seed} by fine-tuning" for seed in (0, 1)
    ]


def test_no_number_of_seeds_outweighs_the_chance_of_the_test_pictures() -> None:
    """Ten seeds that agree on two points, each within -4 to 8 on these test pictures, show nothing."""
    agreed = [trial(f"tags{seed}", 52, seed=seed, gain=(2 + seed / 100, -4.0, 8.0)) for seed in range(10)]
    assert "tags made no clear difference with 5" in verdict(agreed)
    clear = [trial(f"tags{seed}", 62, seed=seed, gain=(12 + seed / 100, 6.0, 18.0)) for seed in range(10)]
    assert "tags paid with 5" in verdict(clear)


def test_of_two_seeds_nothing_is_told_however_well_they_agree() -> None:
    """Two equal gains of 20 points have no spread at all; a third seed makes them a finding."""
    two = [trial(f"tags{seed}", 70, seed=seed) for seed in range(2)]
    assert verdict(two).endswith("from scratch: tags has two seeds, too few to tell, with 5.")
    assert curve_table(reached(two)).rows[0][2:4] == ["+20.0 ± 0.0", "too few seeds"]
    assert verdict([*two, trial("tags2", 70, seed=2)]).endswith("from scratch: tags paid with 5.")


def test_a_verdict_on_one_seed_says_so() -> None:
    several = [trial(f"tags{seed}", 70, seed=seed) for seed in range(3)]
    alone = [trial("tags0", 70, labelled=10), trial("tags0", 70, labelled=20), trial("tags0", 50, labelled=50)]
    assert verdict([*several, *alone]).endswith(
        "tags paid with 5, paid, on one seed, with 10 and 20 and made no clear difference, on one seed, with 50."
    )


def test_the_table_has_the_interval_that_each_verdict_goes_by() -> None:
    """Who reads the signs of the ends, of what was chosen where the verdict names no protocol, has the verdict."""
    gains = {5: (8.0, 9.0, 10.0), 10: (-1.0, 2.0, 5.0), 20: (-9.0, -8.0, -7.0)}
    trials = [
        trial(f"tags{seed}", 50 + gain, labelled=labelled, seed=seed)
        for labelled, found in gains.items()
        for seed, gain in enumerate(found)
    ]
    table = curve_table(chosen(trials))
    assert verdict(trials).endswith("tags paid with 5, made no clear difference with 10 and cost with 20.")
    assert table.columns[2:4] == ("points over scratch", "95 % interval")
    assert {row[1] for row in table.rows} == {"tags, as chosen"}
    assert [row[2:4] for row in table.rows] == [
        ["+9.0 ± 1.0", "+6.3 to +11.7"],  # Student's 4.30 / sqrt(3) of 1.0 with the test's 1.0
        ["+2.0 ± 3.0", "-5.5 to +9.5"],
        ["-8.0 ± 1.0", "-10.7 to -5.3"],
    ]
    one = curve_table(reached([trial("tags0", 60), trial("scratch", 50, place=0)]))
    assert [row[2:4] for row in one.rows] == [[None, None], ["+10.0", "+9.0 to +11.0"]]


def test_a_repeated_seed_counts_once_and_scratch_comes_first() -> None:
    curve = reached([trial("tags", 60), trial("tags", 90), trial("scratch", 50, place=0)])
    assert [(point.line, point.accuracy.mean) for point in curve] == [
        ("from scratch", 50.0), ("tags by fine-tuning", 60.0),
    ]  # fmt: skip
    assert curve[0].gain is None


def test_the_verdict_says_paid_only_where_the_spread_is_clear_of_zero() -> None:
    gains = {5: (8.0, 9.0, 10.0), 10: (-1.0, 2.0, 5.0), 20: (-9.0, -8.0, -7.0)}
    trials = [
        trial(f"tags{seed}", 50 + gain, labelled=labelled, seed=seed, hold_out=None)
        for labelled, found in gains.items()
        for seed, gain in enumerate(found)
    ]
    assert verdict(trials) == (
        "Labelled pictures a class, against training from scratch: tags by fine-tuning paid with 5, "
        "made no clear difference with 10 and cost with 20."
    )
    assert verdict([trial("scratch", 50, place=0)]) == "Nothing stands beside training from scratch."


def test_the_verdict_is_of_the_protocol_that_each_seeds_hold_out_chose_whatever_the_test_says() -> None:
    """Seed 0 held 0.6 of fine-tuning, the others of the linear probe; the test liked what was not chosen better."""
    trials = [
        trial(f"tags{seed}", accuracy, seed=seed, protocol=protocol, hold_out=hold_out)
        for seed, protocol, accuracy, hold_out in (
            *((0, "linear", 90, 0.5), (0, "train", 60, 0.6)),
            *((1, "linear", 60.2, 0.6), (1, "train", 95, 0.5)),
            *((2, "linear", 60.1, 0.6), (2, "train", 95, 0.5)),
        )
    ]
    (point,) = chosen(trials)
    assert point.line == "tags"
    assert point.accuracy.mean == pytest.approx(60.1)
    assert verdict(trials).endswith("from scratch: tags paid with 5.")


def test_rows_as_json_has_them_become_trials_by_their_models_place(tmp_path: Path) -> None:
    state = json.loads(
        (write(tmp_path / "c", 5, 3, {"scratch": {"train": 100}, "a": {"linear": 200}}) / "comparison.json").read_text()
    )
    rows = [score["row"] for score in state["scores"].values()]
    gains = [{"model": "a", "protocol": "linear", "points": 25.0, "low": 20.0, "high": 30.0, "p_value": 0.0}]
    scratch, own = trials_of(rows, gains, labelled=5, seed=3)
    assert (scratch.place, own.place, scratch.gain, own.gain) == (0, 1, None, (25.0, 20.0, 30.0))
    assert own.accuracy[0] == 50.0


def road(folder: Path, seeds: int, name: str = "tags") -> list[Path]:
    counts = {5: (100, 160), 10: (150, 190), 50: (250, 230)}
    return [
        write(folder / f"{labelled}-{seed}", labelled, seed, {
            "scratch": {"train": scratch - seed}, f"{name}{seed}": {"linear": own + seed, "train": own + 10},
        })
        for labelled, (scratch, own) in counts.items()
        for seed in range(seeds)
    ]  # fmt: skip


def test_only_comparisons_on_the_same_test_pictures_with_several_numbers_of_labels_are_a_curve(tmp_path: Path) -> None:
    made = road(tmp_path / "a", 2)
    apart = write(tmp_path / "b", 20, 0, {"scratch": {"train": 100}}, test_digest="ef" * 8)
    assert curves_of([*made, apart]) == [made]
    assert curves_of([*made[:2], apart]) == []


def test_a_report_of_several_numbers_of_labels_is_a_curve_with_its_table_and_verdict(tmp_path: Path) -> None:
    page = tagwise.report(road(tmp_path, 3), out=tmp_path / "page.html").page.read_text("utf-8")
    assert "from scratch: tags paid with 5 and 10 and cost with 50." in page
    assert page.count('<figure class="card chart">') == 1
    assert page.count("<td>tags, as chosen</td>") == 3
    assert "40.2 ± 0.2" in page  # 160, 161 and 162 of 400 by the linear probe with 5
    assert "points are means over 3 seeds" in page
    assert 'role="img" aria-label="Accuracy by labelled pictures a class.' in page
    assert "Class by class" not in page


@pytest.mark.parametrize("names", [("tags",) * 3, ("tags0", "tags1", "tags2")], ids=["one model", "a model a seed"])
def test_seeds_that_share_a_pretraining_say_that_it_is_not_redrawn(tmp_path: Path, names: tuple[str, ...]) -> None:
    folders = [
        write(tmp_path / f"{labelled}-{seed}", labelled, seed, {"scratch": {"train": 100}, name: {"train": 160}})
        for labelled in (5, 10)
        for seed, name in enumerate(names)
    ]
    told = "The seeds redraw labelled pictures and orders, but not the pretraining of tags, which is one."
    assert curve_findings(folders)[0].spread.endswith(told) == (len(set(names)) == 1)


def test_a_stranger_who_names_the_model_writes_no_markup(tmp_path: Path) -> None:
    page = tagwise.report(road(tmp_path, 1, HOSTILE), out=tmp_path / "page.html").page.read_text("utf-8")
    assert "<script" not in page
    assert "Wilson&#39;s 95 % intervals" in page
