"""Masks of single objects in pictures of values: one with a number for each object, or a file an object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import UsageError
from tagwise.localise.annotations import Category
from tagwise.localise.faults import Faults, Kind
from tagwise.localise.rasters import encode
from tagwise.localise.readers import RawObject, RawPicture, RawSet, Reading, split
from tagwise.localise.readers.values import SUFFIXES, Values, read_values
from tagwise.pixels.place import PictureRefused

CLASS = "object"
"""The one class, where no name is given: these files tell none."""
MOST_OBJECTS = 20_000
"""Different values of a picture above which it is refused: a photograph has as many."""


def read(path: Path, reading: Reading) -> dict[str, RawSet]:
    """A folder of maps whose values number the objects, 0 none; or of folders ``masks``, a file an object.

    Raises:
        UsageError: More than one class is named, or there is no map.
    """
    if reading.classes and len(reading.classes) != 1:
        raise UsageError(f"Masks of objects tell no class; give --classes one name, not {len(reading.classes)}.")
    name = reading.classes[0] if reading.classes else CLASS
    faults = Faults()
    if has_mask_folders(path):
        pictures = [_of_folder(folder, number, name, faults) for number, folder in enumerate(_folders(path), 1)]
    else:
        files = (
            [file for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES] if path.is_dir() else [path]
        )
        if not files:
            raise UsageError(f"{path} holds no map of objects; give a folder of PNG files.")
        pictures = [_of_map(file, number, name, faults) for number, file in enumerate(files, 1)]
    found = RawSet(pictures=tuple(filter(None, pictures)), categories=(Category(id=1, name=name),), faults=faults)
    return split(found, path)


def has_mask_folders(path: Path) -> bool:
    """Whether each picture has a folder with ``masks`` in it, as the Data Science Bowl has it."""
    return next(_folders(path), None) is not None


def _folders(path: Path) -> Iterator[Path]:
    return (folder.parent for folder in sorted(path.glob("*/masks")) if folder.is_dir())


def _of_map(path: Path, number: int, name: str, faults: Faults) -> RawPicture | None:
    found = _values(path, faults)
    if found is None:
        return None
    if found.mode.startswith("I"):
        faults.add(Kind.DEEP, path, detail=f"values up to {found.values.max()}, read whole")
    kinds = [int(value) for value in np.unique(found.values) if value]
    if len(kinds) > MOST_OBJECTS or found.coloured:
        faults.add(Kind.MALFORMED, path, detail="it is a photograph or holds colours, not objects' numbers; dropped")
        return None
    objects = [_object(value, name, found.values == value) for value in kinds]
    return _picture(f"{path.stem}.jpg", path.name, number, found, objects)


def _of_folder(folder: Path, number: int, name: str, faults: Faults) -> RawPicture | None:
    objects, first = [], None
    for place, file in enumerate(sorted((folder / "masks").iterdir()), 1):
        found = _values(file, faults) if file.suffix.lower() in SUFFIXES else None
        if found is None:
            continue
        first = first or found
        if found.values.shape != first.values.shape:
            faults.add(Kind.OTHER_SIZE, file, detail="the picture's other masks have another size; dropped")
        elif not found.values.any():
            faults.add(Kind.BAD_MASK, file, detail="it is empty; dropped")
        else:
            objects.append(_object(place, name, found.values > 0))
    pictures = sorted(file for file in (folder / "images").glob("*") if file.suffix.lower() in SUFFIXES)
    if first is None or len(pictures) != 1:
        faults.add(Kind.MISSING, folder, detail=f"{len(pictures)} pictures in images, {len(objects)} masks; dropped")
        return None
    return _picture(pictures[0].name, folder.name, number, first, objects, pictures[0])


def _values(path: Path, faults: Faults) -> Values | None:
    try:
        return read_values(path)
    except PictureRefused as refusal:
        faults.add(Kind.MALFORMED, path, detail=f"{refusal.reason}; dropped")
        return None


def _object(number: int, name: str, mask_HW: NDArray[np.bool_]) -> RawObject:
    return RawObject(category=name, id=number, shape=dict(encode(mask_HW)))


def _picture(
    name: str, file: str, number: int, first: Values, objects: list[RawObject], found: Path | None = None
) -> RawPicture:
    height, width = first.values.shape
    return RawPicture(name=name, file=file, id=number, size=(width, height), objects=tuple(objects), found=found)
