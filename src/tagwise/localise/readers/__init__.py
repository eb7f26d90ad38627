"""The forms of annotations, one file a form: each gives what its files say, in the files' own coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tagwise.base.errors import DataRefused, UsageError
from tagwise.localise.annotations import Category
from tagwise.localise.faults import Faults, Kind
from tagwise.localise.rasters import Shape

Form = Literal["coco", "voc", "yolo", "labelme", "via", "instances", "maps"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How annotations are to be read, where their files do not tell."""

    images: Path | None = None
    one_based: bool = True
    """Of VOC: corners are counted from 1 and the last pixel is inside, as the original has it."""
    classes: tuple[str, ...] | None = None
    exif: Literal["turned", "raw"] | None = None
    needs: frozenset[str] | None = None
    """Some of ``boxes``, ``masks`` and ``keypoints``; None: all that is there."""


@dataclass(frozen=True, kw_only=True)
class RawObject:
    """An object as a file has it."""

    category: str
    """Name of its class."""
    id: int | str
    box: Box | None = None
    """x1, y1, x2, y2; None: what the shape spans."""
    shape: Shape | None = None
    area: float | None = None
    crowd: bool = False
    difficult: bool = False
    keypoints: Sequence[Any] | None = None
    """x, y, visibility, x, ..."""


@dataclass(frozen=True, kw_only=True)
class RawPicture:
    """A picture as a file has it."""

    name: str
    """Of the picture's file, perhaps with folders."""
    file: str
    """What holds the annotations, for messages."""
    id: int
    size: tuple[int, int] | None = None
    """Width and height that the file states."""
    objects: tuple[RawObject, ...] = ()
    relative: bool = False
    """Coordinates are shares of the width and the height."""
    stated: str = ""
    """The name that the file states, looked for where there is no picture of the first; empty if it states none."""
    found: Path | None = None
    """Where the picture is, if the reader has found it."""

    @property
    def annotation(self) -> str:
        """What tells it from the others of its file; empty where the file is called as the picture."""
        return "" if Path(self.file).stem == Path(self.name).stem else self.name


@dataclass(frozen=True, kw_only=True)
class RawSet:
    """The pictures of one part."""

    pictures: tuple[RawPicture, ...]
    categories: tuple[Category, ...] | None = None
    """As the files list them; None: they only name what they hold."""
    licence: str = "unknown"
    faults: Faults = field(default_factory=Faults)
    beside: tuple[Path, ...] = ()
    """Further folders where its pictures may be."""


def read_json(path: Path) -> Any:
    """What a JSON file says; NaN and Infinity, which some programs write, come through as floats.

    Raises:
        DataRefused: It cannot be read, or is no JSON.
    """
    import json

    import msgspec

    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataRefused(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        try:
            return msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return json.loads(content)  # slower; it knows NaN, and a byte order mark
    except RecursionError as error:
        raise DataRefused(f"{path} is nested too deeply to be annotations; give another file.") from error
    except ValueError as error:
        raise DataRefused(f"{path} is no whole JSON ({error}); write it anew, or give another file.") from error


def finite(value: Any) -> float | None:
    """A finite number, else None; numbers in text are numbers, and true and false are none."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def whole(value: Any) -> int | None:
    """A whole number that 64 bits hold, else None."""
    number = finite(value)
    if number is None or number != int(number) or abs(number) >= 2**63:
        return None
    return int(value) if isinstance(value, int) else int(number)


def size_of(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height above 0, else None."""
    sides = whole(width), whole(height)
    return (sides[0], sides[1]) if sides[0] and sides[1] and min(sides[0], sides[1]) > 0 else None


def read_names(path: Path) -> tuple[str, ...]:
    """Class names, one a line.

    Raises:
        UsageError: It cannot be read as text.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as a list of classes, one a line.") from error
    return tuple(line.strip() for line in lines if line.strip())


PARTS = {"train": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test", "testing")}
"""What files and folders of each part are called."""


def part_lists(folder: Path) -> dict[str, list[str]]:
    """Names of pictures, without suffixes, by part, where lists lie beside the annotations or in VOC's ImageSets."""
    for place in (folder, folder.parent, *(folder.parent / "ImageSets" / kind for kind in ("Main", "Segmentation"))):
        found = {
            part: path for part, names in PARTS.items() for name in names if (path := place / f"{name}.txt").is_file()
        }
        if "train" in found:
            return {part: [_stem(line) for line in read_names(path)] for part, path in found.items()}
    return {}


def split(whole_set: RawSet, folder: Path) -> dict[str, RawSet]:
    """The set by the part lists beside it; all of it is ``train`` where there are none."""
    lists = part_lists(folder)
    if not lists:
        return {"train": whole_set}
    by_stem: dict[str, list[RawPicture]] = {}
    for picture in whole_set.pictures:
        by_stem.setdefault(Path(picture.name).stem, []).append(picture)
    listed = {part: [name for name in dict.fromkeys(names) if name in by_stem] for part, names in lists.items()}
    left = len(by_stem) - len({name for names in listed.values() for name in names})
    if left:
        whole_set.faults.add(Kind.UNLISTED, folder, detail=f"{left:,} pictures are in no list and left away")
    for part, names in lists.items():
        for name in names:
            if name not in by_stem:
                whole_set.faults.add(Kind.UNKNOWN_PICTURE, f"{part} list", name, "listed, and not annotated")
    return {
        part: replace(
            whole_set,
            pictures=tuple(picture for name in names for picture in by_stem[name]),
            faults=whole_set.faults if part == "train" else Faults(),
        )
        for part, names in listed.items()
    }


def _stem(line: str) -> str:
    """VOC's lists of one class have a number behind the name."""
    return Path(line.split()[0]).stem
