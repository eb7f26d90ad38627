"""``tagwise labels``: raw tags into a label space, the fate of every tag, the law you get."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tagwise.base.errors import UsageError
from tagwise.base.progress import printable, say
from tagwise.verbs.lines import read_lines

if TYPE_CHECKING:
    from tagwise.pages.page import Table
    from tagwise.tags.labelling import Fates
    from tagwise.tags.law_report import LawReport, SampledLaws
    from tagwise.tags.laws import Law
    from tagwise.tags.space import LabelSpace

_FATE_COLUMNS = ("raw", "key", "fate", "counted_as", "label", "times")


@dataclass(frozen=True, kw_only=True)
class LabelsResult:
    """A label space and what a sampling law makes of it."""

    labels: int
    pictures: int
    labelled_pictures: int
    tags: int
    fates: dict[str, int]
    """Tags by what became of them; they sum to ``tags``."""
    merges: tuple[tuple[str, tuple[str, ...]], ...]
    """Some labels with the other spellings that became them."""
    explained: str | None = None
    """What becomes of the tag that was asked for; then nothing was written, and what follows is empty."""
    laws: dict[str, dict[str, float | str | None]] = field(default_factory=dict)
    """Statistics of the natural law and of the chosen one."""
    space_file: Path | None = None
    fates_file: Path | None = None
    """CSV: one line for each distinct raw tag."""

    def __str__(self) -> str:
        from tagwise.pages.tables import text_table

        if self.explained is not None:
            return self.explained
        lines = [
            f"{self.labels:,} labels from {self.tags:,} tags; "
            f"{self.labelled_pictures:,} of {self.pictures:,} pictures have a label",
            "",
            text_table(fate_table(self.fates)),
        ]
        if self.merges:
            lines += ["", *(f"  {printable(key, 30)} <- {printable(', '.join(raw), 90)}" for key, raw in self.merges)]
        lines += ["", text_table(law_table(self.laws)), "", f"label space: {self.space_file}"]
        return "\n".join([*lines, f"every tag's fate: {self.fates_file}"])


def labels(
    corpus: Path | str,
    out: Path | str | None = None,
    *,
    min_count: int = 1,
    top: int | None = None,
    aliases: Path | str | None = None,
    deny: Path | str | None = None,
    min_length: int = 1,
    min_owners: int = 1,
    drop_numbers: bool = False,
    plurals: bool = True,
    law: Literal["natural", "sqrt", "uniform"] = "sqrt",
    threshold: float | None = None,
    explain: str | None = None,
    overwrite: bool = False,
) -> LabelsResult:
    """Makes a label space of a corpus's tags, and shows the law that sampling will give.

    Args:
        corpus: What ``gather`` wrote.
        out: The label space, a JSON file; every tag's fate goes into ``<out>.fates.csv`` beside it. Only to explain a
            tag none is needed.
        min_count: Pictures that a label needs.
        top: Labels kept, the most frequent first.
        aliases: A file of lines ``alias<TAB>tag``, or a CSV table with the columns tag and aliases.
        deny: A file of tags, one a line, that are never labels.
        min_length: Characters that a tag needs.
        min_owners: Distinct people who must have said it.
        drop_numbers: Discard tags of numbers only.
        plurals: Let a plural join its singular where that is at least as frequent.
        law: How pictures would be repeated: natural, sqrt or uniform.
        threshold: Pictures that a label needs not to be repeated; by default an epoch is half as
            long again as the corpus.
        explain: Say what becomes of this raw tag, and write nothing.
        overwrite: Replace another label space in ``out``.

    Raises:
        UsageError: No corpus, no ``out``, another label space in ``out`` or something else beside it, wrong aliases,
            law or threshold.
        DataRefused: No label is left.
    """
    import numpy as np

    from tagwise.corpus.table import Corpus
    from tagwise.tags.labelling import build_label_space
    from tagwise.tags.law_report import report_laws
    from tagwise.tags.merging import read_aliases
    from tagwise.tags.space import LabelOptions

    if out is None and explain is None:
        raise UsageError("The label space needs a file; give -o SPACE.json, or --explain TAG, which writes nothing.")
    options = LabelOptions(
        min_count=min_count,
        top=top,
        min_length=min_length,
        min_owners=min_owners,
        drop_numbers=drop_numbers,
        plurals=plurals,
    )
    labelling = build_label_space(
        Corpus.open(Path(corpus)).tag_table(),
        options,
        aliases=read_aliases(Path(aliases)) if aliases else {},
        deny=read_lines(deny, "--deny") if deny else (),
    )
    space, assignment = labelling.space, labelling.assignment
    result = LabelsResult(
        labels=len(space),
        pictures=space.pictures,
        labelled_pictures=int(np.count_nonzero(np.diff(assignment.offsets))),
        tags=space.tags,
        fates=space.fates,
        merges=_merges(labelling.fates, space),
        explained=labelling.explain(explain) if explain is not None else None,
    )
    if out is None or explain is not None:
        return result
    _refuse_empty(space)
    out = Path(out)
    fates_file = out.with_name(f"{out.name}.fates.csv")
    chosen = choose_threshold(assignment.ids, assignment.offsets, space.counts, law, threshold)
    report = report_laws(assignment.ids, assignment.offsets, space.counts, law, chosen)
    _refuse_foreign(fates_file)
    _save(space, out, overwrite)
    _save_fates(labelling.fates, fates_file)
    return replace(result, laws=law_facts(report), space_file=out, fates_file=fates_file)


def choose_threshold(ids: object, offsets: object, counts: object, law: Law, threshold: float | None) -> float | None:
    """The threshold given, or the one that makes an epoch half as long again as the labelled pictures."""
    from tagwise.tags.laws import rarest_counts, threshold_for_length

    if law == "natural" or threshold is not None:
        return threshold
    return threshold_for_length(counts, rarest_counts(ids, offsets, counts), law)  # type: ignore[arg-type]


def law_facts(report: LawReport) -> dict[str, dict[str, float | str | None]]:
    """The statistics of a law report as plain values."""
    facts = {"natural": _facts(report.natural)}
    if report.chosen.law != "natural":
        facts[report.chosen.law] = _facts(report.chosen)
    return facts


def _facts(laws: SampledLaws) -> dict[str, float | str | None]:
    return {
        "threshold": laws.threshold,
        "epoch_length": laws.epoch_length,
        "largest_factor": laws.largest_factor,
        "effective_sample_size": laws.effective_sample_size,
        "effective_labels": laws.mass_statistics.effective_labels,
        "head_fraction": laws.mass_statistics.head_fraction,
        "largest_fraction": laws.mass_statistics.largest_fraction,
        "rank_slope": laws.mass_statistics.rank_slope,
        "total_variation": laws.mass_statistics.total_variation,
        "intended_effective_labels": laws.intended_statistics.effective_labels,
    }


def fate_table(fates: dict[str, int]) -> Table:
    """What became of the tags, as a table of the report."""
    from tagwise.pages.page import Table

    total = max(sum(fates.values()), 1)
    rows = [(fate, count, f"{count / total:.1%}") for fate, count in fates.items() if count]
    return Table(columns=("fate of a tag", "tags", "share"), rows=rows, numeric=("share",))


def law_table(laws: dict[str, dict[str, float | str | None]]) -> Table:
    """The laws side by side, as a table of the report."""
    from tagwise.pages.page import Table

    names = {
        "epoch_length": "draws in an epoch",
        "threshold": "threshold, pictures",
        "largest_factor": "most draws of one picture",
        "effective_sample_size": "effective sample size",
        "effective_labels": "effective labels",
        "intended_effective_labels": "effective labels intended",
        "head_fraction": "share of the top 1 % of labels",
        "largest_fraction": "share of the commonest label",
        "rank_slope": "slope of share on rank",
        "total_variation": "distance to the intended law",
    }
    rows = [[title, *(_figure(facts[name]) for facts in laws.values())] for name, title in names.items()]
    return Table(columns=("what a softmax sees", *laws), rows=rows, numeric=tuple(laws))


def _figure(value: float | str | None) -> str:
    if not isinstance(value, int | float):
        return "none" if value is None else value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _refuse_empty(space: LabelSpace) -> None:
    from tagwise.base.errors import DataRefused

    if not len(space):
        reasons = ", ".join(f"{count:,} {fate}" for fate, count in space.fates.items() if count)
        raise DataRefused(f"No label is left of {space.tags:,} tags ({reasons}); lower --min-count.")


def _save(space: LabelSpace, out: Path, overwrite: bool) -> None:
    from tagwise.tags.space import LabelSpace

    if out.is_dir():
        raise UsageError(f"{out} is a folder; give -o a file such as {out / 'space.json'}.")
    if out.is_file():
        there = LabelSpace.load(out)  # any other file is refused: --overwrite replaces label spaces alone
        if there.to_json() != space.to_json() and not overwrite:
            raise UsageError(f"{out} holds another label space; give --overwrite or another -o.")
        if there.to_json() == space.to_json():
            say(f"{out} is already this very label space; nothing to do.")
            return
    space.save(out)


def _refuse_foreign(fates_file: Path) -> None:
    """Whatever is no table of fates is somebody else's, and stays."""
    if not fates_file.exists():
        return
    with suppress(OSError), fates_file.open("rb") as handle:
        if handle.readline(1000).decode("utf-8", "replace").strip() == ",".join(_FATE_COLUMNS):
            return
    raise UsageError(f"{fates_file}, where the fates of the tags go, holds something else; give another -o.")


def _save_fates(fates: Fates, path: Path) -> None:
    import csv
    import io

    from tagwise.base.files import harmless, write_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_FATE_COLUMNS)
    columns = (fates.raw, fates.keys, fates.fates, fates.targets, fates.label_ids.tolist(), fates.occurrences.tolist())
    for raw, key, fate, target, label, times in zip(*columns, strict=True):
        writer.writerow((harmless(raw), key, fate, target, "" if label < 0 else label, times))
    write_text(path, text.getvalue())


def _merges(fates: Fates, space: LabelSpace, most: int = 6) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The labels with the most spellings, their commonest spellings first."""
    spellings: dict[int, list[tuple[int, str]]] = {}
    for raw, label, times in zip(fates.raw, fates.label_ids.tolist(), fates.occurrences.tolist(), strict=True):
        if label >= 0:
            spellings.setdefault(label, []).append((-times, raw))
    richest = sorted(spellings, key=lambda label: (-len(spellings[label]), label))[:most]
    return tuple((space.labels[label].key, tuple(raw for _, raw in sorted(spellings[label])[:9])) for label in richest)
