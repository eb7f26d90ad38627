"""COCO's JSON: boxes, masks, keypoints and crowd regions of all pictures of a part in one file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable
from tagwise.localise.annotations import Category
from tagwise.localise.faults import Faults, Kind
from tagwise.localise.readers import PARTS, RawObject, RawPicture, RawSet, Reading, read_json, size_of, whole
from tagwise.localise.readers.coco_objects import Ids, read_object

KINDS = ("instances_", "person_keypoints_", "captions_", "stuff_", "panoptic_", "image_info_")
"""How names of COCO's own files begin, all of which lie in one folder."""


def read(path: Path, reading: Reading) -> dict[str, RawSet]:
    """One file, or those of a folder by part: ``train.json``, ``annotations/instances_val2017.json``.

    Raises:
        DataRefused: A file is no COCO JSON, or its categories are not clear.
        UsageError: A folder holds none, or several of one part.
    """
    files = {"train": path} if path.is_file() else _files(path, reading.needs)
    return {part: _read_file(file) for part, file in files.items()}


def is_coco(plain: Any) -> bool:
    """Whether JSON has COCO's tables."""
    return isinstance(plain, Mapping) and all(isinstance(plain.get(name), list) for name in ("images", "categories"))


def json_files(folder: Path, needs: frozenset[str] | None = None) -> list[Path]:
    """JSON files where COCO's are in a folder; of COCO's own kinds that of objects, or the one of keypoints."""
    places = [folder, folder / "annotations", *(folder / name for names in PARTS.values() for name in names)]
    files = [file for place in places for file in sorted(place.glob("*.json")) if file.is_file()]
    wanted = "person_keypoints_" if needs and "keypoints" in needs else "instances_"
    others = tuple(kind for kind in KINDS if kind != wanted)
    return [file for file in files if not file.name.startswith(others)] or files


def _files(folder: Path, needs: frozenset[str] | None) -> dict[str, Path]:
    files = json_files(folder, needs)
    found: dict[str, Path] = {}
    for file in files:
        part = _part(file, folder) or ("train" if len(files) == 1 else None)
        if part is None or part in found:
            names = ", ".join(printable(other.name) for other in files[:6])
            raise UsageError(f"{folder} holds {names}; call them train.json, val.json and test.json, or give one.")
        found[part] = file
    if "train" not in found:
        raise UsageError(f"{folder} has no train.json, only {', '.join(found) or 'nothing'}; give the file itself.")
    return found


def _part(file: Path, folder: Path) -> str | None:
    words = re.findall("[a-z]+", file.stem.lower()) + ([] if file.parent == folder else [file.parent.name.lower()])
    return next((part for part, names in PARTS.items() if any(word in names for word in words)), None)


def _read_file(path: Path) -> RawSet:
    plain = read_json(path)
    if not is_coco(plain):
        raise DataRefused(f"{path} has no lists 'images' and 'categories'; it is no COCO JSON of objects.")
    faults = Faults()
    categories = _categories(plain["categories"], path, faults)
    pictures = _pictures(plain["images"], path, faults)
    objects: dict[int, list[RawObject]] = {picture: [] for picture in pictures}
    annotations = plain.get("annotations", [])
    if not isinstance(annotations, list):
        raise DataRefused(f"{path} has 'annotations' that are no list; it is no COCO JSON of objects.")
    names, ids = {category.id: category.name for category in categories}, Ids(annotations)
    for place, entry in enumerate(annotations):
        read = read_object(entry, place, path, names, ids, faults)
        if read is None:
            continue
        picture, found = read
        if picture in objects:
            objects[picture].append(found)
        else:
            faults.add(Kind.UNKNOWN_PICTURE, path, found.id, f"no picture has the id {picture}; dropped")
    tokens = path.stem.split("_")
    return RawSet(
        pictures=tuple(
            RawPicture(name=name, stated=name, file=path.name, id=number, size=size, objects=tuple(objects[number]))
            for number, (name, size) in pictures.items()
        ),
        categories=categories,
        licence=_licence(plain),
        faults=faults,
        beside=tuple(
            at / token
            for place in (path.parent, path.parent.parent)
            for at in (place, place / "images")
            for token in tokens
        ),
    )


