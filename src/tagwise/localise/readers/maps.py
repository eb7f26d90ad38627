"""Maps of classes, a picture of values for each picture: where they lie, and what their values mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable
from tagwise.localise.annotations import IGNORE
from tagwise.localise.readers import PARTS, part_lists
from tagwise.localise.readers.values import SUFFIXES, Values

FOLDERS = ("annotations", "SegmentationClass", "gtFine", "semantic", "masks", "labels")
"""What the folder of maps is called in the trees that are known: ADE20K, VOC, Cityscapes."""
PICTURE_FOLDERS = ("images", "JPEGImages", "leftImg8bit")
COLOUR_FILES = ("colours.txt", "colors.txt")
IGNORED_NAMES = frozenset({"ignore", "ignored", "void"})
"""What a colour is called whose pixels count for nothing."""
MOST_CLASSES = 254
_CITYSCAPES = re.compile("_(gtFine_labelTrainIds|gtCoarse_labelTrainIds|leftImg8bit)$")


@dataclass(frozen=True, kw_only=True)
class Legend:
    """What the values of a map's file mean."""

    classes: tuple[str, ...]
    labels: Mapping[int, int]
    """Value to label, ``IGNORE`` among them; all other values are no class."""

    def read(self, found: Values) -> tuple[NDArray[np.uint8], int]:
        """Labels [height, width], and how many pixels have a value that is no class; these are ignored."""
        known = np.array(sorted(self.labels), np.int64)
        meanings = np.array([self.labels[int(value)] for value in known], np.uint8)
        places = np.minimum(np.searchsorted(known, found.values), len(known) - 1)
        fits = known[places] == found.values
        return np.where(fits, meanings[places], np.uint8(IGNORE)), int(fits.size - np.count_nonzero(fits))


def key_of(path: Path) -> str:
    """What a map and its picture have in common: the stem, without Cityscapes' endings."""
    return _CITYSCAPES.sub("", path.stem)


def map_files(path: Path) -> tuple[Path, dict[str, list[Path]]]:
    """The folder of maps, and its files by part: folders ``training`` and ``validation``, or lists beside.

    Raises:
        UsageError: There is no map.
    """
    if path.is_file():
        return path.parent, {"train": [path]}
    folder = next((path / name for name in FOLDERS if (path / name).is_dir()), path)
    files = [file for file in sorted(folder.rglob("*")) if _is_map(file, folder)]
    files = [file for file in files if file.stem.endswith("_labelTrainIds")] or files
    if not files:
        raise UsageError(f"{path} holds no map; give a folder of PNG files whose values are classes.")
    parts: dict[str, list[Path]] = {}
    for file in files:
        top = file.relative_to(folder).parts[0]
        part = next((part for part, names in PARTS.items() if top in names), "train")
        parts.setdefault(part, []).append(file)
    lists = part_lists(folder)
    if list(parts) == ["train"] and lists:
        by_key = {key_of(file): file for file in files}
        parts = {
            part: [by_key[name] for name in dict.fromkeys(names) if name in by_key] for part, names in lists.items()
        }
    if not parts.get("train"):
        raise UsageError(f"{path} has no training part, only {', '.join(parts)}; call its folder train.")
    return folder, parts


def _is_map(file: Path, folder: Path) -> bool:
    """Colour tables and pictures that lie in the same tree are none."""
    inside = file.relative_to(folder).parts
    return file.suffix.lower() in SUFFIXES and not set(inside[:-1]) & set(PICTURE_FOLDERS) and file.is_file()


def find_colours(folder: Path) -> Path | None:
    """A table of colours beside the maps."""
    return next((folder / name for name in COLOUR_FILES if (folder / name).is_file()), None)


