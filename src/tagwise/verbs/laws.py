"""The sampling law of a corpus under a label space: asked for, told, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tagwise.base.progress import printable, say

if TYPE_CHECKING:
    from tagwise.pages.page import Table
    from tagwise.tags.law_report import LawReport, SampledLaws
    from tagwise.tags.raking import Raking
    from tagwise.tags.space import LabelSpace
    from tagwise.tags.table import Assignment

LawFacts = dict[str, dict[str, float | str | None]]
"""Statistics by name, of each law by its text."""

_COSTS = {
    "epoch_length": "draws in an epoch",
    "largest_factor": "most draws of one picture",
    "effective_sample_size": "effective sample size",
    "half_epoch_pictures": "pictures that make half of the epoch",
    "raking": "raking",
}
_STATISTICS = {
    "effective_labels": "effective labels",
    "head_fraction": "share of the top 1 % of labels",
    "largest_fraction": "share of the commonest label",
    "rank_slope": "slope of share on rank",
    "total_variation": "distance to the intended law",
}
_LAWS = {"intended": "as intended", "occurrence": "as drawn", "mass": "as a softmax sees"}


def refuse_wrong_law(law: str, threshold: float | str | None) -> None:
    """Before a corpus is read for it.

    Raises:
        UsageError: No such law or threshold, or one that the law has no use for.
    """
    from tagwise.tags.thresholds import threshold_of_law

    threshold_of_law(law, threshold)


def report_law(
    assignment: Assignment, counts: Any, space: LabelSpace, law: str, threshold: float | str | None
) -> LawReport:
    """Chooses the threshold, and says what raking came to.

    Raises:
        UsageError: No such law or threshold, or one that does not fit the corpus.
        DataRefused: No picture has a label, or the epoch is shorter or longer than can be drawn.
    """
    from tagwise.tags.epoch import refuse_length
    from tagwise.tags.law_report import report_laws
    from tagwise.tags.thresholds import choose_threshold

    ids, offsets = assignment.ids, assignment.offsets
    report = report_laws(ids, offsets, counts, law, choose_threshold(ids, offsets, counts, law, threshold))
    refuse_length(report.chosen.epoch_length, report.chosen.pictures)
    if report.chosen.drawn.raking is not None:
        for line in raking_lines(law, report.chosen.drawn.raking, [label.key for label in space.labels]):
            say(line)
    return report


def raking_lines(law: str, raking: Raking, names: list[str], most: int = 5) -> list[str]:
    """What raking came to, and the labels whose shares are furthest from those wanted where it fell short."""
    import numpy as np

    fate = {
        "interior": "is reached",
        "boundary": "is approached and not reached: it lies at the edge of what weights of pictures can do",
        "infeasible": f"cannot be reached by any weights of pictures up to {raking.weight_cap:g} times their mean",
    }[raking.status]
    lines = [
        f"The law {law} {fate}; the labels' shares are {raking.distance:.2%} from it, {raking.distance_before:.2%} "
        f"before raking ({raking.rounds} rounds, {raking.capped_pictures:,} pictures at the largest weight)."
    ]
    if raking.status != "interior":
        missed = raking.after - raking.target
        furthest = np.argsort(-np.abs(missed), kind="stable")[:most]
        lines += [
            f"  {printable(names[label], 40)}: {raking.target[label]:.2%} wanted, {raking.after[label]:.2%} reached"
            for label in furthest
        ]
    return lines


def law_facts(report: LawReport) -> LawFacts:
    """The statistics of a law report as plain values."""
    return {laws.drawn.law: _facts(laws) for laws in (report.natural, report.chosen)}


def law_curves(report: LawReport) -> dict[str, list[float]]:
    """What the law chart draws: the shares that a softmax sees, and beside the chosen law's its two others."""
    natural, chosen = report.natural, report.chosen
    curves = {"natural": natural.mass}
    if chosen.drawn.law != "natural":
        name = chosen.drawn.law
        curves |= {name: chosen.mass, f"{name}, drawn": chosen.occurrence, f"{name}, intended": chosen.intended}
    return {name: shares.tolist() for name, shares in curves.items()}


def law_table(laws: LawFacts) -> Table:
    """The laws side by side, as a table of the report: what they cost, and how even labels come out."""
    from tagwise.pages.page import Table

    names = {"threshold": "threshold"} | _COSTS
    for statistic, title in _STATISTICS.items():
        kinds = {kind: told for kind, told in _LAWS.items() if (kind, statistic) != ("intended", "total_variation")}
        names |= {f"{kind}_{statistic}": f"{title}, {told}" for kind, told in kinds.items()}
    rows = [[title, *(_figure(facts[name]) for facts in laws.values())] for name, title in names.items()]
    rows = [row for row in rows if set(row[1:]) != {"none"}]
    return Table(columns=("law", *laws), rows=rows, numeric=tuple(laws))


def law_tables(laws: LawFacts) -> list[Table]:
    """The same for a page, which has room beside each law: how even labels come out, and what it costs."""
    from tagwise.pages.marks import percent
    from tagwise.pages.page import Table

    def cell(facts: dict[str, float | str | None], name: str) -> str:
        value = facts[name]
        return percent(value) if name.endswith("_fraction") and isinstance(value, float) else _figure(value)

    even = [
        [f"{law}, {told}", *(cell(facts, f"{kind}_{name}") for name in _STATISTICS)]
        for law, facts in laws.items()
        for kind, told in _LAWS.items()
        if (law, kind) != ("natural", "intended")  # as drawn
    ]
    costs = [[title, *(_figure(facts[name]) for facts in laws.values())] for name, title in _COSTS.items()]
    costs = [row for row in costs if set(row[1:]) != {"none"}]
    statistics = tuple(_STATISTICS.values())
    return [
        Table(columns=("law", *statistics), rows=even, numeric=statistics, caption="How even the labels are."),
        Table(columns=("cost", *laws), rows=costs, numeric=tuple(laws), caption="What the law costs."),
    ]


def _facts(laws: SampledLaws) -> dict[str, float | str | None]:
    raking = laws.drawn.raking
    facts: dict[str, float | str | None] = {
        "threshold": None if raking is not None else laws.drawn.threshold,
        "epoch_length": laws.epoch_length,
        "largest_factor": laws.largest_factor,
        "effective_sample_size": laws.effective_sample_size,
        "half_epoch_pictures": laws.half_epoch_pictures,
        "raking": None if raking is None else raking.status,
    }
    told = (laws.intended_statistics, laws.occurrence_statistics, laws.mass_statistics)
    for kind, statistics in zip(_LAWS, told, strict=True):
        facts |= {f"{kind}_{name}": getattr(statistics, name) for name in _STATISTICS}
    return facts


def _figure(value: float | str | None) -> str:
    if not isinstance(value, int | float):
        return "none" if value is None else value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{round(value, 12):.4g}"