def _categories(entries: list[Any], path: Path, faults: Faults) -> tuple[Category, ...]:
    categories = []
    for place, entry in enumerate(entries):
        number = whole(entry.get("id")) if isinstance(entry, Mapping) else None
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if number is None or not isinstance(name, str) or not name.strip():
            raise DataRefused(f"{path}: category {place + 1} of its list has no id or no name; give it both.")
        words = entry.get("keypoints") or ()
        points = tuple(map(str, words)) if isinstance(words, list | tuple) else ()
        if alone := _unpaired(points):
            said = f"{', '.join(alone[:8])} stay as they are in the mirror; name each left and right that swap"
            faults.add(Kind.UNPAIRED, path, name, said)
        categories.append(Category(id=number, name=name.strip(), keypoints=points, mirrored=mirrored(points)))
    for what in ("id", "name"):
        value, count = Counter(getattr(one, what) for one in categories).most_common(1)[0] if categories else ("", 0)
        if count > 1:
            raise DataRefused(f"{path}: two categories have the {what} {printable(str(value))!r}; make them differ.")
    categories.sort(key=lambda category: category.id)
    ids = [category.id for category in categories]
    if ids and ids != list(range(ids[0], ids[0] + len(ids))):
        mapped = ", ".join(f"{number}->{place}" for place, number in enumerate(ids, 1))
        faults.add(Kind.ID_GAPS, path, "categories", f"ids mapped {mapped}; written back as they were")
    return tuple(categories)


def mirrored(points: tuple[str, ...]) -> tuple[int, ...]:
    """What each keypoint is in the mirror, by the words left and right in its name."""
    swap = {"left": "right", "right": "left"}
    names = [re.sub("left|right", lambda found: swap[found[0]], name.lower()) for name in points]
    known = {name.lower(): place for place, name in enumerate(points)}
    return tuple(known.get(name, place) for place, name in enumerate(names))


def _unpaired(points: tuple[str, ...]) -> list[str]:
    """Keypoints that the mirror leaves though they sound like a side's; all, where it leaves all of several."""
    alone = [name for place, name in enumerate(points) if mirrored(points)[place] == place]
    if len(alone) == len(points) > 1:
        return alone
    return [name for name in alone if re.search("left|right|(^|[^a-z])[lr]([^a-z]|$)", name.lower())]


def _pictures(entries: list[Any], path: Path, faults: Faults) -> dict[int, tuple[str, tuple[int, int] | None]]:
    pictures: dict[int, tuple[str, tuple[int, int] | None]] = {}
    names: set[str] = set()
    for place, entry in enumerate(entries):
        number = whole(entry.get("id")) if isinstance(entry, Mapping) else None
        name = entry.get("file_name") if isinstance(entry, Mapping) else None
        if number is None or not isinstance(name, str) or not name:
            faults.add(Kind.MALFORMED, path, f"picture {place + 1}", "it has no id or no file_name; dropped")
        elif number in pictures:
            faults.add(Kind.SAME_ID, path, f"picture {number}", f"{name} has the id of {pictures[number][0]}; dropped")
        elif name in names:
            faults.add(Kind.TWICE, path, f"picture {number}", f"{name} was there before; dropped with its objects")
        else:
            pictures[number] = name, size_of(entry.get("width"), entry.get("height"))
            names.add(name)
    return pictures


def _licence(plain: Mapping[str, Any]) -> str:
    licences = plain.get("licenses")
    names = (
        [
            one["name"]
            for one in licences
            if isinstance(one, Mapping) and isinstance(one.get("name"), str) and one["name"]
        ]
        if isinstance(licences, list)
        else []
    )
    info = plain.get("info")
    stated = info.get("license") or info.get("licence") if isinstance(info, Mapping) else None
    told = ", ".join(dict.fromkeys(names)) or (stated if isinstance(stated, str) else "")
    return printable(told) or "unknown"
