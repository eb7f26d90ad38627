"""The part of docs/results.md on the published recipes of CIFAR-10, out of the records of ``bench.cifar``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.record import RESULTS, machine, read_record, spread
from tagwise.base.durations import clock
from tagwise.pages import marks
from tagwise.pages.markdown import table_lines
from tagwise.pages.page import Chart, Key, Table
from tagwise.pages.svg import axes_within, standalone
from tagwise.pages.svg import drawings as draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STUDIES = {
    "resnet20": (
        "ResNet-20 by its recipe",
        "The published error is of a net that saw 50,000 pictures; this one saw 2,500 of them as often each, and so "
        "a twentieth of the steps.",
    ),
    "cardinality": (
        "Cardinality 32 against 1 at equal cost",
        "Two slim ResNeXt-29 of nearly equal multiply-adds, the recipe's length cut to what two cores can do. Guessing "
        "has an error of 90 %: nets that stand near it have learnt too little to be compared.",
    ),
    "depth": (
        "Plain against residual nets of rising depth",
        "The recipe's length is cut. He et al. saw the training error of plain nets rise with depth and that of "
        "residual nets fall, after 64,000 steps. The loss of the last stretch of training tells it here without the "
        "test pictures' noise, after so few steps that all deeper nets are behind.",
    ),
}
"""Heading and description of each study, in their order on the page."""
_DRAWN = ("resnet56_cifar", "plain56_cifar")


def cifar_sections() -> str:
    """A section for each study that has a record; nothing where none has."""
    read = {study: read_record(f"cifar_{study}") for study in STUDIES}
    sections = [_section(study, record) for study, record in read.items() if record is not None]
    return "\n\n".join(sections) or "Not measured yet."


def drawings() -> dict[Path, str]:
    """Gradient sizes along the deepest nets as an SVG file, where they were measured."""
    record = read_record("cifar_depth")
    return {} if record is None else {RESULTS / "cifar_depth.svg": standalone(_gradient_chart(record))}


def _section(study: str, record: dict[str, Any]) -> str:
    heading, told = STUDIES[study]
    results = record["results"]
    parts = [f"### {heading}: `python -m bench.cifar {study} FOLDER_WITH_DATA`", told, table_lines(_table(results))]
    if study == "depth":
        parts += ["![Gradient size of each convolution, plain and residual](results/cifar_depth.svg)"]
    first = results["runs"][0]
    parts.append(
        f"Recipe `{results['recipe']}`, {first['images']:,} pictures seen in {first['steps']:,} steps; "
        f"mean ± standard deviation over seeds {', '.join(str(seed) for seed in _seeds(results))}. "
        f"First command: `{first['command']}`. {clock(60 * results['minutes'])} in all "
        f"({clock(60 * results['cpu_minutes'])} of one core) on {machine(record)}."
    )
    return "\n\n".join(parts)


def _table(results: dict[str, Any]) -> Table:
    rows = []
    for design, size in results["designs"].items():
        runs = [run for run in results["runs"] if run["design"] == design]
        errors = [100 * (1 - run["scores"]["accuracy"]) for run in runs]
        losses = [run["scores"]["loss"] for run in runs]
        published = results["published_error"]
        rows.append(
            (
                design,
                f"{size['parameters'] / 1e6:.2f} M",
                f"{size['macs'] / 1e6:.0f} M",
                _told(errors, 1),
                "" if published is None else f"{published:g}",
                _told(losses, 3),
            )
        )
    return Table(
        columns=("net", "parameters", "multiply-adds", "test error, %", "published, %", "training loss at the end"),
        rows=rows,
    )


def _told(values: Sequence[float], digits: int) -> str:
    told = spread(values)
    assert told is not None
    return f"{told['mean']:.{digits}f} ± {told['sd']:.{digits}f}"


def _seeds(results: dict[str, Any]) -> list[int]:
    return sorted({run["seed"] for run in results["runs"]})


def _gradient_chart(record: dict[str, Any]) -> Chart:
    """Geometric means over the seeds; the start in dashes."""
    runs = record["results"]["runs"]
    lines = {
        (design, when): np.exp(
            np.mean([np.log(run["gradients"][when]) for run in runs if run["design"] == design], axis=0)
        )
        for design in _DRAWN
        for when in ("start", "end")
    }
    keys = [
        Key(
            text=f"{design}, {when} of training",
            color=marks.HUES[_DRAWN.index(design)],
            mark="line",
            dash="4 3" if when == "start" else "",
        )
        for design, when in lines
    ]
    highest, lowest = (float(edge(np.concatenate(list(lines.values())))) for edge in (np.max, np.min))

    def paint(figure: Figure, narrow: bool) -> None:
        axes = axes_within(figure, 64, 14, 30, 44)
        for norms, key in zip(lines.values(), keys, strict=True):
            marks.line(axes, np.arange(1, len(norms) + 1, dtype=np.float64), norms, key)
        axes.set(yscale="log", ylim=(lowest / 1.5, highest * 1.5))
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda tick, _: f"{tick:g}")
        marks.count_axis(axes, narrow)
        marks.axis_words(axes, "convolution, from the first", "norm of the gradient")

    told = "; ".join(
        f"{design} at the {when} from {norms[0]:.2g} to {norms[-1]:.2g}" for (design, when), norms in lines.items()
    )
    wide, narrow = draw(paint, (340, 290), f"Gradient norm of each convolution. {told}.")
    table = Table(
        columns=("net", "when", "first convolution", "last convolution"),
        rows=[(design, when, f"{norms[0]:.2g}", f"{norms[-1]:.2g}") for (design, when), norms in lines.items()],
    )
    return Chart(svg=wide, svg_narrow=narrow, caption="", table=table, keys=keys)
