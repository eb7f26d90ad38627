"""The page of a label space: what became of the tags, what a law makes of the labels, and what they look like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from tagwise.base.progress import counted
from tagwise.pages.marks import percent
from tagwise.pages.page import Block, Finding, Report
from tagwise.pages.tables import cut
from tagwise.tags.ways import KEPT
from tagwise.verbs.label_sections import (
    aligned_section,
    ambiguous_section,
    compared_section,
    extended_section,
    fates_section,
    laws_section,
    merged_section,
    samples_section,
    tail_section,
)
from tagwise.verbs.label_tables import covered_classes

if TYPE_CHECKING:
    from tagwise.tags.alignment import Alignment
    from tagwise.tags.comparison import SpaceComparison
    from tagwise.tags.fates import Labelling
    from tagwise.tags.law_report import LawReport
    from tagwise.tags.lexicon import Lexicon
    from tagwise.tags.space import LabelSpace

KICKER = "Tagwise label space"
"""What the page says first; it tells our pages from those of others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PageFacts:
    """What the page tells of."""

    corpus: str
    """Its name."""
    space_file: str
    """Its name."""
    labelling: Labelling
    laws: LawReport
    labelled_pictures: int
    lexicon: Lexicon | None = None
    alignment: Alignment | None = None
    comparison: SpaceComparison | None = None
    compared: str = ""
    """Name of the space that was to be compared."""
    samples: Sequence[Block] = ()
    """Pictures of some labels; none of a corpus without pictures."""

    @property
    def space(self) -> LabelSpace:
        """The label space."""
        return self.labelling.space


def label_report(facts: PageFacts) -> Report:
    """The page of a label space."""
    space = facts.space
    sections = [
        fates_section(facts),
        laws_section(facts),
        tail_section(space),
        merged_section(facts),
        *([ambiguous_section(facts)] if facts.lexicon else []),
        *([aligned_section(space, facts.alignment)] if facts.alignment else []),
        *([extended_section(space)] if space.base else []),
        *([compared_section(facts.comparison, facts.compared)] if facts.comparison else []),
        samples_section(facts.samples),
    ]
    return Report(
        kicker=KICKER,
        title=f"Labels of {facts.corpus}",
        subtitle="Which tags became labels, which did not and why, and how often each label will be seen.",
        summary=_findings(facts),
        sections=sections,
        provenance=_provenance(facts),
    )


def _findings(facts: PageFacts) -> list[Finding]:
    space, chosen = facts.space, facts.laws.chosen
    lost = {fate: count for fate, count in space.fates.items() if count and fate not in KEPT}
    most = ", ".join(f"{fate} {percent(count / space.tags)}" for fate, count in Counter(lost).most_common(3))
    natural = facts.laws.natural.mass_statistics.effective_labels
    effective, intended = chosen.mass_statistics.effective_labels, chosen.intended_statistics.effective_labels
    law = chosen.drawn.law
    beside = "" if law == "natural" else f"As the tags are: {natural:,.1f}. Intended by the law: {intended:,.1f}."
    found = [
        Finding(
            statement=f"{'label was' if len(space) == 1 else 'labels were'} made of {counted(space.tags, 'tag')}.",
            value=f"{len(space):,}",
            spread=f"{facts.labelled_pictures:,} of {space.pictures:,} pictures have one.",
        ),
        Finding(
            statement="of the tags became a label.",
            value=percent(1 - sum(lost.values()) / max(space.tags, 1)),
            spread=f"Lost most: {most}." if lost else "None was lost.",
        ),
        Finding(
            statement=f"effective labels, as a softmax sees them under the law {law}.",
            value=f"{effective:,.1f}",
            spread=beside,
        ),
    ]
    if space.lexicon:
        several = sum(label.ambiguous for label in space.labels)
        have = "label has" if several == 1 else "labels have"
        found.append(
            Finding(
                statement=f"{have} several meanings in {cut(space.lexicon.version, 40)}.",
                value=f"{several:,}",
                spread=f"{percent(several / len(space))} of the labels.",
            )
        )
    if facts.alignment:
        covered, classes = covered_classes(facts.alignment), facts.alignment.classes
        found.append(Finding(statement="classes of the target have a label.", value=f"{covered:,} of {classes:,}"))
    return found


def _provenance(facts: PageFacts) -> dict[str, str]:
    space, options = facts.space, facts.space.options
    lists = {"aliases": options.aliases, "denied": options.deny, "allowed": options.allow}
    told = {
        "least pictures": options.min_count,
        "top": options.top,
        "least characters": options.min_length,
        "least owners": options.min_owners,
        "meanings at most": options.max_senses,
        "numbers dropped": "yes" if options.drop_numbers else None,
        "plurals joined": "yes" if options.plurals else "no",
    }
    rules = [f"{name} {value}" for name, value in told.items() if value is not None]
    rules += [f"{name} {len(names):,}" for name, names in lists.items() if names]
    found = {
        "tagwise": version("tagwise"),
        "label space": f"{facts.space_file}, digest {space.digest}",
        "tags": f"digest {space.table_digest}, keys by Unicode {space.unicode_version}",
        "what makes a label": ", ".join(rules),
    }
    if space.lexicon:
        rule = f"rule {options.rule}, unknown words: {options.unknown}"
        found["lexicon"] = f"{space.lexicon.version}, digest {space.lexicon.digest}, {rule}"
    if space.target:
        found["target"] = f"{space.target.name}, digest {space.target.digest}"
    return found
