"""YOLO's text files: boxes or polygons in shares of the picture's sides, a file for each picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable
from tagwise.base.settings import read_plain
from tagwise.localise.annotations import Category
from tagwise.localise.faults import Faults, Kind
from tagwise.localise.readers import PARTS, RawObject, RawPicture, RawSet, Reading, finite, read_names, split, whole
from tagwise.pixels.decode import SUFFIXES

_ORIENTED = "oriented boxes (OBB) are not read, nor predictions; write upright boxes, 5 columns, or outlines."


def read(path: Path, reading: Reading) -> dict[str, RawSet]:
    """A ``data.yaml``, its folder, or a folder of label files; a picture without a file has no objects.

    Parts are those that data.yaml names, else folders ``labels/train``, else lists ``train.txt`` beside.

    Raises:
        DataRefused: Class names are nowhere, or boxes are oriented.
        UsageError: No pictures are found.
    """
    settings_file, folder = _settings_file(path)
    settings = read_plain(settings_file) if settings_file else {}
    if not isinstance(settings, Mapping):
        raise DataRefused(f"{settings_file} is no table with 'names'; see it for what YOLO wants.")
    if "kpt_shape" in settings:
        raise DataRefused(f"{settings_file} is of keypoints, which are read from COCO JSON only; convert it.")
    names = reading.classes or _names(settings, folder)
    faults = Faults()
    named = {part: settings[key] for part, keys in PARTS.items() for key in keys if settings.get(key)}
    if named:
        listed = {part: list(_listed(value, settings, folder)) for part, value in named.items()}
        found = {part: [(picture, _label_of(picture)) for picture in pictures] for part, pictures in listed.items()}
    else:
        found = _in_folders(folder, reading.images, faults)
    sets = {part: _read_part(files, names, faults if part == "train" else Faults()) for part, files in found.items()}
    if _are_oriented(sets.values()):
        raise DataRefused(f"{path}: {_ORIENTED}")
    return split(sets["train"], folder) if list(sets) == ["train"] else sets


def _settings_file(path: Path) -> tuple[Path | None, Path]:
    if path.is_file():
        return path, path.parent
    files = [file for name in ("data.yaml", "data.yml", "dataset.yaml") if (file := path / name).is_file()]
    return (files[0] if files else None), path


def _names(settings: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    names = settings.get("names")
    if isinstance(names, Mapping):
        numbers = {str(key): value for key, value in names.items()}
        names = [numbers.get(str(place)) for place in range(len(numbers))]
    if isinstance(names, list) and names and all(isinstance(name, str | int) for name in names):
        return tuple(str(name).strip() for name in names)
    for place in (folder, folder.parent):
        if (place / "classes.txt").is_file():
            return read_names(place / "classes.txt")
    raise DataRefused(f"{folder} names no classes 0, 1, ... in data.yaml or classes.txt; give --classes.")


def _listed(value: Any, settings: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """Pictures of a folder, of a list of files, or of several of these, as data.yaml names them."""
    base = folder / str(settings.get("path") or ".")
    for name in map(str, value if isinstance(value, list) else [value]):
        places = (base / name, folder / name, folder / name.removeprefix("../"))  # the last for Roboflow's files
        place = next((place for place in places if place.exists()), None)
        if place is None:
            raise UsageError(f"{folder} has no {printable(name)}, which its data.yaml names; correct the path.")
        if place.is_dir():
            yield from _pictures_in(place)
        else:
            yield from (place.parent / line for line in read_names(place))


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())


def _label_of(picture: Path) -> Path:
    """The last folder ``images`` on its way becomes ``labels``; else it lies beside."""
    parts = list(picture.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _in_folders(folder: Path, images: Path | None, faults: Faults) -> dict[str, list[tuple[Path, Path]]]:
    """Pictures and label files of the same path below ``images`` and ``labels``, or of the same folder."""
    labels = folder / "labels" if (folder / "labels").is_dir() else folder
    places = [images] if images else [folder / "images", folder.parent / "images", folder]
    root = next((place for place in places if place.is_dir() and _pictures_in(place)), None)
    if root is None:
        raise UsageError(f"There is no picture for {folder}, in it or in images beside it; give --pictures.")
    found: dict[str, list[tuple[Path, Path]]] = {}
    for picture in _pictures_in(root):
        inside = picture.relative_to(root)
        part = next((part for part, words in PARTS.items() if inside.parts[0] in words), "train")
        found.setdefault(part, []).append((picture, labels / inside.with_suffix(".txt")))
    wanted = {label for files in found.values() for _, label in files}
    lists = {f"{name}.txt" for names in PARTS.values() for name in names} | {"classes.txt"}
    for label in sorted(labels.rglob("*.txt")):
        if label not in wanted and label.name not in lists and _has_lines(label):
            faults.add(Kind.MISSING, label, detail="a label file without a picture; dropped")
    return {"train": found.pop("train", []), **found}


def _has_lines(path: Path) -> bool:
    """Whether it looks like labels, not like somebody's notes."""
    try:
        first = path.read_text("utf-8-sig").split("\n", 1)[0].split()
    except (OSError, UnicodeDecodeError):
        return False
    return len(first) >= 5 and all(finite(word) is not None for word in first)


