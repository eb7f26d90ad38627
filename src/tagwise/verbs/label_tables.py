"""What ``labels`` says of a label space, as tables and lines; the page shows the same tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from tagwise.base.progress import counted, printable

if TYPE_CHECKING:
    from tagwise.pages.page import Table
    from tagwise.tags.alignment import Alignment
    from tagwise.tags.comparison import SpaceComparison
    from tagwise.tags.fates import Fates
    from tagwise.tags.lexicon import Lexicon
    from tagwise.tags.space import LabelSpace

Merge = tuple[str, tuple[str, ...]]
"""A label's key and its commonest spellings."""
Ambiguity = tuple[str, int, tuple[str, ...]]
"""A label's key, its pictures, and each meaning with what it is a kind of."""

_SHOWN = 5
"""Examples of a kind."""


def fate_table(fates: dict[str, int]) -> Table:
    """What became of the tags, as a table of the report."""
    from tagwise.pages.page import Table

    total = max(sum(fates.values()), 1)
    rows = [(fate, count, f"{count / total:.1%}") for fate, count in fates.items() if count]
    return Table(columns=("fate of a tag", "tags", "share"), rows=rows, numeric=("share",))


def merges(fates: Fates, space: LabelSpace, most: int = 6) -> tuple[Merge, ...]:
    """The labels with the most spellings, the nine commonest spellings of each."""
    spellings: dict[int, list[tuple[int, str]]] = {}
    for raw, label, times in zip(fates.raw, fates.label_ids.tolist(), fates.occurrences.tolist(), strict=True):
        if label >= 0:
            spellings.setdefault(label, []).append((-times, raw))
    richest = sorted(spellings, key=lambda label: (-len(spellings[label]), label))[:most]
    return tuple((space.labels[label].key, tuple(raw for _, raw in sorted(spellings[label])[:9])) for label in richest)


def ambiguities(space: LabelSpace, lexicon: Lexicon | None, most: int = 6) -> tuple[Ambiguity, ...]:
    """The most frequent labels of several meanings."""
    if lexicon is None:
        return ()
    several = sorted((label for label in space.labels if label.ambiguous), key=lambda label: -label.pictures)
    return tuple((label.key, label.pictures, tuple(map(lexicon.kind, label.synsets))) for label in several[:most])


def ambiguity_lines(labels: int, examples: Collection[Ambiguity]) -> list[str]:
    """How many labels have several meanings, and some of them."""
    if not labels:
        return []
    have, stay = ("has", "stays") if labels == 1 else ("have", "stay")
    lines = ["", f"{counted(labels, 'label')} {have} several meanings and {stay} one label each, such as"]
    return lines + [
        f"  {printable(key, 30)}, {counted(pictures, 'picture')}: {printable(', '.join(meanings), 110)}"
        for key, pictures, meanings in examples
    ]


def alignment_names(alignment: Alignment) -> Mapping[str, Collection[str]]:
    """What is missing or doubtful in an alignment, by name."""
    return {
        "classes without a label": alignment.without_labels,
        "classes that the lexicon does not know": alignment.unknown,
        "classes of several meanings, all of them taken": alignment.ambiguous,
        "words that name several classes": alignment.shared,
    }


def covered_classes(alignment: Alignment) -> int:
    """Classes that have a label."""
    return alignment.classes - len(alignment.without_labels) - len(alignment.unknown)


def alignment_lines(alignment: Alignment) -> list[str]:
    """What an alignment kept and lost."""
    lines = ["", f"{covered_classes(alignment):,} of {alignment.classes:,} classes of the target have a label"]
    told = alignment_names(alignment).items()
    lines += [f"  {what}: {len(names):,} ({_some(names)})" for what, names in told if names]
    return [
        *lines,
        f"  lost: {counted(alignment.lost_words, 'word')} of the lexicon on {counted(alignment.lost_tags, 'tag')}",
    ]


def comparison_table(found: SpaceComparison, most: int = _SHOWN) -> Table:
    """An old and a new space side by side: how many labels, and the most frequent of each kind."""
    from tagwise.pages.page import Table

    rows: list[tuple[str, str, int | None, int | None]] = [("labels", "", found.old_labels, found.new_labels)]
    rows += [("in both", key, there, here) for key, there, here in found.shared[:most]]
    rows += [("gone", key, there, None) for key, there in found.gone[:most]]
    rows += [("new", key, None, here) for key, here in found.new[:most]]
    caption = (
        f"{counted(len(found.shared), 'label')} in both, {len(found.gone):,} gone, {len(found.new):,} new, "
        f"{len(found.merged):,} merged of several, {len(found.split):,} split; {found.moved_ids:,} have another id."
    )
    columns = ("label", "key", "pictures there", "pictures here")
    return Table(columns=columns, rows=rows, numeric=columns[2:], caption=caption)


def _some(names: Collection[str]) -> str:
    shown = ", ".join(printable(name, 30) for name in list(names)[:_SHOWN])
    return f"{shown}, ..." if len(names) > _SHOWN else shown
