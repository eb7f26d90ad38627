"""What a report says of starts that were compared by where things are, read from their folder without torch."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from tagwise.localise.comparisons import LOST, LocatedComparison, read_located
from tagwise.localise.localisation import (
    LEAST_SEEDS,
    MEAN_IOU,
    PARTS,
    PIXEL_ACCURACY,
    Change,
    LocalisationReport,
    Spread,
)
from tagwise.measure.detection_errors import ERROR_WORDS
from tagwise.pages.differences import Difference, difference_chart, interval_told
from tagwise.pages.page import Cell, Finding, Section, Table

MAIN = (*(f"{part} {name}" for part in PARTS.values() for name in ("AP", "AP50", "AP75")), MEAN_IOU, PIXEL_ACCURACY)
"""What the tables of schedules and runs show, as far as it was measured."""
DRAWN = (*(f"{part} {name}" for part in PARTS.values() for name in ("AP50", "AP75")), MEAN_IOU)
"""What the chart shows: what is found at all, and what is placed well."""
RULE = (
    "Starts are trained alike: same detector, schedule and order of the data, a training each seed. A verdict needs "
    f"{LEAST_SEEDS} seeds, and says up or down only where the 95 % intervals of the two starts do not overlap. The "
    "interval of a difference is Student's over the differences seed by seed; seeds are all that it covers, not chance "
    "of the test pictures. The localisation ratio is the gain of AP75 over that of AP50: below 1, more was learnt of "
    "what than of where; there is none where the interval of the gain of AP50 holds 0."
)


def findings(folder: Path) -> list[Finding]:
    """The verdict of each pair on the longest schedule, and what became of its gain."""
    comparison = read_located(folder)
    found = []
    for first, second in comparison.pairs:
        reports = comparison.reports(first, second)
        if not reports:
            continue
        report = reports[max(reports)]
        main = _main(report)
        gain = main.difference
        clear = None if main.direction == "unclear" else gain.mean > 0
        found.append(
            Finding(
                statement=" ".join([report.verdict, *_more(reports)]),
                value=f"{gain.mean:+.3f} {main.name}",
                spread=f"{second} less {first}, {_seeds(report)}{_interval(gain)}",
                kind="plain" if clear is None else "good" if clear else "bad",
            )
        )
    return found


def statements(comparison: LocatedComparison) -> list[str]:
    """The verdict of each pair on the longest schedule, with what is to be said beside it."""
    found = (comparison.reports(*pair) for pair in comparison.pairs)
    return [" ".join([reports[max(reports)].verdict, *_more(reports)]) for reports in found if reports]


def sections(folder: Path) -> list[Section]:
    """Differences by schedule, what and where, the error split, and every run."""
    comparison = read_located(folder)
    whole = [
        Section(
            heading=f"Where things are, on the test part of {comparison.target}",
            text=[_about(comparison), *_unlike(comparison), RULE],
            blocks=[
                difference_chart(
                    list(_rows(comparison)),
                    caption="Gains by length of the schedule; bars are 95 % intervals over seeds, and a ring is a gain "
                    "whose interval holds 0, or of a single seed.",
                ),
                length_table(comparison),
            ],
        )
    ]
    for first, second in comparison.pairs:
        if reports := comparison.reports(first, second):
            whole.append(_pair_section(first, second, reports))
    whole.append(Section(heading="Every run", blocks=[_run_table(comparison)]))
    return whole


def length_table(comparison: LocatedComparison) -> Table:
    """Gains by pair and length of the schedule; a star says which are clear of 0."""
    shown = _measured(comparison, MAIN)
    boxes = "box AP50" in shown
    columns = ("starts", "schedule", "seeds", *shown, *(["ratio"] if boxes else []))
    rows: list[list[Cell]] = []
    for first, second in comparison.pairs:
        for length, report in comparison.reports(first, second).items():
            told = {change.name: change for change in report.changes}
            gains = [_gain(told.get(name)) for name in shown]
            ratio = [_ratio(report)] if boxes else []
            rows.append([f"{second} over {first}", _schedule(length), len(report.seeds), *gains, *ratio])
    caption = "Gains by length of the schedule; * where the 95 % interval over seeds is clear of 0"
    caption += "; ratio: the localisation ratio." if boxes else "."
    return Table(columns=columns, rows=rows, caption=caption, numeric=columns[3:])


def _about(comparison: LocatedComparison) -> str:
    images = {run.length: run.images for run in comparison.runs}
    schedules = ", ".join(f"{_schedule(length)} ({images[length]:,} pictures seen)" for length in comparison.lengths)
    return (
        f"--head {comparison.head}, {comparison.train_pictures:,} pictures to train on, "
        f"{comparison.test_pictures:,} test pictures (digest {comparison.test_digest}), {len(comparison.classes)} "
        f"classes; schedules: {schedules}."
    )


def _unlike(comparison: LocatedComparison) -> list[str]:
    """What plans do not share beside the start, such as the normalisation that travels with weights."""
    found = []
    for first, second in comparison.pairs:
        if unlike := comparison.unlike(first, second):
            found.append(f"Beside the start, {first} and {second} differ in their plans: {'; '.join(unlike)}.")
    return found


def _rows(comparison: LocatedComparison) -> Iterator[Difference]:
    for first, second in comparison.pairs:
        for length, report in comparison.reports(first, second).items():
            for change in report.changes:
                if change.name in DRAWN:
                    gain = change.difference
                    label = f"{second} over {first}, {_schedule(length)}"
                    yield Difference(
                        label=label, measure=change.name, difference=gain.mean, low=gain.low, high=gain.high
                    )


def _pair_section(first: str, second: str, reports: dict[float, LocalisationReport]) -> Section:
    length = max(reports)
    report = reports[length]
    columns = ("number", first, second, "difference", "95 % interval", "verdict")
    rows: dict[bool, list[list[Cell]]] = {False: [], True: []}
    for change in report.changes:
        gain = change.difference
        rows[change.name in LOST.values()].append(
            [
                change.name,
                _spread(change.first),
                _spread(change.second),
                f"{gain.mean:+.3f}",
                interval_told(gain.low, gain.high),
                change.direction if len(report.seeds) >= LEAST_SEEDS else None,
            ]
        )
    captions = (
        "What and where apart: class-agnostic AP and the proposals' recall say where, the accuracy of a linear "
        "classifier on the features of the true boxes says what. Mean ± standard deviation over seeds.",
        "The error split at IoU .5: AP50 that each kind of error costs, so that up is worse.",
    )
    blocks = [
        Table(columns=columns, rows=found, caption=caption, numeric=columns[1:5])
        for caption, found in zip(captions, rows.values(), strict=True)
        if found
    ]
    heading = f"{second} against {first}, on {_schedule(length)} of the schedule"
    return Section(heading=heading, text=[" ".join([report.verdict, *_more(reports)])], blocks=blocks)


def _more(reports: dict[float, LocalisationReport]) -> list[str]:
    """Which errors changed on the longest schedule, and whether a shorter one's gain is left; nothing of few seeds."""
    report = reports[max(reports)]
    if len(report.seeds) < LEAST_SEEDS:
        return []
    return [*_blamed(report), *_faded(reports)]


