"""Pictures of a few labels, from the most frequent to the rarest, for the page of a label space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.progress import counted

if TYPE_CHECKING:
    from tagwise.corpus.table import Corpus
    from tagwise.pages.page import Block, Gallery
    from tagwise.pixels.place import Place
    from tagwise.tags.space import LabelSpace
    from tagwise.tags.table import Assignment

LABELS_OF_A_BAND = 3
PICTURES_OF_A_LABEL = 6
"""One row of the page, two on a telephone."""

_BLOCK_LABELS = 2**20
"""Of all pictures, looked at together."""
_THUMBNAIL = 128
"""Longest side, pixels."""


def sampled_labels(space: LabelSpace) -> list[tuple[str, int]]:
    """Some labels of the head, the middle and the tail as the law chart parts them: the name of the part, and the id.

    The first and last of each part and one between them; none without pictures.
    """
    import numpy as np

    from tagwise.pages.charts import BANDS, band_edges

    counts = space.counts
    ranked = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    found = []
    for band, (start, stop) in zip(BANDS, band_edges(len(ranked)), strict=True):
        places = np.unique(np.linspace(start, stop - 1, LABELS_OF_A_BAND).astype(int)) if stop > start else ()
        found += [(band, int(ranked[place])) for place in places]
    return found


def sampled_rows(assignment: Assignment, space: LabelSpace, labels: Sequence[int]) -> dict[int, list[int]]:
    """Up to six pictures of each label, drawn with equal chance; the same ones each time.

    Numbers are drawn first, then one walk finds their pictures, so that a memory map is read block by block.
    """
    import numpy as np

    from tagwise.base.rng import stream

    entries: dict[int, list[int]] = {label: [] for label in labels}
    awaited = {}
    for label in labels:
        chosen, pictures = stream(0, "label samples", space.labels[label].key), space.labels[label].pictures
        awaited[label] = np.sort(chosen.choice(pictures, min(PICTURES_OF_A_LABEL, pictures), replace=False))
    for first in range(0, len(assignment.ids), _BLOCK_LABELS):
        block = assignment.ids[first : first + _BLOCK_LABELS]
        for label in labels:
            held = np.flatnonzero(block == label)
            here, awaited[label] = np.split(awaited[label], [np.searchsorted(awaited[label], len(held))])
            awaited[label] -= len(held)
            entries[label] += (first + held[here]).tolist()
    return {
        label: (np.searchsorted(assignment.offsets, found, side="right") - 1).tolist()
        for label, found in entries.items()
    }


def sample_blocks(corpus: Corpus, space: LabelSpace, assignment: Assignment) -> list[Block]:
    """A gallery for each of some labels, none of a corpus without pictures; nothing is fetched from other machines."""
    from tagwise.pages.page import Note

    labels = sampled_labels(space)
    rows_of = sampled_rows(assignment, space, [label for _, label in labels])
    rows = sorted({row for drawn in rows_of.values() for row in drawn})
    try:
        places = dict(zip(rows, corpus.picture_places(rows), strict=True))
    except UsageError:  # a table of tags alone
        return []
    galleries = [_gallery(band, label, rows_of[label], places, space, assignment) for band, label in labels]
    shown = [gallery for gallery in galleries if gallery.pictures]
    missing = sum(map(len, rows_of.values())) - sum(len(gallery.pictures) for gallery in shown)
    told = f"{missing:,} more pictures lie on other machines or can no longer be read, and are not shown."
    return [*shown, *([Note(text=told)] if missing else [])]


def _gallery(
    band: str, label: int, rows: Sequence[int], places: dict[int, Place], space: LabelSpace, assignment: Assignment
) -> Gallery:
    from tagwise.pages import pictures
    from tagwise.pages.page import Gallery, Picture
    from tagwise.pages.tables import cut
    from tagwise.pixels.decode import decode

    shown = []
    for row in rows:
        if places[row].remote:
            continue
        try:
            pixels_HWC = decode(places[row]).pixels_HWC
        except TagwiseError:
            continue
        ids = assignment.ids[assignment.offsets[row] : assignment.offsets[row + 1]]
        alt = ", ".join(space.labels[other].spelling for other in ids.tolist())
        shown.append(Picture(uri=pictures.thumbnail(pixels_HWC, _THUMBNAIL), alt=cut(alt, 200)))
    found = space.labels[label]
    return Gallery(
        pictures=shown,
        caption=f"{band.capitalize()}: {cut(found.spelling, 60)}, on {counted(found.pictures, 'picture')}",
    )
