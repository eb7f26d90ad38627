"""``tagwise models``: the published weights and the designs a person chooses from, with what they cost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from tagwise.base.errors import unknown
from tagwise.base.views import View

if TYPE_CHECKING:
    from tagwise.localise.released import Released
    from tagwise.nets.weights import Weights
    from tagwise.pages.page import Table

_PIPE_COLUMNS = 200
_TITLES = {"imagenet1k": "ImageNet-1k, validation pictures", "cifar10": "CIFAR-10, test pictures"}
_LEGEND = (
    "mult-adds and activations (float32): of one picture at the weights' own size",
    "view: 224 of 256 is the middle of a shorter side of 256; of 88.9% is that part, resized",
)


@dataclass(frozen=True, kw_only=True)
class DesignFacts:
    """A design and what it costs at one size of picture."""

    name: str
    """What ``create_model`` takes; of weights also what ``load`` takes."""
    design: str
    resolution: int
    """Side of the square picture that the costs are of, in pixels."""
    parameters: int
    macs: int
    """Multiply-adds of one picture's forward pass."""
    activation_bytes: int
    """Outputs of one picture's convolutions, norms and linear layers, in float32."""


@dataclass(frozen=True, kw_only=True)
class WeightsFacts(DesignFacts):
    """Published weights, with the design's costs at their own view."""

    label_set: str
    """``imagenet1k`` or ``cifar10``."""
    top1: float
    """Percent, as the publisher says."""
    top5: float | None
    """Percent."""
    measured_by: str
    """Whose number it is."""
    view: View
    """How the pictures were shown for it."""
    licence: str
    who: str
    """Who trained them."""
    url: str
    sha256_prefix: str
    scores: tuple[str, ...]
    """Every accuracy that somebody published of this file, in words."""
    aliases: tuple[str, ...]
    """Other libraries' names."""
    note: str


@dataclass(frozen=True, kw_only=True)
class LocatingFacts:
    """A detector or segmenter of torchvision."""

    name: str
    """What ``evaluate``, ``predict``, ``export`` and ``train --head ... --from`` take."""
    head: str
    design: str
    """Of its backbone."""
    published: str
    """Its scores, in words."""
    url: str
    sha256_prefix: str


@dataclass(frozen=True, kw_only=True)
class ModelsResult:
    """Published weights, and designs that have none, both from the cheapest on."""

    weights: tuple[WeightsFacts, ...]
    designs: tuple[DesignFacts, ...]
    locating: tuple[LocatingFacts, ...] = ()
    """What tells where things are."""

    def __str__(self) -> str:
        width = shutil.get_terminal_size((_PIPE_COLUMNS, 0)).columns
        lines: list[str] = []
        for label_set, title in _TITLES.items():
            rows = [row for row in self.weights if row.label_set == label_set]
            lines += [title, *_fitting(rows, _WEIGHTS_COLUMNS, width), ""] if rows else []
        if self.designs:
            lines += ["Designs without weights in this table", *_fitting(self.designs, _DESIGN_COLUMNS, width), ""]
        if self.locating:
            lines += ["Detectors and segmenters", *_fitting(self.locating, _LOCATING_COLUMNS, width), ""]
        lines += [f"{row.name}: {row.note}" for row in self.weights if row.note]
        return "\n".join([*lines, *_LEGEND])


def models(pattern: str = "*") -> ModelsResult:
    """Lists published weights and designs: size, cost, accuracy and whose number it is, view, licence.

    Weights come before the designs that have none, in both the cheapest first; of equal cost the more
    accurate. Numbers are comparable only under like views, and the publisher's own is shown.

    Args:
        pattern: A name, another library's name, the last part of a name (wsl), any other part, or a
            shell pattern (``"resnext101*"``). A design's name stands for all its weights; a free name
            such as resnext38_24x10d is counted when asked.

    Raises:
        UsageError: Nothing has such a name; the nearest are given.
    """
    from tagwise.localise.released import RELEASED
    from tagwise.nets.cost_table import usual_sight
    from tagwise.nets.designs import ALIASES, DESIGNS, find_design
    from tagwise.nets.weights import WEIGHTS

    names = {row.name: (row.name, row.design, row.tag, *row.aliases) for row in WEIGHTS}
    names |= {name: (name,) for name in RELEASED}
    published = {row.design for row in WEIGHTS}
    for design in DESIGNS.keys() - published:
        names[design] = (design, *(alias for alias, name in ALIASES.items() if name == design))
    chosen = _chosen(pattern, names)
    if not chosen and "*" not in pattern:
        find_design(pattern)
        return ModelsResult(weights=(), designs=(_costs(pattern, *usual_sight(pattern)),))
    if not chosen:
        raise unknown("model", pattern, [spelling for spellings in names.values() for spelling in spellings])
    weights = [_weights_facts(row) for row in WEIGHTS if row.name in chosen]
    designs = [_costs(name, *usual_sight(name)) for name in DESIGNS if name in chosen]
    return ModelsResult(
        weights=tuple(sorted(weights, key=lambda row: (row.macs, -row.top1))),
        designs=tuple(sorted(designs, key=lambda row: row.macs)),
        locating=tuple(_locating_facts(name, row) for name, row in RELEASED.items() if name in chosen),
    )


