"""Published weights by name: find them, list them, load them."""

from __future__ import annotations

import functools

from torch import Tensor

from tagwise.base.errors import UsageError, unknown
from tagwise.base.progress import say
from tagwise.nets.designs import canonical_name, find_design
from tagwise.nets.downloads import fetch
from tagwise.nets.provenance import Score, Weights, allows_commerce
from tagwise.nets.published import WEIGHTS

__all__ = [
    "WEIGHTS",
    "Score",
    "Weights",
    "find_weights",
    "load_weights",
    "say_licence",
    "say_terms",
    "weights_of",
]


def find_weights(name: str, tag: str | None = None) -> Weights:
    """The row of a weights' name, or of a design's name and a tag.

    Args:
        name: ``resnext101_32x8d_wsl``, another library's name of it, or a design's name.
        tag: A tag or name of weights, timm's tags included; without it a design's first row in the
            table counts that allows commercial use, if one does.

    Raises:
        UsageError: The design has no such weights (the nearest are named) or none in the table.
    """
    design = canonical_name(name)
    rows = [row for row in WEIGHTS if row.design == design]
    if not rows:
        find_design(design)  # what is no design is refused as such
        raise UsageError(
            f"The table has no weights of the design {design}; give a file of them with --design {design}, in Python "
            f"load(FILE, design={design!r})."
        )
    if tag := tag or name.partition(".")[2]:
        tags = [(row, (row.tag, *(alias.partition(".")[2] for alias in row.aliases if "." in alias))) for row in rows]
        for row, own in tags:
            if tag.lower() in (*own, row.name, *row.aliases):
                return row
        raise unknown("tag", tag, [one for _, own in tags for one in own], f"the table for {design}")
    named = (row for row in rows if name.lower() in (row.name, *row.aliases))
    return next(named, None) or next((row for row in rows if row.commercial), rows[0])


def load_weights(row: Weights) -> dict[str, Tensor]:
    """The tensors of a row under our names, downloaded once into torch.hub's folder, the hash checked.

    Terms that forbid commercial use, and what is wrong with a file, are said once.

    Raises:
        TagwiseError: The file cannot be had, is not the published one, or does not fit its design.
    """
    from tagwise.nets.layouts import read_state, to_canonical
    from tagwise.nets.layouts.torch7_nets import read_torch7_state

    say_terms(row)
    design = find_design(row.design)
    # The files without a published hash are all Torch7's.
    path = fetch(
        row.url, row.sha256_prefix, name=row.name, check=lambda part: to_canonical(read_torch7_state(part), design)
    )
    return to_canonical(read_state(path), design, where=f"The weights in {path}")


def weights_of(sha256: str) -> Weights | None:
    """The row of the published file with this SHA-256, wherever it lies and whatever it is called now."""
    return next((row for row in WEIGHTS if row.sha256_prefix and sha256.startswith(row.sha256_prefix)), None)


def say_terms(row: Weights) -> None:
    """Says once what a user of the file has to know: that its terms forbid commercial use, what is wrong with it."""
    say_licence(row.origin, row.licence)
    if row.note:
        _say_once(f"Of {row.name}: {row.note}.")


def say_licence(origin: str, licence: str) -> None:
    """Says once that weights, or what was trained from them, are not for commercial use, if they are not."""
    if not allows_commerce(licence):
        _say_once(f"Weights that come from {origin} are licensed {licence}: not for commercial use.")


@functools.cache
def _say_once(text: str) -> None:
    say(text)
