"""What each label's part of a loss is multiplied by, from the user's file of tags and weights."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused, UsageError, nearest
from tagwise.base.progress import printable, say
from tagwise.tags.key import canonical_key
from tagwise.tags.space import LabelSpace

_LEAST, _MOST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def read_tag_weights(path: Path, space: LabelSpace) -> NDArray[np.float32]:
    """Reads lines of a tag and its weight, with a tab between them where the first line has one, else a comma.

    A first line ``tag,weight`` is a header. Tags find their labels as in a corpus: by key, alias and plural.

    Returns:
        float32 [V], all above 0; 1 for the labels that the file does not name.

    Raises:
        UsageError: The file cannot be read or is empty, a line is no tag and weight, a weight is no number above
            0, or one label has two weights.
        DataRefused: None of the tags is a label.
    """
    told: dict[int, float] = {}
    strangers: list[str] = []
    for line, tag, weight in _weights(path):
        label = space.encode(tag)
        if label is None:
            strangers.append(tag)
        elif told.setdefault(label, weight) != weight:
            raise UsageError(
                f"{path}, line {line}: {printable(tag)!r} weighs {weight:g} here, and its label "
                f"{space.labels[label].key!r} {told[label]:g} above; keep one."
            )
    _tell_strangers(path, strangers, len(told), space)
    weights_V = np.ones(len(space), np.float32)
    weights_V[list(told)] = list(told.values())
    return weights_V


def _weights(path: Path) -> Iterator[tuple[int, str, float]]:
    """Line, tag and weight."""
    for line, cells in _rows(path):
        if line == 1 and [cell.strip().casefold() for cell in cells] == ["tag", "weight"]:
            continue
        try:
            tag, number = cells
            weight = float(number)
        except ValueError as error:
            raise UsageError(
                f"{path}, line {line}: {printable(', '.join(cells))!r} is no tag and weight; write both, with a comma "
                "or a tab between them."
            ) from error
        if not _LEAST <= weight <= _MOST:
            raise UsageError(
                f"{path}, line {line}: {printable(tag)!r} weighs {number.strip()}; give a number above 0, where 1 "
                "changes nothing. To be rid of a tag, deny it to tagwise labels."
            )
        yield line, tag, weight


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The tag weights {path} cannot be read: {error}.") from error
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from ((reader.line_num, row) for row in reader if any(row))
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}; write it as a CSV or TSV table.") from error


def _tell_strangers(path: Path, strangers: list[str], labels: int, space: LabelSpace) -> None:
    if not strangers:
        if not labels:
            raise UsageError(f"{path} holds no weights; write a tag and its weight on each line.")
        return
    example = printable(strangers[0], 60)
    if not labels:
        near = nearest(canonical_key(strangers[0]), (label.key for label in space.labels), most=1)
        what = f"; the nearest of {example!r} is {near[0]!r}" if near else f", such as {example!r}"
        raise DataRefused(f"None of the {len(strangers):,} tags of {path} is a label{what}.")
    say(f"{len(strangers):,} tags of {printable(path.name)} are no labels and are passed over, such as {example!r}.")
