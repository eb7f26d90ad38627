"""What ``labels`` says of a label space, as tables and lines; the page shows the same tables."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from tagwise.base.progress import printable

if TYPE_CHECKING:
    from tagwise.pages.page import Table
    from tagwise.tags.alignment import Alignment
    from tagwise.tags.comparison import SpaceComparison

_SHOWN = 5
"""Examples of a kind."""


def fate_table(fates: dict[str, int]) -> Table:
    """What became of the tags, as a table of the report."""
    from tagwise.pages.page import Table

    total = max(sum(fates.values()), 1)
    rows = [(fate, count, f"{count / total:.1%}") for fate, count in fates.items() if count]
    return Table(columns=("fate of a tag", "tags", "share"), rows=rows, numeric=("share",))


def ambiguity_lines(labels: int, examples: Collection[tuple[str, int, tuple[str, ...]]]) -> list[str]:
    """How many labels have several meanings, and some of them."""
    if not labels:
        return []
    lines = ["", f"{labels:,} labels have several meanings and stay one label each, such as"]
    return lines + [
        f"  {printable(key, 30)}, {pictures:,} pictures: {printable(', '.join(meanings), 110)}"
        for key, pictures, meanings in examples
    ]


def alignment_lines(alignment: Alignment) -> list[str]:
    """What an alignment kept and lost."""
    covered = alignment.classes - len(alignment.without_labels) - len(alignment.unknown)
    told = {
        "classes without a label": alignment.without_labels,
        "classes that the lexicon does not know": alignment.unknown,
        "classes of several meanings, all of them taken": alignment.ambiguous,
        "words that name several classes": alignment.shared,
    }
    lines = ["", f"{covered:,} of {alignment.classes:,} classes of the target have a label"]
    lines += [f"  {what}: {len(names):,} ({_some(names)})" for what, names in told.items() if names]
    return [*lines, f"  lost: {alignment.lost_words:,} words of the lexicon on {alignment.lost_tags:,} tags"]


def comparison_table(found: SpaceComparison) -> Table:
    """An old and a new space side by side: how many labels, and the most frequent of each kind."""
    from tagwise.pages.page import Table

    rows: list[tuple[str, str, int | None, int | None]] = [("labels", "", found.old_labels, found.new_labels)]
    rows += [("in both", key, there, here) for key, there, here in found.shared[:_SHOWN]]
    rows += [("gone", key, there, None) for key, there in found.gone[:_SHOWN]]
    rows += [("new", key, None, here) for key, here in found.new[:_SHOWN]]
    caption = (
        f"{len(found.shared):,} labels in both, {len(found.gone):,} gone, {len(found.new):,} new, "
        f"{len(found.merged):,} merged of several, {len(found.split):,} split; {found.moved_ids:,} have another id."
    )
    columns = ("label", "key", "pictures there", "pictures here")
    return Table(columns=columns, rows=rows, numeric=columns[2:], caption=caption)


def _some(names: Collection[str]) -> str:
    shown = ", ".join(printable(name, 30) for name in list(names)[:_SHOWN])
    return f"{shown}, ..." if len(names) > _SHOWN else shown
