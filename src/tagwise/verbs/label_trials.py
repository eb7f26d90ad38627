"""Scores with few and with many labelled pictures, summarised over seeds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tagwise.measure.intervals import mean_and_sd, mean_interval
from tagwise.transfer.records import NAMES, SCRATCH, Comparison, Protocol

Plain = Mapping[str, Any]

FROM_SCRATCH = "from scratch"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One score of one comparison; percent and percentage points, each with its test part's 95 % interval."""

    labelled: int
    """Labelled pictures a class."""
    seed: int
    place: int
    """Of the model among those of its comparison."""
    model: str
    protocol: Protocol
    accuracy: tuple[float, float, float]
    class_mean: float
    gain: tuple[float, float, float] | None
    """Over scratch; None for scratch itself."""
    hold_out: float | None
    """Accuracy on what chose the settings; None where nothing was chosen."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A mean over seeds, between its standard deviations; of one seed, in the test part's 95 % interval."""

    mean: float
    low: float
    high: float
    interval: tuple[float, float]
    """At 95 %: of the mean over other seeds and other test pictures; of one seed, over other test pictures.
    Of two seeds it is without end."""
    seeds: int

    def told(self, sign: str = "") -> str:
        """``31.2 ± 1.4`` of several seeds, ``31.2 (28.9 to 33.4)`` of one."""
        if self.seeds > 1:
            return f"{self.mean:{sign}.1f} ± {self.high - self.mean:.1f}"
        return f"{self.mean:{sign}.1f} ({self.low:{sign}.1f} to {self.high:{sign}.1f})"

    @property
    def interval_told(self) -> str:
        """``-0.5 to +11.5``: what a verdict goes by."""
        low, high = self.interval
        return f"{low:+.1f} to {high:+.1f}" if math.isfinite(high - low) else "too few seeds"


@dataclass(frozen=True, kw_only=True)
class Reached:
    """What a start and protocol reached with so many labels, over the seeds."""

    start: str
    """``from scratch``, ``tags``."""
    method: str
    """``fine-tuning``; empty for scratch, and where each seed's hold-out chose one."""
    labelled: int
    accuracy: Spread
    """Percent."""
    class_mean: str
    gain: Spread | None
    """Points over scratch; None for scratch itself."""

    @property
    def line(self) -> str:
        """``tags by fine-tuning``."""
        return f"{self.start} by {self.method}" if self.method else self.start


def labelled_per_class(comparison: Comparison) -> int:
    """Labelled pictures a class: the mean, rounded, for a class may have unreadable ones or simply more."""
    return max(1, round(comparison.rows[0].train_pictures / len(comparison.classes)))


def trials_of(rows: Sequence[Plain], gains: Sequence[Plain], *, labelled: int, seed: int) -> list[Trial]:
    """The scores of one comparison.

    Args:
        rows: Each a ``ScoreRow`` as JSON has it.
        gains: Each a ``Gain`` as JSON has it.
        labelled: Labelled pictures a class.
        seed: Of the comparison.
    """
    models = list(dict.fromkeys(row["model"] for row in rows))
    over_scratch = {(gain["model"], gain["protocol"]): (gain["points"], gain["low"], gain["high"]) for gain in gains}
    return [
        Trial(
            labelled=labelled,
            seed=seed,
            place=models.index(row["model"]),
            model=row["model"],
            protocol=row["protocol"],
            accuracy=(100 * row["accuracy"], 100 * row["low"], 100 * row["high"]),
            class_mean=100 * row["class_mean"],
            gain=over_scratch.get((row["model"], row["protocol"])),
            hold_out=row.get("hold_out_accuracy"),
        )
        for row in rows
    ]


def reached(trials: Sequence[Trial]) -> list[Reached]:
    """Trials summarised over their seeds: lines in their order, scratch first, each by rising numbers of labels.

    Of trials that repeat start, protocol, number of labels and seed, the first counts.
    """
    starts = _starts(trials)
    lines = [
        (FROM_SCRATCH, "", trial)
        if trial.model == SCRATCH
        else (starts[trial.place, trial.model], NAMES[trial.protocol], trial)
        for trial in trials
    ]
    return _summarised(sorted(lines, key=lambda line: line[0] != FROM_SCRATCH))


