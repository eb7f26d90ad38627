"""The generated parts of docs/labels.md, out of the records of bench.labels and bench.merging."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.record import read_record

_RULES = {
    "names": "names, nothing merged (R0)",
    "keys": "`keys` (R1): each key is a label",
    "union": "`union` (R2): keys joined by chains of shared synsets",
    "target": "`target` (R3): keys with the same synsets of the target",
    "signature": "`signature` (R4): keys with the same synsets at all",
}
_KINDS = {
    "marginal": "`marginal`: another label is drawn",
    "marginal-with-self": "`marginal-with-self`: the label itself may be drawn",
}


def label_blocks() -> dict[str, str]:
    """Every block of the page, in its order."""
    record, merging = read_record("labels"), read_record("merging")
    assert record is not None
    assert merging is not None
    found = record["results"]
    return {
        "rules": _rules(found["rules"]),
        "merging": _merging(merging["results"]),
        "laws": _laws(found["laws"]),
        "noise": _noise(found["noise"]),
    }


def _rules(found: Mapping[str, Any]) -> str:
    sizes, shared = found["sizes"], found["shared_keys"]
    lines = [_row("labels out of the names of", *sizes), _row("---", *("--:" for _ in sizes))]
    lines += [_row(told, *(f"{sizes[name][rule]:,}" for name in sizes)) for rule, told in _RULES.items()]
    return "\n".join(
        [
            *lines,
            "",
            f"Over all nouns `union` joins {found['largest_union']:,} keys into one label. Of the 1,000 classes "
            f"{len(shared)} keys are names of two: {', '.join(shared)}.",
        ]
    )


def _merging(found: Mapping[str, Any]) -> str:
    lines = [_row("rule", "labels", "precision", "recall"), _row("---", "--:", "--:", "--:")]
    lines += [
        _row(name, f"{score['labels']:,}", f"{score['precision']:.3f}", f"{score['recall']:.3f}")
        for name, score in found["rules"].items()
    ]
    return "\n".join([*lines, "", f"{found['words']:,} words of {found['tags']:,} tags."])


def _laws(found: list[Mapping[str, Any]]) -> str:
    columns = ("epoch", "most draws", "intended", "drawn", "softmax", "missed by", "sample size", "half from")
    lines = [_row("law, threshold", *columns), _row("---", *("--:" for _ in columns))]
    for law in found:
        threshold = {None: "", "largest": f", {law['threshold'] or 0:,.0f} pictures"}.get(
            law["asked"], f", {law['asked']}"
        )
        raked = f" ({law['raking']})" if law["raking"] else ""
        lines.append(
            _row(
                f"`{law['law']}`{threshold}{raked}",
                f"{law['epoch_lengths']:.3g} N",
                f"{law['most_draws']:,.1f}",
                *(f"{law[f'effective_{kind}']:,.0f}" for kind in ("intended", "drawn", "mass")),
                f"{law['distance']:.4f}",
                f"{law['sample_size_fraction']:.3f} N",
                f"{law['half_epoch_fraction']:.3f} N",
            )
        )
    return "\n".join(lines)


def _noise(found: Mapping[str, Mapping[str, list[float]]]) -> str:
    columns = [f"p = {share}: {what}" for share in found for what in ("labels changed", "law moved by")]
    lines = [_row("kind", *columns), _row("---", *("--:" for _ in columns))]
    for kind, told in _KINDS.items():
        cells = [(f"{changed:.1%}", f"{moved:.4f}") for changed, moved in (found[share][kind] for share in found)]
        lines.append(_row(told, *(cell for pair in cells for cell in pair)))
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
