"""``tagwise check``: what is wrong with annotations, each problem with its file and annotation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.base.progress import counted, printable
from tagwise.verbs.annotation_flags import Exif, Form, Zero, refuse_of_other_form

if TYPE_CHECKING:
    from tagwise.localise.annotations import Annotations, LabelMaps, Problem

ROWS = 20
"""Problems of a kind that are shown; ``--json`` has them all."""


@dataclass(frozen=True, kw_only=True)
class PartFacts:
    """What a part of a set holds that can be used."""

    name: str
    """``train``, ``validation`` or ``test``."""
    pictures: int
    objects: int | None
    """None of maps."""
    empty_pictures: int | None
    """Pictures in which nothing is; None of maps."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """Annotations as they would be used, and all that was found on the way."""

    name: str
    form: str
    """``coco``, ``voc``, ``yolo``, ``labelme``, ``via``, ``instances`` or ``maps``."""
    classes: tuple[str, ...]
    licence: str
    parts: tuple[PartFacts, ...]
    counts: dict[str, int]
    """Problems by kind, the gravest first."""
    problems: tuple[Problem, ...]

    @property
    def exit_code(self) -> int:
        """1 where data would be dropped or changed, or a person has to decide, else 0."""
        return int(any(problem.serious for problem in self.problems))

    def __str__(self) -> str:
        from tagwise.pages.page import Table
        from tagwise.pages.tables import text_table

        blocks = [
            f"{printable(self.name)}: {self.form}, licence {self.licence}, {_some(self.classes)}",
            *map(_part_line, self.parts),
        ]
        for kind, count in self.counts.items():
            met = [problem for problem in self.problems if problem.kind == kind]
            rows = [[problem.file, problem.annotation, problem.detail] for problem in met[:ROWS]]
            told = kind if met[0].serious else f"{kind}, for your information"
            table = Table(caption=f"{told}: {count:,}", columns=("file", "annotation", "what"), rows=rows)
            left = [f"{count - ROWS:,} more; --json lists all."] if count > ROWS else []
            blocks.append("\n".join(["", text_table(table, 160), *left]))
        serious = sum(problem.serious for problem in self.problems)
        return "\n".join([*blocks, "", f"{counted(serious, 'problem')}." if serious else "No problems."])


def check(
    path: Path | str,
    *,
    pictures: Path | str | None = None,
    form: Form | None = None,
    one_based: bool = True,
    classes: Path | str | None = None,
    exif: Exif | None = None,
    colours: Path | str | None = None,
    ignore: int | None = None,
    object_value: int | None = None,
    zero: Zero = "background",
) -> CheckResult:
    """Lists what is wrong with annotations: boxes, masks, ids, classes, sizes, pictures; nothing is changed.

    The exit code is 0 where all would be used as it is, and 1 where something would be dropped or changed.

    Args:
        path: A file or folder of COCO JSON, VOC XML, YOLO text, LabelMe or VIA JSON, masks of objects, or label maps.
        pictures: The folder of the pictures, where they are not beside the annotations or in images there.
        form: What the annotations are, where the files leave it open.
        one_based: VOC's corners count from 1 and their last pixel is inside, as the original has it; else they count
            from 0 and are the edges themselves.
        classes: A file of class names in the order of their numbers, one a line.
        exif: What annotations see of pictures that EXIF turns, where their size does not tell: the turned picture, or
            the raw one.
        colours: Of coloured maps: a table of lines 'red green blue name'.
        ignore: The value of a map's pixels that count for nothing; by default 255, where there are classes beside 0.
        object_value: The value of objects in maps of one class, such as 255.
        zero: What 0 is in a map: the first class, mostly the background, or ignored, and 1 is the first class.

    Raises:
        UsageError: The form is not clear, there is nothing there, or a flag is of another form.
        DataRefused: A file cannot be read as a whole, or what its classes are is not clear.
    """
    from tagwise.localise.mapping import read_map_parts
    from tagwise.localise.opening import class_list, read_parts
    from tagwise.localise.readers import Reading
    from tagwise.localise.readers.guess import guess_form
    from tagwise.localise.readers.maps import Meaning

    path = Path(path)
    names = class_list(Path(classes)) if classes is not None else None
    folder = Path(pictures) if pictures is not None else None
    kind = form or guess_form(path)
    refuse_of_other_form(
        kind, one_based=one_based, colours=colours, ignore=ignore, object_value=object_value, zero=zero
    )
    if kind != "maps":
        reading = Reading(images=folder, one_based=one_based, classes=names, exif=exif)
        return _result(kind, read_parts(path, reading, kind))
    meaning = Meaning(classes=names, ignore=ignore, object_value=object_value, zero=zero)
    table = Path(colours) if colours is not None else None
    return _result(kind, read_map_parts(path, meaning, images=folder, colours=table, exif=exif))


def _result(form: str, parts: Mapping[str, Annotations | LabelMaps]) -> CheckResult:
    from tagwise.localise.faults import Kind

    first = next(iter(parts.values()))
    problems = [problem for name, part in parts.items() for problem in (*part.problems, *_nothing(name, part))]
    order = [str(kind) for kind in Kind]
    problems.sort(key=lambda problem: order.index(problem.kind))
    return CheckResult(
        name=first.name,
        form=form,
        classes=_classes(first),
        licence=first.licence,
        parts=tuple(_facts(name, part) for name, part in parts.items()),
        counts=dict(Counter(str(problem.kind) for problem in problems)),
        problems=tuple(problems),
    )


def _nothing(name: str, part: Annotations | LabelMaps) -> tuple[Problem, ...]:
    """Of a part that a training would refuse."""
    from tagwise.localise.annotations import LabelMaps
    from tagwise.localise.faults import Faults, Kind

    faults = Faults()
    if not len(part):
        faults.add(Kind.NOTHING, part.name, name, "no picture can be used")
    elif not isinstance(part, LabelMaps) and not any(len(picture.ids) for picture in part.pictures):
        faults.add(Kind.NOTHING, part.name, name, "no picture has an object that can be used")
    return faults.problems


def _classes(part: Annotations | LabelMaps) -> tuple[str, ...]:
    from tagwise.localise.annotations import LabelMaps

    return part.classes if isinstance(part, LabelMaps) else tuple(category.name for category in part.categories)


def _facts(name: str, part: Annotations | LabelMaps) -> PartFacts:
    from tagwise.localise.annotations import LabelMaps

    if isinstance(part, LabelMaps):
        return PartFacts(name=name, pictures=len(part), objects=None, empty_pictures=None)
    objects = [len(picture.ids) for picture in part.pictures]
    return PartFacts(name=name, pictures=len(part), objects=sum(objects), empty_pictures=objects.count(0))


def _part_line(part: PartFacts) -> str:
    told = f"{part.name}: {counted(part.pictures, 'picture')}"
    if part.objects is None:
        return told
    return f"{told}, {part.empty_pictures:,} of them empty, {counted(part.objects, 'object')}"


def _some(classes: tuple[str, ...]) -> str:
    shown = ", ".join(printable(name, 40) for name in classes[:12]) + (" ..." if len(classes) > 12 else "")
    return f"{len(classes)} class{'' if len(classes) == 1 else 'es'}: {shown}"
