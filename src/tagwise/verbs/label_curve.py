"""Accuracy against labelled pictures, out of several comparisons of one target: with how many did the tags pay?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tagwise.base.settings import to_plain
from tagwise.pages.label_curve import LabelLine, LabelPoint, label_curve_chart
from tagwise.pages.page import Chart, Finding, Kind, Section, Table
from tagwise.transfer.records import Comparison, read_comparison
from tagwise.verbs.label_trials import (
    FROM_SCRATCH,
    Reached,
    Spread,
    Trial,
    chosen,
    labelled_per_class,
    reached,
    trials_of,
)

RULE = (
    "Where no protocol is named, each seed's hold-out chose it. To pay is a gain whose 95 % interval is above 0, to "
    "cost one below; it holds both the chance of the seeds (Student's interval) and that of the test pictures (the "
    "paired interval; of one seed this alone), and is for each number of labels by itself. Two seeds are too few to "
    "tell."
)

SPREADS = (
    "Of several seeds: mean ± standard deviation; of one: the test part's 95 % interval. The 95 % interval of the "
    "points is over seeds and test pictures, and tells whether tags paid."
)


def curves_of(folders: Sequence[Path]) -> list[list[Path]]:
    """The comparisons that make a curve: of the same classes and test pictures, with several numbers of labels."""
    alike: dict[tuple[tuple[str, ...], str], list[Path]] = {}
    numbers: dict[Path, int] = {}
    for folder in folders:
        comparison = read_comparison(folder)
        alike.setdefault((comparison.classes, comparison.test_digest), []).append(folder)
        numbers[folder] = labelled_per_class(comparison)
    return [group for group in alike.values() if len({numbers[folder] for folder in group}) > 1]


def verdict(trials: Sequence[Trial]) -> str:
    """With how many labels each start paid, in one sentence that says no more than the spread does."""
    clauses = []
    for line, gains in _gains(trials).items():
        told: dict[str, list[str]] = {}
        for labelled, gain in gains:
            told.setdefault(_outcome(gain), []).append(f"{labelled:,}")
        clauses.append(f"{line} {_and([f'{words} with {_and(numbers)}' for words, numbers in told.items()])}")
    if not clauses:
        return "Nothing stands beside training from scratch."
    return f"Labelled pictures a class, against training from scratch: {'; '.join(clauses)}."


def curve_findings(folders: Sequence[Path]) -> list[Finding]:
    """The verdict, then what each start gained with the fewest and with the most labels."""
    comparisons = [read_comparison(folder) for folder in folders]
    trials = _trials(comparisons)
    gains = [gain for line in _gains(trials).values() for _, gain in line]
    paid, cost = any(gain.interval[0] > 0 for gain in gains), any(gain.interval[1] < 0 for gain in gains)
    kind: Kind = "good" if paid and not cost else "bad" if cost and not paid else "plain"
    ends = [_ends(line, found) for line, found in _gains(trials).items()]
    spread = " ".join([RULE, *_shared_pretraining(comparisons)])
    return [Finding(statement=verdict(trials), spread=spread, kind=kind), *ends]


def curve_section(folders: Sequence[Path]) -> Section:
    """The curve and its numbers."""
    comparisons = [read_comparison(folder) for folder in folders]
    trials = _trials(comparisons)
    curve = reached(trials)
    first = comparisons[0]
    told = (
        f"Every score is on the same {first.rows[0].test_pictures:,} test pictures (digest {first.test_digest}), on "
        f"which no setting was chosen. Out of {len(folders)} comparisons; a report of one of them shows its classes "
        "and pictures."
    )
    return Section(
        heading=f"Accuracy by labelled pictures, on {first.tested_on}",
        text=[told],
        blocks=[curve_chart(curve), curve_table([*curve, *chosen(trials)])],
    )


def curve_chart(curve: Sequence[Reached]) -> Chart:
    """Accuracy against labelled pictures a class, a line for each start and protocol."""
    points: dict[tuple[str, str], list[LabelPoint]] = {}
    for point in curve:
        found = LabelPoint(
            labelled=point.labelled,
            accuracy_fraction=point.accuracy.mean / 100,
            low_fraction=max(0.0, point.accuracy.low / 100),
            high_fraction=min(1.0, point.accuracy.high / 100),
        )
        points.setdefault((point.start, point.method), []).append(found)
    lines = [LabelLine(model=start, method=method, points=found) for (start, method), found in points.items()]
    scratch = next((line for line in lines if line.model == FROM_SCRATCH), None)
    others = [line for line in lines if line is not scratch]
    return label_curve_chart(others, scratch, caption=f"Accuracy on the test part; {_bars(curve)}.")


def curve_table(curve: Sequence[Reached]) -> Table:
    """The numbers behind the curve and, given what was chosen too, behind the verdict, by number of labels."""
    columns = (
        *("labelled a class", "start", "points over scratch", "95 % interval"),
        *("accuracy, %", "class mean, %", "seeds"),
    )
    rows = [
        [
            point.labelled,
            point.line if point.method or point.gain is None else f"{point.start}, as chosen",
            *_gain_cells(point.gain),
            point.accuracy.told(),
            point.class_mean,
            point.accuracy.seeds,
        ]
        for point in sorted(curve, key=lambda point: point.labelled)
    ]
    return Table(columns=columns, rows=rows, caption=SPREADS, numeric=columns[2:])


def _trials(comparisons: Sequence[Comparison]) -> list[Trial]:
    return [
        trial
        for found in comparisons
        for trial in trials_of(
            to_plain(found.rows), to_plain(found.gains), labelled=labelled_per_class(found), seed=found.seed
        )
    ]


def _gains(trials: Sequence[Trial]) -> dict[str, list[tuple[int, Spread]]]:
    """Of each start, or of each with each protocol where no hold-out chose: labels and gains."""
    gains: dict[str, list[tuple[int, Spread]]] = {}
    for point in chosen(trials) or reached(trials):
        if point.gain is not None:
            gains.setdefault(point.line, []).append((point.labelled, point.gain))
    return gains


def _outcome(gain: Spread) -> str:
    if gain.seeds == 2:
        return "has two seeds, too few to tell,"
    low, high = gain.interval
    words = "paid" if low > 0 else "cost" if high < 0 else "made no clear difference"
    return f"{words}, on one seed," if gain.seeds == 1 else words


def _shared_pretraining(comparisons: Sequence[Comparison]) -> list[str]:
    """A sentence where comparisons of several seeds judge one and the same model."""
    seeds: dict[str, set[int]] = {}
    names: dict[str, str] = {}
    for comparison in comparisons:
        for name, digest in comparison.models.items():
            seeds.setdefault(digest, set()).add(comparison.seed)
            names.setdefault(digest, name)
    shared = [names[digest] for digest, found in seeds.items() if len(found) > 1]
    told = f"The seeds redraw labelled pictures and orders, but not the pretraining of {_and(shared)}, which is one."
    return [told] if shared else []


def _gain_cells(gain: Spread | None) -> tuple[str | None, str | None]:
    if gain is None:
        return None, None
    return gain.told("+") if gain.seeds > 1 else f"{gain.mean:+.1f}", gain.interval_told


def _bars(curve: Sequence[Reached]) -> str:
    seeds = sorted({point.accuracy.seeds for point in curve})
    if seeds == [1]:
        return "bars are Wilson's 95 % intervals for these pictures, of one seed"
    several = f"{seeds[-1]} seeds" if len(seeds) == 1 else f"up to {seeds[-1]} seeds"
    told = f"points are means over {several}, bars their standard deviation, which leaves out chance of the test part"
    return f"{told}; where there is one seed, Wilson's 95 % interval" if seeds[0] == 1 else told


def _ends(line: str, gains: Sequence[tuple[int, Spread]]) -> Finding:
    ends = dict([gains[0], gains[-1]])
    return Finding(
        statement=f"{line} over scratch, with {_and([f'{number:,}' for number in ends])} labelled pictures a class.",
        value=f"{_and([f'{gain.mean:+.1f}' for gain in ends.values()])} points",
        spread=f"95 % interval: {'; '.join(_interval(gain) for gain in ends.values())}",
    )


def _interval(gain: Spread) -> str:
    return f"{gain.interval_told} (one seed)" if gain.seeds == 1 else gain.interval_told


def _and(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