def view_words(view: View) -> str:
    """A view in few words: ``224 of 256 bilinear``, or ``256 of 88.9% bicubic`` where a part is cut out first."""
    whole = f"{view.resize}" if view.crop_fraction == 1 else f"{100 * view.crop_fraction:.3g}%"
    return f"{view.resolution} of {whole} {view.interpolation}"


def short_count(count: float) -> str:
    """Three digits and a letter: ``25.6 M``, ``4.09 G``."""
    sizes = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
    size, letter = next((step for step in sizes if count >= 0.9995 * step[0]), sizes[-1])
    digits = count / size
    return f"{digits:.{2 if digits < 9.995 else 1 if digits < 99.95 else 0}f} {letter}"


def _chosen(pattern: str, names: dict[str, tuple[str, ...]]) -> set[str]:
    """The names asked for: those called exactly so, else those that fit the pattern or hold the words."""
    wanted = pattern.lower()
    exact = {name for name, spellings in names.items() if wanted in spellings}
    if exact:
        return exact
    if any(sign in wanted for sign in "*?["):
        return {name for name, spellings in names.items() if any(fnmatchcase(word, wanted) for word in spellings)}
    return {name for name, spellings in names.items() if any(wanted in word for word in spellings)}


def _locating_facts(name: str, row: Released) -> LocatingFacts:
    head = row.detector or row.segmenter
    assert head is not None
    return LocatingFacts(
        name=name,
        head=head.kind,
        design=row.design,
        published=row.published,
        url=row.url,
        sha256_prefix=row.sha256_prefix,
    )


def _weights_facts(row: Weights) -> WeightsFacts:
    from tagwise.nets.label_sets import class_names

    costs = _costs(row.name, row.design, row.view.resolution, len(class_names(row.label_set)))
    return WeightsFacts(
        **vars(costs),
        label_set=row.label_set,
        top1=row.top1,
        top5=row.top5,
        measured_by=row.scores[0].by,
        view=row.view,
        licence=row.licence,
        who=row.who,
        url=row.url,
        sha256_prefix=row.sha256_prefix,
        scores=tuple(map(str, row.scores)),
        aliases=row.aliases,
        note=row.note,
    )


def _costs(name: str, design: str, resolution: int, classes: int) -> DesignFacts:
    from tagwise.nets.cost_table import costs_of

    costs = costs_of(design, resolution, classes)
    return DesignFacts(
        name=name,
        design=design,
        resolution=resolution,
        parameters=costs.parameters,
        macs=costs.macs.total,
        activation_bytes=costs.activation_bytes,
    )


_Column = tuple[str, Callable[[Any], str | float | None]]
_COST_COLUMNS: tuple[_Column, ...] = (
    ("parameters", lambda row: short_count(row.parameters)),
    ("mult-adds", lambda row: short_count(row.macs)),
    ("activations", lambda row: f"{short_count(row.activation_bytes)}B"),
)
_WEIGHTS_COLUMNS: tuple[_Column, ...] = (
    ("weights", lambda row: row.name),
    ("top-1 %", lambda row: f"{row.top1:.1f}"),
    *_COST_COLUMNS[:2],
    ("licence", lambda row: row.licence),
    ("view", lambda row: view_words(row.view)),
    _COST_COLUMNS[2],
    ("measured by", lambda row: row.measured_by),
    ("top-5 %", lambda row: None if row.top5 is None else f"{row.top5:.1f}"),
)
"""The least needed last: a narrow terminal goes without it."""
_NUMBERS = {"parameters", "mult-adds", "activations", "top-1 %", "top-5 %"}
_DESIGN_COLUMNS: tuple[_Column, ...] = (
    ("design", lambda row: row.name),
    *_COST_COLUMNS,
    ("pixels", lambda row: row.resolution),
)


_LOCATING_COLUMNS: tuple[_Column, ...] = (
    ("name", lambda row: row.name),
    ("head", lambda row: row.head),
    ("published", lambda row: row.published.partition(": ")[2]),
)


def _fitting(rows: Iterable[DesignFacts | LocatingFacts], columns: tuple[_Column, ...], width: int) -> list[str]:
    """The table with as many columns as fit uncut, and what is missing."""
    from tagwise.pages.tables import text_table

    rows = list(rows)
    for shown in range(len(columns), 1, -1):
        text = text_table(_table(rows, columns[:shown]), 10_000)
        if max(map(len, text.split("\n"))) <= width:
            break
    left_out = ", ".join(name for name, _ in columns[shown:])
    return [text, *([f"No room for {left_out}; a wider terminal or --json shows it."] if left_out else [])]


def _table(rows: Iterable[DesignFacts | LocatingFacts], columns: tuple[_Column, ...]) -> Table:
    from tagwise.pages.page import Table

    names = tuple(name for name, _ in columns)
    return Table(
        columns=names,
        rows=[[told(row) for _, told in columns] for row in rows],
        numeric=[name for name in names if name in _NUMBERS],
    )