def chosen(trials: Sequence[Trial]) -> list[Reached]:
    """The same with one line a start: of each number of labels and seed the protocol that its hold-out chose.

    Chosen without the test, as somebody would who has to. Empty where a score has no hold-out.
    """
    starts = _starts(trials)
    lines = [(starts[trial.place, trial.model], trial.hold_out, trial) for trial in trials if trial.model != SCRATCH]
    if any(hold_out is None for _, hold_out, _ in lines):
        return []
    order = list(dict.fromkeys(start for start, _, _ in lines))
    best_first = sorted(lines, key=lambda line: (order.index(line[0]), -(line[1] or 0.0)))
    return _summarised([(start, "", trial) for start, _, trial in best_first])


def _summarised(lines: Sequence[tuple[str, str, Trial]]) -> list[Reached]:
    """Start, method and trial summarised over the seeds; the first of a seed counts."""
    found: dict[tuple[str, str], dict[int, dict[int, Trial]]] = {}
    for start, method, trial in lines:
        found.setdefault((start, method), {}).setdefault(trial.labelled, {}).setdefault(trial.seed, trial)
    return [
        _over_seeds(start, method, list(numbers[labelled].values()))
        for (start, method), numbers in found.items()
        for labelled in sorted(numbers)
    ]


def _over_seeds(start: str, method: str, trials: list[Trial]) -> Reached:
    gains = [trial.gain for trial in trials if trial.gain is not None]
    mean, sd = mean_and_sd([trial.class_mean for trial in trials])
    return Reached(
        start=start,
        method=method,
        labelled=trials[0].labelled,
        accuracy=_spread([trial.accuracy for trial in trials]),
        class_mean=f"{mean:.1f}" if sd is None else f"{mean:.1f} ± {sd:.1f}",
        gain=_spread(gains) if gains else None,
    )


def _spread(measured: list[tuple[float, float, float]]) -> Spread:
    values = [value for value, _, _ in measured]
    mean, sd = mean_and_sd(values)
    if sd is None:
        low, high = interval = measured[0][1:]
    else:
        low, high = mean - sd, mean + sd
        # All seeds share the test pictures, so their chance does not shrink with more seeds.
        of_test = max((upper - lower) / 2 for _, lower, upper in measured)
        of_seeds = mean_interval(values)[1] - mean if len(values) > 2 else math.inf  # two may agree by luck
        half = math.hypot(of_seeds, of_test)
        interval = mean - half, mean + half
    return Spread(mean=mean, low=low, high=high, interval=interval, seeds=len(measured))


def _starts(trials: Sequence[Trial]) -> dict[tuple[int, str], str]:
    """What to call each model, by its place and name.

    At one place of comparisons of seeds 0, 1 and 2, tags0, tags1 and tags2 are one start, called tags:
    the number is the seed's. Any others are different models and keep their names.
    """
    seeds: dict[tuple[int, str], set[int]] = {}
    for trial in trials:
        seeds.setdefault((trial.place, trial.model), set()).add(trial.seed)
    stems = {key: _without_seed(key[1], found) for key, found in seeds.items()}
    sharing: dict[str, list[int]] = {}
    for (place, _), stem in stems.items():
        sharing.setdefault(stem, []).append(place)
    shared = {stem for stem, places in sharing.items() if stem and len(places) > 1 and len(set(places)) == 1}
    return {key: stem if stem in shared else key[1] for key, stem in stems.items()}


def _without_seed(name: str, seeds: set[int]) -> str:
    """The name without the one seed that it ends in; empty if it does not."""
    match = re.fullmatch(rf"(.*[^\d\s._-])[\s._-]*{min(seeds)}", name) if len(seeds) == 1 else None
    return match[1] if match else ""
