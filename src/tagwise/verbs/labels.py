"""``tagwise labels``: raw tags into a label space, the fate of every tag, the law you get."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from tagwise.base.errors import UsageError
from tagwise.base.progress import counted, printable, say
from tagwise.verbs.label_files import read_target_classes, refuse_out, write_space
from tagwise.verbs.label_tables import (
    alignment_lines,
    ambiguities,
    ambiguity_lines,
    comparison_table,
    fate_table,
    merges,
)
from tagwise.verbs.laws import LawFacts, law_facts, law_table, refuse_wrong_law, report_law
from tagwise.verbs.lines import read_lines

if TYPE_CHECKING:
    from tagwise.corpus.table import Corpus
    from tagwise.pages.page import Report
    from tagwise.tags.alignment import Alignment, Target
    from tagwise.tags.comparison import SpaceComparison
    from tagwise.tags.fates import Labelling
    from tagwise.tags.law_report import LawReport
    from tagwise.tags.lexicon import Lexicon
    from tagwise.tags.space import LabelSpace

_REMEDIES = {
    "empty": "gather tags with letters or numbers",
    "denied": "shorten the --deny list",
    "number": "leave --drop-numbers away",
    "too short": "lower --min-length",
    "unknown": "give a --lexicon that knows them or, without --for, --unknown label",
    "too many senses": "raise --max-senses",
    "off target": "give --for a target that they are about",
    "not allowed": "put some of them on the --allow list",
    "too few owners": "lower --min-owners",
    "too few pictures": "lower --min-count",
}
"""What helps when a reason leaves no label; the top always leaves some."""


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
    ambiguous_labels: int = 0
    """Labels that have several meanings in the lexicon."""
    ambiguous: tuple[tuple[str, int, tuple[str, ...]], ...] = ()
    """The most frequent of them: key, pictures, each meaning with what it is a kind of."""
    alignment: Alignment | None = None
    """What aligning to a target kept and lost."""
    comparison: SpaceComparison | None = None
    """The space that was to be compared beside this one."""
    explained: str | None = None
    """What becomes of the tag that was asked for; then nothing was written, and what follows is empty."""
    laws: LawFacts = field(default_factory=dict)
    """Statistics of the natural law and of the chosen one."""
    space_file: Path | None = None
    fates_file: Path | None = None
    """CSV: one line for each distinct raw tag."""
    page_file: Path | None = None
    """The same for people, with the laws and pictures of some labels."""

    def __str__(self) -> str:
        from tagwise.pages.tables import text_table

        if self.explained is not None:
            return self.explained
        lines = [
            f"{counted(self.labels, 'label')} from {counted(self.tags, 'tag')}; {self.labelled_pictures:,} of "
            f"{counted(self.pictures, 'picture')} {'has' if self.labelled_pictures == 1 else 'have'} a label",
            "",
            text_table(fate_table(self.fates)),
        ]
        if self.merges:
            lines += ["", *(f"  {printable(key, 30)} <- {printable(', '.join(raw), 90)}" for key, raw in self.merges)]
        lines += ambiguity_lines(self.ambiguous_labels, self.ambiguous)
        if self.alignment:
            lines += alignment_lines(self.alignment)
        if self.comparison:
            lines += ["", text_table(comparison_table(self.comparison))]
        if self.space_file:
            lines += ["", text_table(law_table(self.laws)), "", f"label space: {self.space_file}"]
            lines += [f"every tag's fate: {self.fates_file}", f"page: {self.page_file}"]
        return "\n".join(lines)


def labels(
    corpus: Path | str,
    out: Path | str | None = None,
    *,
    min_count: int = 1,
    top: int | None = None,
    aliases: Path | str | None = None,
    deny: Path | str | None = None,
    allow: Path | str | None = None,
    min_length: int | None = None,
    min_owners: int = 1,
    drop_numbers: bool = False,
    plurals: bool = True,
    lexicon: Path | str | None = None,
    for_: Path | str | None = None,
    rule: Literal["signature", "target", "union", "keys"] | None = None,
    max_senses: int | None = None,
    unknown: Literal["drop", "label"] = "drop",
    extend: Path | str | None = None,
    compare: Path | str | None = None,
    law: str = "sqrt",
    threshold: float | str | None = None,
    explain: str | None = None,
    engine: Literal["duckdb", "polars", "pyspark"] | None = None,
    memory: float | None = None,
    spill: Path | str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> LabelsResult:
    """Makes a label space of a corpus's tags, and shows the law that sampling will give.

    Args:
        corpus: What ``gather`` wrote.
        out: The label space, a JSON file; beside it every tag's fate goes into ``<out>.fates.csv``, and a page for
            people into the same name with ``.html``. Only to explain a tag or to compare spaces none is needed.
        min_count: Pictures that a label needs.
        top: Labels kept, the most frequent first.
        aliases: A file of lines ``alias<TAB>tag``, or a CSV table with the columns tag and aliases.
        deny: A file of tags, one a line, that are never labels; words, not meanings: their synonyms stay.
        allow: A file of tags, one a line, that alone are labels, with all that is counted as them.
        min_length: Characters that a tag needs; by default 1, with a lexicon 3, for a target 2.
        min_owners: Distinct people who must have said it.
        drop_numbers: Discard tags of numbers only.
        plurals: Let a plural join its singular: the one that the lexicon knows, or one at least as frequent.
        lexicon: What merges synonyms: a folder of WordNet's files, nltk's wordnet.zip, WN-LMF (.xml, .xml.gz), or a
            table of synset, names and parents.
        for_: A target: only labels that are in or under one of its classes in the lexicon. A list of synsets
            (n02132136) or nouns, a table with a column of them, or a target whose classes are called so.
        rule: Which words of the lexicon are one label. signature, the default: those with the same meanings; target,
            the default for a target: with the same meanings there; union: with a meaning in common, by chains; keys:
            none.
        max_senses: Meanings that a tag may have in the lexicon.
        unknown: What becomes of tags that the lexicon does not know: drop, or label, a label of their own.
        extend: A label space whose labels keep their ids; new ones stand behind them.
        compare: A label space to set beside this one.
        law: How pictures would be drawn: natural, sqrt, uniform, power:0.3, cap, raked, raked:uniform or raked:0.3.
        threshold: Pictures that a label needs not to be repeated, or may have before the cap drops some; or
            tail=0.3, quantile=0.2, or length=1.5, the default: an epoch half as long again as the corpus.
        explain: Say what becomes of this raw tag, and write nothing.
        engine: What counts the tags; by default numpy up to a million of them, beyond that duckdb.
        memory: GiB that the engine may use.
        spill: A folder for what the engine's memory does not hold; by default beside ``out``. A
            stopped command goes on from what is finished there.
        workers: Threads of the engine.
        overwrite: Replace another label space in ``out``.

    Raises:
        UsageError: No corpus, no ``out``, another label space in ``out`` or something else beside it, wrong aliases,
            law or threshold; a lexicon, target or label space that cannot be used; another process writes there.
        DataRefused: No label is left.
        TagwiseError: Neither memory nor disk holds the tags.
    """
    from tagwise.corpus.table import Corpus
    from tagwise.tags.alignment import align
    from tagwise.tags.key import canonical_key
    from tagwise.tags.labelling import build_label_space
    from tagwise.tags.lexicon_files import open_lexicon
    from tagwise.tags.merging import read_aliases
    from tagwise.tags.space import LabelOptions, LabelSpace

    if out is None and explain is None and compare is None:
        raise UsageError(
            "The label space needs a file; give -o SPACE.json, or --explain TAG or --compare SPACE, which need none."
        )
    refuse_wrong_law(law, threshold)
    if out is not None and explain is None:
        refuse_out(Path(out), overwrite)
    options = LabelOptions(
        min_count=min_count,
        top=top,
        min_length=min_length,
        min_owners=min_owners,
        drop_numbers=drop_numbers,
        plurals=plurals,
        rule=rule,
        max_senses=max_senses,
        unknown=unknown,
    )
    words = open_lexicon(Path(lexicon)) if lexicon else None
    if for_ is not None and words is None:
        raise UsageError("A target's classes are looked up in a lexicon; give --lexicon beside --for.")
    target = align(Path(for_).name, read_target_classes(Path(for_)), words) if for_ is not None and words else None
    other = LabelSpace.load(Path(compare)) if compare else None
    base = LabelSpace.load(Path(extend)) if extend else None
    alias_of = read_aliases(Path(aliases)) if aliases else {}
    denied = read_lines(deny, "--deny") if deny else ()
    if deny and not any(map(canonical_key, denied)):
        say(f"--deny {deny} holds no tag, so nothing is denied.")
    allowed = read_lines(allow, "--allow") if allow else ()
    if allow and not any(map(canonical_key, allowed)):
        raise UsageError(
            f"--allow {allow} holds no tag that could be a label; write some, one a line, or leave it away."
        )
    opened = Corpus.open(Path(corpus))
    with ExitStack() as stack:
        work = _work_folder(stack, spill, None if explain is not None else out)
        tags = stack.enter_context(opened.tags(work, engine=engine, memory=memory, workers=workers))
        labelling = build_label_space(
            tags,
            options,
            aliases=alias_of,
            deny=denied,
            allow=allowed,
            lexicon=words,
            target=target,
            base=base,
        )
        result = _result(labelling, words, target, other)
        if explain is not None:
            return replace(result, explained=labelling.explain(explain))
        if out is None:
            return result
        _refuse_empty(labelling.space)
        report = report_law(labelling.assignment, labelling.space.counts, labelling.space, law, threshold)
        page = _page(result, labelling, report, opened, Path(out), words, Path(compare).name if compare else "")
        fates_file, page_file = write_space(labelling.space, labelling.fates, page, Path(out), overwrite)
        return replace(result, laws=law_facts(report), space_file=Path(out), fates_file=fates_file, page_file=page_file)


def _work_folder(stack: ExitStack, spill: Path | str | None, out: Path | str | None) -> Path:
    """Where an engine may work; what it leaves when it is stopped is found again by the same command."""
    if out is None and spill is None:
        return Path(stack.enter_context(TemporaryDirectory())) / "tags"
    name = f"{Path(out).name if out is not None else 'tags'}.spill"
    return (Path(spill) if spill is not None else Path(out or ".").parent) / name


def _result(
    labelling: Labelling, lexicon: Lexicon | None, target: Target | None, other: LabelSpace | None
) -> LabelsResult:
    from tagwise.tags.alignment import report_alignment
    from tagwise.tags.comparison import compare_spaces
    from tagwise.tags.laws import labelled_pictures

    space = labelling.space
    return LabelsResult(
        labels=len(space),
        pictures=space.pictures,
        labelled_pictures=labelled_pictures(labelling.assignment.offsets),
        tags=space.tags,
        fates=space.fates,
        merges=merges(labelling.fates, space),
        ambiguous_labels=sum(label.ambiguous for label in space.labels),
        ambiguous=ambiguities(space, lexicon),
        alignment=report_alignment(labelling, target) if target else None,
        comparison=compare_spaces(other, space) if other else None,
    )


def _page(
    result: LabelsResult,
    labelling: Labelling,
    laws: LawReport,
    corpus: Corpus,
    out: Path,
    lexicon: Lexicon | None,
    compared: str,
) -> Report:
    from tagwise.verbs.label_page import PageFacts, label_report
    from tagwise.verbs.label_samples import sample_blocks

    return label_report(
        PageFacts(
            corpus=corpus.folder.resolve().name,
            space_file=out.name,
            labelling=labelling,
            laws=laws,
            labelled_pictures=result.labelled_pictures,
            lexicon=lexicon,
            alignment=result.alignment,
            comparison=result.comparison,
            compared=compared,
            samples=sample_blocks(corpus, labelling.space, labelling.assignment),
        )
    )


def _refuse_empty(space: LabelSpace) -> None:
    from tagwise.base.errors import DataRefused

    if len(space):
        return
    if not space.tags:
        raise DataRefused("The corpus has no tags, so there is no label; gather pictures with tags.")
    reasons = ", ".join(f"{count:,} {fate}" for fate, count in space.fates.items() if count)
    remedy = _REMEDIES[max(space.fates, key=lambda fate: space.fates[fate])]
    raise DataRefused(f"No label is left of {counted(space.tags, 'tag')} ({reasons}); {remedy}.")
