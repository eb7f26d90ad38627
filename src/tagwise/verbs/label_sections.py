"""The sections of a label space's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tagwise.pages import charts, frequencies
from tagwise.pages.page import Block, Cell, Kind, Note, Section, Table
from tagwise.pages.tables import cut
from tagwise.verbs.label_tables import alignment_names, ambiguities, comparison_table, covered_classes, merges
from tagwise.verbs.laws import law_curves, law_facts, law_tables, raking_lines

if TYPE_CHECKING:
    from tagwise.tags.alignment import Alignment
    from tagwise.tags.comparison import SpaceComparison
    from tagwise.tags.fates import Fates
    from tagwise.tags.raking import Raking
    from tagwise.tags.space import LabelSpace
    from tagwise.verbs.label_page import PageFacts

_SHOWN = 12
"""Rows of a table of examples."""
_ENDS = 10
"""Labels of the head, of the tail, and of those that miss their share."""
_EXAMPLES = 8
"""Of a kind."""
_TAIL_LOWS = (1, 2, 6, 11, 21, 51, 101, 1001)
"""Where the columns of the histogram begin, in pictures."""


def fates_section(facts: PageFacts) -> Section:
    """What became of the tags, and why."""
    space, fates = facts.space, facts.labelling.fates
    distinct, examples, why = Counter(fates.fates), _examples(fates), _reasons(space)
    rows = [
        (f"{fate}: {why[fate]}", _joined(examples[fate]), count, distinct[fate])
        for fate, count in space.fates.items()
        if count
    ]
    columns = ("fate", "commonest", "tags", "distinct")
    return Section(
        heading="What was kept and lost",
        text=[f"Every tag has one fate; {facts.space_file}.fates.csv lists them all."],
        blocks=[
            charts.bar_chart(space.fates, caption="Tags by their fate.", unit="tags"),
            Table(columns=columns, rows=rows, caption="The fates, with the tags that met them most often."),
        ],
    )


def _examples(fates: Fates) -> dict[str, list[str]]:
    """The commonest tags of each fate."""
    found: dict[str, list[str]] = {}
    for place in (-fates.occurrences).argsort(kind="stable").tolist():
        shown = found.setdefault(fates.fates[place], [])
        if len(shown) < _EXAMPLES:
            shown.append(fates.raw[place])
    return found


def _reasons(space: LabelSpace) -> dict[str, str]:
    options = space.options
    known = cut(space.lexicon.version, 40) if space.lexicon else "the lexicon"
    return {
        "label": "says the label itself",
        "alias": "an alias of the label",
        "plural": "its plural",
        "synonym": f"a synonym in {known}",
        "as before": "as the extended space has it",
        "empty": "no letter or number is left",
        "denied": "on the deny list",
        "number": "a number",
        "too short": f"fewer than {options.min_length} characters",
        "unknown": f"{known} does not know it",
        "too many senses": f"more than {options.max_senses} meanings in {known}",
        "off target": f"in or under no class of {cut(space.target.name, 40) if space.target else 'the target'}",
        "not allowed": "not on the allow list",
        "too few owners": f"said by fewer than {options.min_owners} people",
        "too few pictures": f"on fewer than {options.min_count} pictures",
        "below the top": f"not among the {options.top} most frequent",
    }


def laws_section(facts: PageFacts) -> Section:
    """The law asked for beside those that come out."""
    chosen = facts.laws.chosen
    law, names = chosen.drawn.law, [label.spelling for label in facts.space.labels]
    threshold, raking = chosen.drawn.threshold, chosen.drawn.raking
    pictures = "" if threshold is None or raking else f" with the threshold {threshold:,.4g} pictures"
    text = [
        f"The law {law}{pictures} draws {chosen.epoch_length:,.0f} pictures in an epoch of {chosen.pictures:,} that "
        "have a label. Natural is the corpus as it is. Intended is what the law asks of each label by itself. But a "
        "picture brings all of its labels along, so that other shares are drawn; and a softmax sees others again, "
        "because each of a picture's k labels counts 1/k."
    ]
    caption = "The share of each label in the targets of a softmax, as the tags are and as the law draws them."
    missed = [] if law == "natural" else [_missed(facts)]
    return Section(
        heading="The law",
        text=text,
        blocks=[
            *([Note(text=raking_lines(law, raking, names)[0], kind=_kind(raking))] if raking else []),
            charts.law_chart(names, law_curves(facts.laws), caption=caption),
            *law_tables(law_facts(facts.laws)),
            *missed,
        ],
    )


def _kind(raking: Raking) -> Kind:
    return "good" if raking.status == "interior" else "bad"


def _missed(facts: PageFacts) -> Table:
    """Labels whose share is furthest from the intended one."""
    natural, chosen = facts.laws.natural, facts.laws.chosen
    furthest = (-abs(chosen.mass - chosen.intended)).argsort(kind="stable")[:_ENDS]
    laws = {
        "as the tags are": natural.mass,
        "intended": chosen.intended,
        "drawn": chosen.occurrence,
        "as a softmax sees": chosen.mass,
    }
    rows = [
        (facts.space.labels[label].spelling, *(f"{shares[label]:.2%}" for shares in laws.values()))
        for label in furthest.tolist()
    ]
    caption = "Labels whose share is furthest from the intended one."
    return Table(columns=("label", *laws), rows=rows, numeric=tuple(laws), caption=caption)


def tail_section(space: LabelSpace) -> Section:
    """How many labels are rare, and which."""
    ranked = sorted(enumerate(space.labels), key=lambda pair: -pair[1].pictures)
    fewest, most = ranked[-1][1].pictures, ranked[0][1].pictures
    lows = [*([] if fewest else [0]), *(low for low in _TAIL_LOWS if low == 1 or low <= most)]
    bins = {
        _range(low, high): sum(low <= label.pictures < high for label in space.labels)
        for low, high in zip(lows, [*lows[1:], float("inf")], strict=True)
    }
    columns = ("label", "mostly written", "pictures", "id")
    rows = [(label.key, label.spelling, label.pictures, number) for number, label in ranked]
    return Section(
        heading="Head and tail",
        text=[
            "A label on few pictures is hard to learn, and no law makes new pictures of it: it repeats those there are."
        ],
        blocks=[
            frequencies.histogram(
                bins, caption="Labels by how many pictures they are on.", measured="pictures", unit="labels"
            ),
            Table(columns=columns, rows=rows[:_ENDS], caption="The most frequent labels."),
            *([Table(columns=columns, rows=rows[_ENDS:][-_ENDS:], caption="The rarest.")] if rows[_ENDS:] else []),
        ],
    )


def _range(low: int, high: float) -> str:
    if high == float("inf"):
        return f"{low:,} or more"
    return f"{low:,}" if high == low + 1 else f"{low:,}\N{EN DASH}{int(high) - 1:,}"


def merged_section(facts: PageFacts) -> Section:
    """Labels of several spellings."""
    space, fates = facts.space, facts.labelling.fates
    spellings = Counter(label for label in fates.label_ids.tolist() if label >= 0)
    several = sum(count > 1 for count in spellings.values())
    ids = {label.key: number for number, label in enumerate(space.labels)}
    rows = [
        (key, _joined(raw), spellings[ids[key]])
        for key, raw in merges(fates, space, most=_SHOWN)
        if spellings[ids[key]] > 1
    ]
    table = Table(columns=("label", "commonest", "spellings"), rows=rows, caption="The labels of most spellings.")
    return Section(
        heading="Merged spellings",
        text=[f"Labels said in several spellings, which count as one: {several:,} of {len(space):,}."],
        blocks=[table] if rows else [],
    )


def ambiguous_section(facts: PageFacts) -> Section:
    """Labels of several meanings."""
    space = facts.space
    count = sum(label.ambiguous for label in space.labels)
    rows = [
        (key, _joined(meanings, most=4), pictures)
        for key, pictures, meanings in ambiguities(space, facts.lexicon, _SHOWN)
    ]
    table = Table(
        columns=("label", "meanings, each with what it is a kind of", "pictures"),
        rows=rows,
        caption="The most frequent of them.",
    )
    return Section(
        heading="Ambiguous labels",
        text=[
            f"Labels of several meanings in {space.lexicon and space.lexicon.version}: {count:,} of {len(space):,}. "
            "Each stays one label: which meaning a picture shows nobody knows by the tag."
        ],
        blocks=[table] if rows else [],
    )


def aligned_section(space: LabelSpace, alignment: Alignment) -> Section:
    """What aligning to a target kept and lost."""
    told = alignment_names(alignment).items()
    rows = [(what, _joined(list(names)), len(names)) for what, names in told if names]
    return Section(
        heading="Aligned to the target",
        text=[
            f"Labels are in or under the classes of {space.target and space.target.name}; "
            f"{covered_classes(alignment):,} of {alignment.classes:,} classes have one. Lost: "
            f"{alignment.lost_words:,} words of the lexicon, on {alignment.lost_tags:,} tags."
        ],
        blocks=[Table(columns=("what", "such as", "how many"), rows=rows)] if rows else [],
    )


def extended_section(space: LabelSpace) -> Section:
    """What is new to the space that is extended."""
    held = space.base.labels if space.base else 0
    rows = [(label.key, label.pictures, number) for number, label in enumerate(space.labels[held:], start=held)]
    table = Table(columns=("label", "pictures", "id"), rows=rows[:_SHOWN], caption="The most frequent of the new.")
    return Section(
        heading="Extended",
        text=[f"Labels of the space that is extended, with the ids that they had: {held:,}. New: {len(rows):,}."],
        blocks=[table] if rows else [],
    )


def compared_section(found: SpaceComparison, name: str) -> Section:
    """The space that was to be compared beside this one."""
    table = comparison_table(found, most=_EXAMPLES)
    changed = {"merged": found.merged, "split": found.split}
    rows: list[tuple[Cell, ...]] = [
        (what, key, _joined(others)) for what, pairs in changed.items() for key, others in pairs[:_SHOWN]
    ]
    other = Table(columns=("what", "label", "labels of the other space"), rows=rows, caption="Merged and split.")
    return Section(
        heading="Beside another space",
        text=[f"There is {name}, here is this one. A label is the same if it has a key in common."],
        blocks=[table, *([other] if rows else [])],
    )


def samples_section(samples: Sequence[Block]) -> Section:
    """Pictures of some labels."""
    heading = "Pictures of labels"
    if not samples:
        return Section(heading=heading, text=["The corpus holds no pictures."])
    text = "Drawn with equal chance. A label whose pictures have nothing to be seen in common will teach little."
    return Section(heading=heading, text=[text], blocks=samples)


def _joined(words: Sequence[str], most: int = _SHOWN) -> str:
    more = [f"{len(words) - most:,} more"] if len(words) > most else []
    return " \N{MIDDLE DOT} ".join([*(cut(word, 60) for word in words[:most]), *more])
