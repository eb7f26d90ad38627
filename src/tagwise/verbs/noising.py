"""Noise in the labels of a pretraining: made from its corpus and label space, and told in its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagwise.corpus.table import Corpus
    from tagwise.pages.page import Section
    from tagwise.tags.noise import Noise, Noised
    from tagwise.tags.space import LabelSpace
    from tagwise.tags.substitutes import LabelGroups
    from tagwise.tags.table import Assignment


@dataclass(frozen=True, kw_only=True)
class NoiseFacts:
    """What noise did to the labels of a corpus."""

    noise: str
    labels: int
    """In all pictures, before."""
    changed: int
    unchangeable: int
    """Labels that the noise met, and that stayed because no other label was possible."""
    emptied: int
    """Pictures whose last label was dropped."""
    total_variation: float
    """Between the laws of the labels before and after."""
    expected: dict[str, tuple[float, float]]
    """Of both marginal kinds, where the noise is one: share changed and total variation if every picture had one
    label."""
    laws: dict[str, list[float]]
    """Share of each label among all labels, before and after."""

    def __str__(self) -> str:
        stayed = f", {self.unchangeable:,} could not change" if self.unchangeable else ""
        emptied = f", {self.emptied:,} pictures lost their last one" if self.emptied else ""
        return (
            f"{self.noise}: {self.changed:,} of {self.labels:,} labels changed ({self.changed / self.labels:.1%})"
            f"{stayed}{emptied}; their law moved by {self.total_variation:.3f}"
        )


def add_noise(text: str, seed: int, corpus: Corpus, space: LabelSpace, clean: Assignment) -> tuple[Any, NoiseFacts]:
    """The labels with noise, and what it did.

    Raises:
        UsageError: The noise is none.
        DataRefused: It needs synsets that the space has not, or leaves no label.
    """
    from tagwise.tags.noise import GROUPED, Noise, with_noise
    from tagwise.tags.table import text_numbers

    noise = Noise.parse(text)
    groups = _groups(space, noise) if noise.kind in GROUPED else None
    records = text_numbers(corpus.column("key"))
    noised = with_noise(clean.ids, clean.offsets, records, noise, labels=len(space), seed=seed, groups=groups)
    return noised.assignment, _facts(text, noise, noised)


def noise_section(runs: Mapping[str, tuple[list[str], NoiseFacts]]) -> Section:
    """What noise changed in the labels of some runs.

    Args:
        runs: By name, the labels and what was done to them.
    """
    from tagwise.pages import charts
    from tagwise.pages.page import Section, Table

    columns = ("run", "noise", "labels changed", "could not change", "law moved by")
    rows: list[tuple[str, ...]] = []
    for name, (_, facts) in runs.items():
        share, moved = f"{facts.changed / facts.labels:.1%}", f"{facts.total_variation:.3f}"
        rows.append((name, facts.noise, share, f"{facts.unchangeable:,}", moved))
        for kind, (share_expected, drift) in facts.expected.items():
            rows.append(("one label a picture", f"{kind}, expected", f"{share_expected:.1%}", "", f"{drift:.3f}"))
    text = ["A share of the training labels was replaced or dropped before anything was counted; tests saw none of it."]
    if any(facts.expected for _, facts in runs.values()):
        text.append(
            "Noise of the kind marginal draws another label by the law of the labels: all labels that it meets change, "
            "and the law drifts towards rare ones. The kind marginal-with-self may draw the label itself: the law "
            "stays, and fewer labels change."
        )
    drawn = [
        charts.law_chart(labels, facts.laws, caption=f"{name}: the share of each label before and after {facts.noise}.")
        for name, (labels, facts) in runs.items()
    ]
    caption = "The law moves by half the sum of the absolute differences of its shares, 0 to 1."
    return Section(
        heading="Noise in the labels",
        text=text,
        blocks=[Table(columns=columns, rows=rows, numeric=columns[2:], caption=caption), *drawn],
    )


def _groups(space: LabelSpace, noise: Noise) -> LabelGroups:
    from tagwise.tags.substitutes import label_groups

    parents = space.lexicon.parents if space.lexicon else {}
    return label_groups([label.synsets for label in space.labels], None if noise.kind == "synonym" else parents)


def _facts(text: str, noise: Noise, noised: Noised) -> NoiseFacts:
    from tagwise.tags.noise import marginal_variants

    marginal = noise.kind.startswith("marginal")
    variants = marginal_variants(noised.law_before, noise.fraction) if marginal else {}
    return NoiseFacts(
        noise=text,
        labels=len(noised.became),
        changed=noised.changed,
        unchangeable=noised.unchangeable,
        emptied=noised.emptied,
        total_variation=noised.total_variation,
        expected={str(kind): expected for kind, expected in variants.items()},
        laws={"before": noised.law_before.tolist(), "after": noised.law_after.tolist()},
    )
