"""One report with every kind of block, some of them filled by a hostile stranger."""

from __future__ import annotations

import numpy as np
import pytest

from tagwise.pages import charts, pictures
from tagwise.pages.label_curve import LabelLine, LabelPoint, label_curve_chart
from tagwise.pages.page import Block, Chip, Code, Finding, Gallery, Note, Picture, Report, Section, Table

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>javascript:alert(3) $\\frac{1$ 日本 &amp;\x00\u202e"
"""Markup, quotes, a script address, broken mathematics, letters without a glyph, control characters."""


def sample_report(stranger: str, labels: int = 2000) -> Report:
    """A report in which every text that can come from outside is ``stranger``."""
    law = 1 / np.arange(1, labels + 1)
    names = [f"{stranger}{index}" for index in range(labels)]
    laws = {"natural": law / law.sum(), stranger: np.sqrt(law) / np.sqrt(law).sum()}
    score = charts.Score(method=stranger, model="tags", accuracy_fraction=0.8, low_fraction=0.78, high_fraction=0.82)
    scratch = charts.Score(
        method="training", model="scratch", accuracy_fraction=0.5, low_fraction=0.4, high_fraction=0.6
    )
    seen = np.arange(1.0, 5000.0)
    points = [
        LabelPoint(labelled=count, accuracy_fraction=0.5, low_fraction=0.4, high_fraction=0.6) for count in (5, 50)
    ]
    curve = LabelLine(model=stranger, method=stranger, points=points)
    drawn = [
        charts.law_chart(names, laws, caption=stranger),
        charts.score_chart([score], scratch, caption=stranger),
        charts.curve_chart({stranger: (seen, 5 + np.exp(-seen / 1000))}, caption=stranger, measure=stranger),
        charts.bar_chart({stranger: 5, "kept": 7}, caption=stranger, unit=stranger),
        charts.per_class_chart([stranger, "dog"], [0.2, 0.5], [0.4, 0.3], caption=stranger),
        label_curve_chart([curve], LabelLine(model=stranger, method="", points=points), caption=stranger),
    ]
    table = Table(columns=("tag", stranger), rows=[(stranger, 1), ("dog", 12345)], caption=stranger)
    uri = pictures.thumbnail(np.zeros((20, 30, 3), dtype=np.uint8))
    picture = Picture(uri=uri, alt=stranger, caption=stranger, chips=[Chip(text=stranger, kind="bad")])
    blocks: list[Block] = [
        table, *drawn, Gallery(pictures=[picture], caption=stranger),
        Note(text=stranger, kind="bad"), Code(lines=[stranger, "tagwise report runs/a"], caption=stranger),
    ]  # fmt: skip
    return Report(
        title=stranger,
        subtitle=stranger,
        summary=[Finding(statement=stranger, value=stranger, spread=stranger, kind="good")] * 3,
        sections=[Section(heading=stranger, text=[stranger], blocks=blocks)] * 3,
        provenance={"seed": "0", stranger: stranger},
    )


@pytest.fixture(scope="session")
def hostile() -> str:
    return HOSTILE


@pytest.fixture(scope="session")
def hostile_report() -> Report:
    return sample_report(HOSTILE)


@pytest.fixture(scope="session")
def plain_report() -> Report:
    return sample_report("sunset")
