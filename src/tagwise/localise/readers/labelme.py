"""LabelMe's JSON: outlines of objects, a file for each picture."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tagwise.base.errors import DataRefused
from tagwise.localise.faults import Faults, Kind
from tagwise.localise.rasters import ShapeRefused, decode, draw, encode
from tagwise.localise.readers import RawObject, RawPicture, RawSet, Reading, finite, read_json, size_of, split
from tagwise.localise.readers.values import read_values
from tagwise.pixels.place import PictureRefused

NO_OBJECTS = frozenset({"background", "_background_", "__ignore__"})
"""Labels whose outlines are of no object."""
CIRCLE_CORNERS = 64


def read(path: Path, reading: Reading) -> dict[str, RawSet]:  # noqa: ARG001 - all readers are called alike
    """A file or a folder of files; by part where ``train.txt`` and its like lie beside.

    Raises:
        DataRefused: There is no file.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.json"))
    if not files:
        raise DataRefused(f"{path} holds no .json file; give the folder of LabelMe's files.")
    faults = Faults()
    pictures = [_read_file(file, number, faults) for number, file in enumerate(files, 1)]
    whole_set = RawSet(pictures=tuple(filter(None, pictures)), faults=faults)
    return {"train": whole_set} if path.is_file() else split(whole_set, path)


def is_labelme(plain: Any) -> bool:
    """Whether JSON has LabelMe's list of shapes."""
    return isinstance(plain, Mapping) and isinstance(plain.get("shapes"), list)


def _read_file(path: Path, number: int, faults: Faults) -> RawPicture | None:
    try:
        plain = read_json(path)
    except DataRefused as error:
        faults.add(Kind.MALFORMED, path, detail=f"{error} Its picture is dropped")
        return None
    if not is_labelme(plain):
        faults.add(Kind.MALFORMED, path, detail="it has no list 'shapes'; its picture is dropped")
        return None
    size = size_of(plain.get("imageWidth"), plain.get("imageHeight"))
    stated = str(plain.get("imagePath") or "").replace("\\", "/")
    groups: dict[tuple[Any, str], list[tuple[int, Any]]] = {}
    for place, entry in enumerate(plain["shapes"], 1):
        label = entry.get("label") if isinstance(entry, Mapping) else None
        if not isinstance(label, str) or not label.strip():
            faults.add(Kind.MALFORMED, path, place, "it has no label; dropped")
        elif label.strip().lower() not in NO_OBJECTS:
            group = entry.get("group_id")
            key = (place, "") if group is None else (str(group), label.strip())
            groups.setdefault(key, []).append((place, entry))
    objects = [_object(parts, size, path, faults) for parts in groups.values()]
    return RawPicture(
        name=f"{path.stem}{Path(stated).suffix or '.jpg'}",
        stated=stated,
        file=path.name,
        id=number,
        size=size,
        objects=tuple(filter(None, objects)),
    )


def _object(parts: list[tuple[int, Any]], size: tuple[int, int] | None, path: Path, faults: Faults) -> RawObject | None:
    """Outlines and masks of one group are one object."""
    polygons: list[list[float]] = []
    masks: list[np.ndarray] = []
    frame = size if any(entry.get("shape_type") == "mask" for _, entry in parts) else None
    for place, entry in parts:
        try:
            if entry.get("shape_type") == "mask":
                masks.append(_mask(entry, size))
                continue
            polygon = outline(entry.get("shape_type") or "polygon", _points(entry))
            if frame is not None:
                masks.append(decode(draw([polygon], frame[1], frame[0])))
            else:
                polygons.append(polygon)
        except (ShapeRefused, PictureRefused) as error:
            kind = (
                Kind.NO_SURFACE
                if entry.get("shape_type") in ("line", "linestrip", "point", "points")
                else Kind.BAD_MASK
            )
            faults.add(kind, path, place, f"{error}; dropped")
    if not polygons and not masks:
        return None
    place, entry = parts[0]
    shape = dict(encode(np.logical_or.reduce(masks))) if masks else polygons
    return RawObject(category=entry["label"].strip(), id=place, shape=shape)


def _points(entry: Mapping[str, Any]) -> list[tuple[float, float]]:
    points, given = [], entry.get("points")
    for point in given if isinstance(given, list) else ():
        x, y = (finite(number) for number in point) if isinstance(point, list) and len(point) == 2 else (None, None)
        if x is None or y is None:
            raise ShapeRefused("a point is not two finite numbers")
        points.append((x, y))
    return points


def outline(kind: str, points: list[tuple[float, float]]) -> list[float]:
    """The polygon of a shape, x, y, x, y, ...

    Args:
        kind: ``polygon``, ``rectangle`` of two opposite corners (or four), ``circle`` of the middle and a point on it.
        points: The shape's points.

    Raises:
        ShapeRefused: The shape has no surface, or too few points.
    """
    if kind == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points
        points = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    elif kind == "circle" and len(points) == 2:
        (x, y), edge = points
        points = ellipse(x, y, math.dist((x, y), edge), math.dist((x, y), edge))
    elif kind not in ("polygon", "rectangle"):
        raise ShapeRefused(f"a {kind} has no surface")
    return [number for point in points for number in point]


def ellipse(x: float, y: float, across: float, down: float, turned: float = 0.0) -> list[tuple[float, float]]:
    """Corners around an ellipse of the two radii, turned by so many radians from x towards y."""
    cos, sin = math.cos(turned), math.sin(turned)
    steps = (2 * math.pi * corner / CIRCLE_CORNERS for corner in range(CIRCLE_CORNERS))
    points = [(across * math.cos(step), down * math.sin(step)) for step in steps]
    return [(x + cos * right - sin * low, y + sin * right + cos * low) for right, low in points]


def _mask(entry: Mapping[str, Any], size: tuple[int, int] | None) -> np.ndarray:
    """A small PNG in base 64, laid down between the shape's two points, both inside."""
    points = _points(entry)
    if size is None or len(points) != 2:
        raise ShapeRefused("a mask needs imageWidth, imageHeight and two points")
    try:
        small = read_values(base64.b64decode(entry.get("mask") or "", validate=True)).values > 0
    except (binascii.Error, TypeError, ValueError) as error:
        raise ShapeRefused("its mask is no base 64") from error
    left, top = (round(number) for number in points[0])
    height, width = small.shape
    if small.ndim != 2 or left < 0 or top < 0 or left + width > size[0] or top + height > size[1]:
        raise ShapeRefused("its mask reaches beyond the picture")
    whole = np.zeros((size[1], size[0]), bool)
    whole[top : top + height, left : left + width] = small
    return whole