def _blamed(report: LocalisationReport) -> list[str]:
    """The errors whose cost changed, dearest first."""
    changes = {change.name: change for change in report.changes}
    clear = [(kind, changes[name]) for kind, name in LOST.items() if name in changes and _sign(changes[name])]
    clear.sort(key=lambda found: -abs(found[1].difference.mean))
    if not clear:
        return []
    told = "; ".join(f"{change.difference.mean:+.3f} where {ERROR_WORDS[kind]}" for kind, change in clear)
    return [f"AP50 lost, {report.second} less {report.first}: {told}."]


def _faded(reports: dict[float, LocalisationReport]) -> list[str]:
    """Whether what was clear on the shortest schedule is so on the longest."""
    short, long = min(reports), max(reports)
    if short == long or len(reports[short].seeds) < LEAST_SEEDS:
        return []
    before, after = _main(reports[short]), _main(reports[long])
    if _sign(before) <= 0:
        return []
    told = f"{before.name} {before.difference.mean:+.3f} on {_schedule(short)} of the schedule"
    end = f"{after.difference.mean:+.3f} on {_schedule(long)}"
    if _sign(after) <= 0:
        return [f"The gain does not last: {told}, {end}{_interval(after.difference)}."]
    return [f"The gain lasts: {told}, {end}."]


def _run_table(comparison: LocatedComparison) -> Table:
    shown = _measured(comparison, MAIN)
    columns = ("start", "schedule", "seed", "pictures seen", *shown, "seconds")
    rows: list[list[Cell]] = [
        [
            *(run.start, _schedule(run.length), str(run.seed), run.images),
            *(_number(run.numbers.get(name)) for name in shown),
            round(run.seconds),
        ]
        for run in sorted(comparison.runs, key=lambda run: (-run.length, list(comparison.groups).index(run.start)))
    ]
    return Table(columns=columns, rows=rows, numeric=columns[2:])


def _measured(comparison: LocatedComparison, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if any(name in run.numbers for run in comparison.runs)]


def _main(report: LocalisationReport) -> Change:
    """AP of boxes, or mean IoU."""
    changes = {change.name: change for change in report.changes}
    return next((changes[name] for name in MAIN if name in changes), report.changes[0])


def _sign(change: Change) -> int:
    """1 or -1 where the interval of the difference is clear of 0, else 0."""
    gain = change.difference
    if gain.low is None or gain.high is None:
        return 0
    return (gain.low > 0) - (gain.high < 0)


def _gain(change: Change | None) -> str | None:
    return None if change is None else f"{change.difference.mean:+.3f}{'*' if _sign(change) else ' '}"


def _ratio(report: LocalisationReport) -> str | None:
    told = [f"{part} {round(ratio, 2) + 0.0:.2f}" for part, ratio in report.ratios.items() if ratio is not None]
    return ", ".join(told) or None


def _spread(spread: Spread) -> str:
    return f"{spread.mean:.3f}" + ("" if spread.sd is None else f" ± {spread.sd:.3f}")


def _interval(gain: Spread) -> str:
    interval = interval_told(gain.low, gain.high)
    return f", 95 % interval {interval}" if interval else ""


def _seeds(report: LocalisationReport) -> str:
    return f"{len(report.seeds)} seed{'s' if len(report.seeds) > 1 else ''}"


def _number(value: float | None) -> str | None:
    return None if value is None or value <= -1 else f"{value:.3f}"


def _schedule(length: float) -> str:
    """0.25 as ``1/4``, 1 as ``all``."""
    return "all" if length == 1 else str(Fraction(length).limit_denominator(100))
