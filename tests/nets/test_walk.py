"""The tables walked from end to end: every design, every row of weights, every name."""

from __future__ import annotations

import functools
from collections import Counter

import pytest
import torch

from tagwise.nets import find_design
from tagwise.nets.cost_table import costs_of, usual_sight
from tagwise.nets.designs import DESIGNS
from tagwise.nets.grammar import ResidualNet, build
from tagwise.nets.label_sets import class_names
from tagwise.nets.layouts import to_canonical
from tagwise.nets.layouts.torch7_nets import PREFIX
from tagwise.nets.weights import WEIGHTS, Weights, find_weights
from tests.references import layouts as theirs
from tests.references.layouts import State


@functools.cache
def net_of(design: str, classes: int) -> ResidualNet:
    """A net without memory."""
    with torch.device("meta"):
        return build(DESIGNS[design], num_classes=classes)


def as_published(row: Weights, net: ResidualNet) -> State:
    """What is in a row's file, by the names that it has there."""
    state = dict(net.state_dict())
    if row.file.endswith(".t7"):
        return {PREFIX + name: tensor for name, tensor in state.items() if theirs.COUNTER not in name}
    if row.tag == "akamaster":
        return theirs.akamaster(net)
    if net.design.stem_pool == "ceil":
        return theirs.cadene_excited(net)
    if row.tag == "cadene":
        return theirs.cadene_plain(net) if row.file.startswith("fbresnet") else theirs.cadene_resnext(net)
    return state


@pytest.mark.parametrize("name", DESIGNS)
def test_m1_every_design_builds_with_the_parameters_that_the_table_carries(name: str) -> None:
    sight = usual_sight(name)
    net = net_of(name, sight[-1])
    assert sum(parameter.numel() for parameter in net.parameters()) == costs_of(*sight).parameters


@pytest.mark.parametrize("row", WEIGHTS, ids=lambda row: row.name)
def test_m13_m14_every_row_fits_its_design_by_every_name(row: Weights) -> None:
    """Its tensors, under the names in its file, fill the net strictly; all its names find both; each output has one."""
    net = net_of(row.design, len(class_names(row.label_set)))
    canonical = to_canonical(as_published(row, net), net.design)
    assert list(canonical) == list(net.state_dict())
    net.load_state_dict(canonical, assign=True)
    assert len(class_names(row.label_set)) == len(canonical["fc.weight"])
    for name in (row.name, *row.aliases):
        assert find_weights(name) is row
        assert find_design(name) == net.design
    for tag in (row.tag, row.tag.upper(), row.name, *row.aliases):
        assert find_weights(row.design, tag) is row


def test_m14_no_two_rows_share_a_name_and_no_name_hides_a_design() -> None:
    names = [name for row in WEIGHTS for name in (row.name, *row.aliases)]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert not DESIGNS.keys() & set(names)
