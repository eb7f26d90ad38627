"""What detectors and segmenters say of pictures, as tables, CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tagwise.base.files import harmless
from tagwise.base.progress import printable

Form = Literal["table", "csv", "jsonl", "coco", "pictures"]


@dataclass(frozen=True, kw_only=True)
class FoundObject:
    """An object that a detector found."""

    name: str
    score: float
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the picture as it is shown."""
    mask: dict[str, Any] | None = None
    """COCO's compressed run lengths."""
    keypoints: tuple[tuple[float, float, float], ...] | None = None
    """x, y and score."""


@dataclass(frozen=True, kw_only=True)
class LocatedAnswer:
    """What was found on a picture, or why it cannot be read."""

    picture: str
    problem: str | None = None
    width: int = 0
    height: int = 0
    objects: tuple[FoundObject, ...] = ()
    """The surest first."""
    pixel_fractions: tuple[tuple[str, float], ...] = ()
    """Of a segmenter: classes with their share of the pixels, the largest first."""


@dataclass(frozen=True, kw_only=True)
class LocatedPredictResult:
    """One answer a picture, in the order of the pictures."""

    answers: tuple[LocatedAnswer, ...]
    format: Form
    boxes: bool
    """Whether a detector answered."""
    written: Path | None = None

    def __str__(self) -> str:
        if self.written is not None:
            return f"{self._summary()}: {self.written}"
        told = {"csv": as_csv, "jsonl": as_jsonl}.get(self.format, as_table)
        return told(self.answers, self.boxes).rstrip("\n")

    def _summary(self) -> str:
        broken = [answer.picture for answer in self.answers if answer.problem is not None]
        first = f" (first {printable(broken[0])})" if broken else ""
        found = sum(len(answer.objects) for answer in self.answers)
        objects = f", {found:,} object{'' if found == 1 else 's'} found" if self.boxes else ""
        pictures = f"{len(self.answers):,} picture{'' if len(self.answers) == 1 else 's'}"
        return f"{pictures}, {len(broken):,} unreadable{first}{objects}"


def as_table(answers: Sequence[LocatedAnswer], boxes: bool) -> str:
    """A row for each object, or for each class of a picture's pixels."""
    from tagwise.pages.page import Table
    from tagwise.pages.tables import text_table

    rows: list[tuple[str, ...]] = []
    for answer in answers:
        picture = printable(answer.picture, 60)
        if answer.problem is not None:
            rows.append((picture, f"not read: {answer.problem}", *([""] * (2 if boxes else 1))))
        elif boxes:
            told = [
                (one.name, f"{one.score:.2f}", " ".join(f"{value:.0f}" for value in one.box)) for one in answer.objects
            ]
            rows += [(picture, *one) for one in told or [("nothing above the threshold", "", "")]]
        else:
            rows += [(picture, name, f"{share:.1%}") for name, share in answer.pixel_fractions]
    columns = ("picture", "found", *(("score", "box: left top right bottom") if boxes else ("share of its pixels",)))
    return text_table(Table(columns=columns, rows=rows, numeric=columns[2:]))


def as_csv(answers: Sequence[LocatedAnswer], boxes: bool) -> str:
    """The same with all digits; one row at least for each picture."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = ("score", "x1", "y1", "x2", "y2") if boxes else ("pixel_fraction",)
    writer.writerow(["picture", "problem", "name", *numbers])
    for answer in answers:
        start = [harmless(answer.picture), harmless(answer.problem or "")]
        found = [[one.name, f"{one.score:.6f}", *(f"{value:.2f}" for value in one.box)] for one in answer.objects]
        found += [[name, f"{share:.6f}"] for name, share in answer.pixel_fractions]
        for name, *values in found or [["", *([""] * len(numbers))]]:
            writer.writerow([*start, harmless(name), *values])
    return text.getvalue()


def as_jsonl(answers: Sequence[LocatedAnswer], boxes: bool) -> str:
    """A line for each picture, with masks and keypoints."""
    # Names of files may hold bytes that are no text; such a name is escaped, never dropped.
    return "".join(json.dumps(_plain(answer, boxes), ensure_ascii=True) + "\n" for answer in answers)


def _plain(answer: LocatedAnswer, boxes: bool) -> dict[str, Any]:
    start: dict[str, Any] = {"picture": answer.picture, "problem": answer.problem}
    start |= {"width": answer.width, "height": answer.height}
    if not boxes:
        return start | {"pixel_fractions": dict(answer.pixel_fractions)}
    objects = [{name: value for name, value in vars(one).items() if value is not None} for one in answer.objects]
    return start | {"objects": objects}