def has_labels(folder: Path) -> bool:
    """Whether YOLO's files are in a folder, or in ``labels`` in it."""
    if _settings_file(folder)[0] is not None:
        return True
    files = [file for place in (folder, folder / "labels") for file in sorted(place.glob("*.txt"))[:20]]
    return any(_has_lines(file) for file in files) or any((folder / "labels").glob("*/*.txt"))


def _read_part(files: list[tuple[Path, Path]], names: tuple[str, ...], faults: Faults) -> RawSet:
    pictures = [
        RawPicture(
            name=picture.name,
            file=label.name,
            id=number,
            objects=tuple(_objects(label, names, faults)) if label.is_file() else (),
            relative=True,
            found=picture,
        )
        for number, (picture, label) in enumerate(files, 1)
    ]
    categories = tuple(Category(id=place, name=name) for place, name in enumerate(names))
    return RawSet(pictures=tuple(pictures), categories=categories, faults=faults)


def _objects(path: Path, names: tuple[str, ...], faults: Faults) -> Iterator[RawObject]:
    try:
        rows = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        faults.add(Kind.MALFORMED, path, detail=f"{error}; dropped")
        return
    for place, row in enumerate(rows, 1):
        words = row.split()
        number, values = whole(words[0]) if words else None, [finite(word) for word in words[1:]]
        if not words:
            continue
        if len(values) == 5:
            raise DataRefused(f"{path}, line {place}: {_ORIENTED}")
        if number is None or len(values) < 4 or len(values) % 2:
            faults.add(Kind.MALFORMED, path, f"line {place}", "no class with a box or a polygon; dropped")
        elif not 0 <= number < len(names):
            faults.add(
                Kind.UNKNOWN_CLASS,
                path,
                f"line {place}",
                f"class {number} of the classes 0 to {len(names) - 1}; correct it, or name the class",
            )
        elif None in values:
            faults.add(Kind.NOT_FINITE, path, f"line {place}", "dropped")
        else:
            yield _object(place, names[number], [value for value in values if value is not None])


def _object(place: int, name: str, values: list[float]) -> RawObject:
    if len(values) > 4:
        return RawObject(category=name, id=place, shape=[values])
    x, y, width, height = values
    return RawObject(category=name, id=place, box=(x - width / 2, y - height / 2, x + width / 2, y + height / 2))


def _are_oriented(sets: Iterable[RawSet]) -> bool:
    """Whether all objects are four corners of parallelograms, not all of them upright: polygons never are."""
    objects = [one for raw in sets for picture in raw.pictures for one in picture.objects]
    polygons = [one.shape[0] for one in objects if isinstance(one.shape, list)]
    if not polygons or len(polygons) < len(objects) or any(len(polygon) != 8 for polygon in polygons):
        return False
    corners = np.array(polygons).reshape(-1, 4, 2)
    leaning = np.abs(corners[:, 0] + corners[:, 2] - corners[:, 1] - corners[:, 3]).max()
    upright = np.abs(corners[:, 0] - corners[:, 1]).min(axis=1) < 1e-4
    return bool(leaning < 4e-3 and not upright.all())
