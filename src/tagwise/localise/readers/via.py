"""The VGG Image Annotator's JSON: outlines in the pictures' regions, all pictures in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable
from tagwise.localise.faults import Faults, Kind
from tagwise.localise.rasters import ShapeRefused
from tagwise.localise.readers import PARTS, RawObject, RawPicture, RawSet, Reading, finite, read_json, split
from tagwise.localise.readers.labelme import ellipse

CLASS_WORDS = ("class", "label", "category", "name", "type")
"""What the attribute of the class is called, where regions have several."""


def read(path: Path, reading: Reading) -> dict[str, RawSet]:  # noqa: ARG001 - all readers are called alike
    """A file, or a folder with one file, or folders ``train`` and ``val`` with one each.

    Raises:
        DataRefused: It is no VIA JSON.
        UsageError: Which file, or which attribute is the class, is not clear.
    """
    if path.is_file():
        return {"train": _read_file(path)}
    folders = {part: path / name for part, names in PARTS.items() for name in names if (path / name).is_dir()}
    if "train" in folders and not list(path.glob("*.json")):
        return {part: _read_file(_only_file(folder)) for part, folder in folders.items()}
    return split(_read_file(_only_file(path)), path)


def is_via(plain: Any) -> bool:
    """Whether JSON has pictures with regions."""
    entries = _entries(plain)
    return bool(entries) and all(isinstance(one, Mapping) and "regions" in one and "filename" in one for one in entries)


def _entries(plain: Any) -> list[Any]:
    """VIA's project files have them one level down."""
    if isinstance(plain, Mapping):
        inside = plain.get("_via_img_metadata", plain)
        return list(inside.values()) if isinstance(inside, Mapping) else []
    return plain if isinstance(plain, list) else []


def _only_file(folder: Path) -> Path:
    files = sorted(folder.glob("*.json"))
    if len(files) != 1:
        raise UsageError(f"{folder} holds {len(files)} .json files; give the one that VIA wrote.")
    return files[0]


def _read_file(path: Path) -> RawSet:
    plain = read_json(path)
    if not is_via(plain):
        raise DataRefused(f"{path} has no pictures with 'regions'; it is no JSON of VIA 1 or 2.")
    entries, faults = _entries(plain), Faults()
    attribute = _class_attribute([region for entry in entries for region in _regions(entry)], path)
    pictures = []
    for number, entry in enumerate(entries, 1):
        name = str(entry["filename"])
        objects = [_object(region, place, attribute, name, faults) for place, region in enumerate(_regions(entry), 1)]
        found = tuple(filter(None, objects))
        pictures.append(RawPicture(name=name, stated=name, file=name, id=number, objects=found))
    return RawSet(pictures=tuple(pictures), faults=faults)


def _regions(entry: Mapping[str, Any]) -> list[Any]:
    regions = entry["regions"]
    return list(regions.values()) if isinstance(regions, Mapping) else regions if isinstance(regions, list) else []


def _attributes(region: Any) -> Mapping[str, Any]:
    attributes = region.get("region_attributes") if isinstance(region, Mapping) else None
    return attributes if isinstance(attributes, Mapping) else {}


def _class_attribute(regions: list[Any], path: Path) -> str:
    names = list(dict.fromkeys(name for region in regions for name in _attributes(region)))
    usual = [name for name in names if name.lower() in CLASS_WORDS]
    if len(names) == 1 or len(usual) == 1:
        return (usual or names)[0]
    if not regions:
        return ""
    told = ", ".join(printable(name, 40) for name in names[:6]) or "none"
    raise UsageError(f"{path} has the attributes {told}, and which is the class is not clear; call it 'class'.")


def _object(region: Any, place: int, attribute: str, file: str, faults: Faults) -> RawObject | None:
    value = _attributes(region).get(attribute)
    if isinstance(value, Mapping):  # of check boxes
        ticked = [name for name, is_set in value.items() if is_set]
        value = ticked[0] if len(ticked) == 1 else None
    shape = region.get("shape_attributes") if isinstance(region, Mapping) else None
    if not isinstance(value, str) or not value.strip() or not isinstance(shape, Mapping):
        faults.add(Kind.MALFORMED, file, place, f"it has no one '{attribute}', or no shape; dropped")
        return None
    try:
        return RawObject(category=value.strip(), id=place, shape=[_outline(shape)])
    except ShapeRefused as error:
        kind = Kind.NO_SURFACE if shape.get("name") in ("point", "polyline") else Kind.BAD_MASK
        faults.add(kind, file, place, f"{error}; dropped")
        return None


def _outline(shape: Mapping[str, Any]) -> list[float]:
    kind = shape.get("name")
    if kind == "rect":
        x, y, width, height = _numbers(shape, "x", "y", "width", "height")
        return [x, y, x + width, y, x + width, y + height, x, y + height]
    if kind == "circle":
        x, y, radius = _numbers(shape, "cx", "cy", "r")
        return [number for point in ellipse(x, y, radius, radius) for number in point]
    if kind == "ellipse":
        x, y, across, down = _numbers(shape, "cx", "cy", "rx", "ry")
        return [number for point in ellipse(x, y, across, down, finite(shape.get("theta")) or 0.0) for number in point]
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if kind != "polygon" or not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise ShapeRefused(f"a {printable(str(kind), 40)} has no surface, or not an x for each y")
    numbers = [finite(number) for point in zip(xs, ys, strict=True) for number in point]
    return [float("nan") if number is None else number for number in numbers]


def _numbers(shape: Mapping[str, Any], *names: str) -> list[float]:
    values = [finite(shape.get(name)) for name in names]
    if None in values:
        raise ShapeRefused(f"its {', '.join(names)} are not all finite numbers")
    return [value for value in values if value is not None]
