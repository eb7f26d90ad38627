"""What can be wrong with annotations: the kinds, in one place, and how they are gathered."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from tagwise.base.errors import DataRefused
from tagwise.base.progress import printable
from tagwise.localise.annotations import Problem


class Kind(StrEnum):
    """Kinds of problems, by what a table calls them."""

    UNKNOWN_CLASS = "class that is not in the list"
    UNDECIDED_EXIF = "turned by EXIF, the boxes may be too"
    OBJECT_OR_IGNORED = "255 may be an object or ignored"
    NOTHING = "part without anything to learn"

    MALFORMED = "entry that cannot be read"
    NO_AREA = "box without area"
    NOT_FINITE = "number that is not finite"
    OUTSIDE = "box outside the picture"
    CLIPPED = "box clipped to the picture"
    BAD_AREA = "area that is none"
    BAD_CROWD = "crowd flag that is neither 0 nor 1"
    APART = "box and mask that disagree"
    BAD_MASK = "mask that cannot be drawn"
    NO_MASK = "object without a mask"
    NO_SURFACE = "shape without a surface"
    BAD_KEYPOINTS = "keypoints that do not fit"
    OTHER_SIZE = "annotated at another size"
    MISSING = "picture missing"
    UNREADABLE = "picture that cannot be read"
    TWICE = "picture annotated twice"
    SAME_ID = "id given twice"
    UNKNOWN_PICTURE = "object of an unknown picture"
    NO_MAP = "picture without a map"
    UNREADABLE_MAP = "map that cannot be read"
    MAP_SIZE = "map of another size than its picture"
    IMPOSTORS = "values that are no class"

    EMPTY = "picture without objects"
    CROWD = "crowd region"
    DIFFICULT = "difficult object"
    ID_GAPS = "ids with gaps"
    TEXT = "number written as text"
    UNPAIRED = "keypoints without a left and a right"
    TURNED = "turned by EXIF"
    NO_SIZE = "size not stated"
    OTHER_NAME = "file name differs from the annotation's"
    ZERO_CORNER = "corners below 1, counted from 1"
    UNLISTED = "pictures in no list"
    IGNORED = "pixels that count for nothing"
    PALETTE = "palette map, read by index"
    DEEP = "16 bits"


QUESTIONS = frozenset({Kind.UNKNOWN_CLASS, Kind.UNDECIDED_EXIF, Kind.OBJECT_OR_IGNORED})
"""What only a person can answer: listed by a check, refused by all others."""
FACTS = frozenset(list(Kind)[list(Kind).index(Kind.EMPTY) :])
"""Worth knowing; nothing was dropped or changed."""


class Faults:
    """Gathers problems while annotations are read."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def add(self, kind: Kind, file: Path | str, annotation: object = "", detail: str = "") -> None:
        """Notes one problem; what strangers wrote is made printable."""
        name = printable(file if isinstance(file, str) else file.name)
        told = Problem(
            kind=kind,
            file=name,
            annotation=printable(str(annotation), 40),
            detail=printable(detail),
            serious=kind not in FACTS,
        )
        self._problems.append(told)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them, in the order in which they were met."""
        return tuple(self._problems)


def refuse(problems: Iterable[Problem], *, stop: bool) -> None:
    """Refuses what only a person can answer, and with ``stop`` all by which data would be dropped or changed.

    Raises:
        DataRefused: Names the first of them, its file and annotation, and how many there are.
    """
    met = [problem for problem in problems if problem.kind in QUESTIONS or (stop and problem.serious)]
    if not met:
        return
    first = next((problem for problem in met if problem.kind in QUESTIONS), met[0])
    same = sum(problem.kind == first.kind for problem in met)
    others = f"; {same - 1:,} more like it" if same > 1 else ""
    detail = f" ({first.detail})" if first.detail else ""
    raise DataRefused(f"{where(first)}: {first.kind}{detail}{others}; 'tagwise check' lists all.")


def where(problem: Problem) -> str:
    """File and annotation, for a sentence."""
    return f"{problem.file}, annotation {problem.annotation}" if problem.annotation else problem.file
