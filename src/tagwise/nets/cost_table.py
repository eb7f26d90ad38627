"""The costs of every design of the table, counted once: counting them all takes longer than a reader waits.

``costs.csv`` is written by ``python -m bench.write_models``, and a test counts each of its rows again.
"""

from __future__ import annotations

import csv
import functools
import io
from importlib.resources import files

from tagwise.nets.cost import Costs, Macs, count_costs
from tagwise.nets.designs import DESIGNS, find_design
from tagwise.nets.label_sets import class_names
from tagwise.nets.weights import WEIGHTS

COLUMNS = ("design", "resolution", "classes", "parameters", "macs", "attention_macs", "activations")

Sight = tuple[str, int, int]
"""A design's name, the side of its pictures in pixels, and the number of its classes."""


def costs_of(name: str, resolution: int, num_classes: int) -> Costs:
    """What a net costs for a square picture; looked up where it was counted before.

    Raises:
        UsageError: There is no such design.
    """
    known = _table().get((name, resolution, num_classes))
    return known or count_costs(find_design(name), resolution, resolution, num_classes)


def usual_sight(name: str) -> Sight:
    """At which size a design is compared: 32 pixels and ten classes if its stem keeps them all, else ImageNet's."""
    return (name, 32, 10) if find_design(name).stem_pool is None else (name, 224, 1000)


def sights() -> list[Sight]:
    """Every design at its usual size, then at the sizes of its published weights; none twice."""
    published = ((row.design, row.view.resolution, len(class_names(row.label_set))) for row in WEIGHTS)
    return list(dict.fromkeys([*map(usual_sight, DESIGNS), *published]))


def counted_table() -> str:
    """``costs.csv`` as it should be."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, resolution, classes in sights():
        costs = count_costs(find_design(name), resolution, resolution, classes)
        counts = (costs.parameters, costs.macs.total, costs.macs.attention, costs.activations)
        writer.writerow((name, resolution, classes, *counts))
    return text.getvalue()


@functools.cache
def _table() -> dict[Sight, Costs]:
    with files("tagwise.nets").joinpath("costs.csv").open(encoding="utf-8") as lines:
        return dict(map(_entry, csv.DictReader(lines)))


def _entry(row: dict[str, str]) -> tuple[Sight, Costs]:
    macs = Macs(total=int(row["macs"]), attention=int(row["attention_macs"]))
    costs = Costs(parameters=int(row["parameters"]), macs=macs, activations=int(row["activations"]))
    return (row["design"], int(row["resolution"]), int(row["classes"])), costs