def colour_legend(path: Path, order: tuple[str, ...] | None = None) -> Legend:
    """Lines ``red green blue name``; ``ignore`` and ``void`` are no classes.

    Args:
        path: The table.
        order: The classes' names in another order than the table's.

    Raises:
        DataRefused: A line is no such thing, a name or colour comes twice, or ``order`` has other names.
    """
    names: dict[int, str] = {}
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataRefused(f"{path} cannot be read as text; give lines 'red green blue name'.") from error
    for place, line in enumerate(lines, 1):
        found = re.fullmatch(r"(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})[\s,]+(.*\S)\s*", line.strip())
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        colour = [int(number) for number in found.groups()[:3]] if found else [256]
        if found is None or max(colour) > 255:
            raise DataRefused(f"{path}, line {place}: {printable(line, 60)!r} is not 'red green blue name'.")
        value, name = colour[0] << 16 | colour[1] << 8 | colour[2], found[4]
        if value in names or name in names.values():
            raise DataRefused(f"{path}, line {place}: {printable(line, 60)!r} comes twice; keep one.")
        names[value] = name
    listed = tuple(name for name in names.values() if name.lower() not in IGNORED_NAMES)
    if order is not None and set(order) != set(listed):
        odd = printable(min(set(order) ^ set(listed)), 40)
        raise DataRefused(f"{path} and --classes differ, in {odd!r}; name the same classes.")
    places = {name: place for place, name in enumerate(order or listed)}
    labels = {value: places.get(name, IGNORE) for value, name in names.items()}
    return Legend(classes=_counted(tuple(places), path), labels=labels)


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a person says of values that do not speak for themselves."""

    classes: tuple[str, ...] | None = None
    ignore: int | None = None
    object_value: int | None = None
    zero: Literal["background", "ignore"] = "background"
    category_ids: Mapping[int, str] | None = None
    """Of the objects in the same pictures: values may be their ids."""

    def __post_init__(self) -> None:
        if self.zero not in ("background", "ignore"):
            raise UsageError(f"--zero is background or ignore, not {self.zero!r}.")


def value_legend(path: Path, values: set[int], meaning: Meaning) -> Legend:
    """What grey and palette values mean.

    255 is ignored where it stands above the other classes; 0 and 255 alone are a question, which the caller asks.

    Args:
        path: Of the maps, for messages.
        values: All that occur.
        meaning: What a person says.

    Raises:
        DataRefused: Values are not 0, 1, 2, ... and nobody says what they are.
    """
    ignored = 255 if meaning.ignore is None else meaning.ignore
    if meaning.object_value is not None:
        names = meaning.classes or ("object",)
        names = names if len(names) == 2 else ("background", *names)
        skip = {} if meaning.ignore is None else {meaning.ignore: IGNORE}
        return Legend(classes=_counted(names, path), labels={0: 0, meaning.object_value: 1, **skip})
    first = 1 if meaning.zero == "ignore" else 0
    used = sorted(values - {ignored})
    classes = meaning.classes or _names(path, used, first, meaning)
    ids = {name: value for value, name in (meaning.category_ids or {}).items()}
    labels = {ids.get(name, place + first): place for place, name in enumerate(classes)}
    _refuse_shifted_before(path, used, first, len(classes))
    skip = {ignored: IGNORE, **({0: IGNORE} if first else {})}
    return Legend(classes=_counted(classes, path), labels={**labels, **skip})


def _names(path: Path, used: list[int], first: int, meaning: Meaning) -> tuple[str, ...]:
    ids = meaning.category_ids or {}
    if ids and set(used) <= {0, *ids} and not first:
        return ("background", *(ids[value] for value in sorted(ids)))
    top = max(used, default=0)
    if used and set(used) | {0} != set(range(top + 1)):
        shown = ", ".join(map(str, used[:12])) + (" ..." if len(used) > 12 else "")
        raise DataRefused(
            f"The maps of {path} hold the values {shown}, with gaps; name the classes 0, 1, 2, ... with --classes, "
            "or the value of objects with --object-value, or give --form instances if each value is an object."
        )
    return tuple("background" if value == 0 else f"class {value}" for value in range(first, top + 1))


def _refuse_shifted_before(path: Path, used: list[int], first: int, classes: int) -> None:
    if first and used and used[0] == 0 and used[-1] == classes - 1 > 0:
        raise DataRefused(
            f"The maps of {path} hold 0 to {used[-1]} and there are {classes} classes: their labels were shifted "
            "before; leave --zero away."
        )


def _counted(classes: tuple[str, ...], path: Path) -> tuple[str, ...]:
    if not 0 < len(classes) <= MOST_CLASSES:
        raise DataRefused(f"{path} has {len(classes)} classes; maps are read with 1 to {MOST_CLASSES}.")
    return classes
