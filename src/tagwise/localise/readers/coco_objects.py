"""The objects of COCO's JSON, entry by entry: what each says, and which of its numbers are none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tagwise.localise.faults import Faults, Kind
from tagwise.localise.readers import Box, RawObject, finite, whole


class Ids:
    """Gives an id that a second annotation has a new one, above all others."""

    def __init__(self, entries: list[Any]) -> None:
        ids = (whole(entry.get("id")) for entry in entries if isinstance(entry, Mapping))
        self._next = max((number for number in ids if number is not None), default=0) + 1
        self._seen: dict[int, Any] = {}

    def settle(self, number: int | None, entry: Any) -> tuple[int, str]:
        """The id to use, and what was done: empty, ``new``, or ``again`` for the same entry once more."""
        if number is not None and number not in self._seen:
            self._seen[number] = entry
            return number, ""
        if number is not None and self._seen[number] == entry:
            return number, "again"
        self._next += 1
        return self._next - 1, "new" if number is not None else ""


def read_object(
    entry: Any, place: int, path: Path, names: dict[int, str], ids: Ids, faults: Faults
) -> tuple[int, RawObject] | None:
    """The picture's id and the object that an entry of the list of annotations tells; None, listed, if it cannot.

    Args:
        entry: As JSON has it.
        place: In the list.
        path: Of the file, for messages.
        names: Of the categories by their ids.
        ids: Of the file's annotations so far.
        faults: Where problems are listed.
    """
    where = f"entry {place + 1}"
    if not isinstance(entry, Mapping):
        faults.add(Kind.MALFORMED, path, where, "it is no table; dropped")
        return None
    given = whole(entry.get("id"))
    number, done = ids.settle(given, entry)
    if done == "again":
        faults.add(Kind.SAME_ID, path, number, "the same once more; dropped")
        return None
    if done:
        faults.add(Kind.SAME_ID, path, given, f"another object has this id; it is {number} now")
    picture, category = whole(entry.get("image_id")), whole(entry.get("category_id"))
    if category not in names:
        said = f"category_id {entry.get('category_id')} is none of {', '.join(map(str, list(names)[:8]))}"
        faults.add(Kind.UNKNOWN_CLASS, path, number, f"{said}; correct it, or add the category")
        return None
    shape, box = entry.get("segmentation") or None, _box(entry.get("bbox"))
    if picture is None or (box is None and shape is None):
        faults.add(Kind.MALFORMED, path, number, "it has no image_id, or neither bbox nor segmentation; dropped")
        return None
    if box is None and entry.get("bbox") is not None:
        faults.add(
            Kind.MALFORMED, path, number, "bbox is not 4 numbers; dropped, as only without one the mask's is used"
        )
        return None
    points = entry.get("keypoints")
    _tell_text(entry, path, number, faults)
    return picture, RawObject(
        category=names[category],
        id=number,
        box=box,
        shape=shape,
        area=_area(entry, path, number, faults),
        crowd=_crowd(entry, path, number, faults),
        keypoints=points if isinstance(points, list) and points else None,
    )


def _box(values: Any) -> Box | None:
    """Corners; NaN stays, so that it is listed."""
    if not isinstance(values, list) or len(values) != 4:
        return None
    x, y, width, height = (float("nan") if (number := finite(value)) is None else number for value in values)
    return x, y, x + width, y + height


def _tell_text(entry: Mapping[str, Any], path: Path, number: int, faults: Faults) -> None:
    """Lists numbers that stand in quotation marks; they are read as what they say."""
    for key in ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "keypoints"):
        value = entry.get(key)
        text = next((one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)), None)
        if text is not None:
            faults.add(Kind.TEXT, path, number, f"{key} {text!r}; read as a number where it is one")


def _area(entry: Mapping[str, Any], path: Path, number: int, faults: Faults) -> float | None:
    """The file's area; null, as its absence, leaves it to the mask or the box."""
    value = entry.get("area")
    area = finite(value)
    if value is None or (area is not None and area >= 0):
        return area
    faults.add(Kind.BAD_AREA, path, number, f"area {value}; the mask's or else the box's is used")
    return None


def _crowd(entry: Mapping[str, Any], path: Path, number: int, faults: Faults) -> bool:
    value = entry.get("iscrowd")
    flag = int(value) if isinstance(value, bool) else 0 if value is None else whole(value)
    if flag not in (0, 1):
        faults.add(Kind.BAD_CROWD, path, number, f"iscrowd {value}; taken for a crowd, of which nothing is learnt")
    return flag != 0
