"""What files say of a picture's objects, checked against the picture and put into one form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwise.base.progress import progress
from tagwise.localise import rasters
from tagwise.localise.annotations import AnnotatedPicture, Category, Rle
from tagwise.localise.faults import Faults, Kind
from tagwise.localise.pictures import Finder, Header, header_of, is_called, settle_frame, turned_point
from tagwise.localise.rasters import ShapeRefused
from tagwise.localise.readers import Box, RawObject, RawPicture, RawSet, Reading, finite
from tagwise.pixels.place import PictureRefused, Place

ROUNDING = 0.01
"""Pixels that a box may stand out of its picture by the rounding of its numbers; it is cut without a word."""
_DEEP = ("I", "I;16", "I;16B", "F")


def assemble(
    raw: RawSet, finder: Finder, categories: tuple[Category, ...], reading: Reading, faults: Faults
) -> Iterator[AnnotatedPicture]:
    """The pictures of a part that are there and can be read, with the objects that hold."""
    places = {category.name: place for place, category in enumerate(categories)}
    seen: dict[str, str] = {}
    with progress("reading annotations", len(raw.pictures)) as ticker:
        for picture in raw.pictures:
            ticker.advance()
            found = _find(picture, finder, faults)
            if found is None:
                continue
            place, header = found
            if place.path in seen:
                faults.add(Kind.TWICE, picture.file, detail=f"{picture.name} is in {seen[place.path]} too; dropped")
                continue
            seen[place.path] = picture.file
            fits, turned = settle_frame(header, picture.size, reading.exif, (faults, picture.file, picture.annotation))
            if fits:
                frame = _Frame(picture, header, turned, categories, reading, faults)
                yield _picture(place, frame, places)


def _find(picture: RawPicture, finder: Finder, faults: Faults) -> tuple[Place, Header] | None:
    path = picture.found or finder.find(picture.name)
    if path is None and picture.stated:
        path = finder.find(picture.stated)
    if path is None:
        said = f"there is no {picture.name}"
        if finder.leads_out(picture.stated):
            said = f"{picture.stated} leads out of the set and is not opened"
        faults.add(Kind.MISSING, picture.file, picture.annotation, f"{said}; dropped with its objects")
        return None
    if picture.stated and not is_called(path, picture.stated):
        said = f"it names {picture.stated}; {'/'.join(path.parts[-2:])} is used"
        faults.add(Kind.OTHER_NAME, picture.file, picture.annotation, said)
    try:
        header = header_of(path)
    except PictureRefused as refusal:
        faults.add(Kind.UNREADABLE, path, detail=f"{refusal.reason}; dropped with its objects")
        return None
    if header.mode in _DEEP:
        faults.add(Kind.DEEP, path, detail="a picture of 16 bits or more, scaled to 8 as it is read")
    if picture.size is None and not picture.relative:
        said = f"{header.width} x {header.height} is the picture's own"
        faults.add(Kind.NO_SIZE, picture.file, picture.annotation, said)
    return Place(str(path)), header


@dataclass(frozen=True)
class _Frame:
    """All that an object is checked against."""

    raw: RawPicture
    header: Header
    turned: bool
    """Whether the annotations see the picture as it is shown."""
    categories: tuple[Category, ...]
    reading: Reading
    faults: Faults

    @property
    def seen(self) -> tuple[int, int]:
        """Width and height that the annotations see."""
        return self.header.shown if self.turned else (self.header.width, self.header.height)

    def wants(self, what: str) -> bool:
        return self.reading.needs is None or what in self.reading.needs

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A file's point in pixels of the picture as it is shown."""
        if self.raw.relative:
            x, y = x * self.seen[0], y * self.seen[1]
        return (x, y) if self.turned else turned_point(x, y, self.header)

    def box(self, box: Box) -> Box:
        """A file's box; corners in the wrong order stay so where nothing is turned."""
        (x1, y1), (x2, y2) = self.point(*box[:2]), self.point(*box[2:])
        return (x1, y1, x2, y2) if self.turned else (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


@dataclass(frozen=True, kw_only=True)
class _Object:
    raw: RawObject
    category: int
    box: Box
    area: float
    mask: Rle | None
    keypoints: NDArray[np.float64]


def _picture(place: Place, frame: _Frame, places: Mapping[str, int]) -> AnnotatedPicture:
    count = max((len(category.keypoints) for category in frame.categories), default=0)
    objects = [one for raw in frame.raw.objects if (one := _object(raw, frame, places, count)) is not None]
    file = frame.raw.file
    if not frame.raw.objects:
        frame.faults.add(Kind.EMPTY, file, detail=f"{frame.raw.name} teaches what is none")
    for one in objects:
        if one.raw.crowd:
            frame.faults.add(Kind.CROWD, file, one.raw.id, "nothing is learnt from it")
        if one.raw.difficult:
            frame.faults.add(Kind.DIFFICULT, file, one.raw.id, "treated as all others")
    width, height = frame.header.shown
    points = np.array([one.keypoints for one in objects], np.float64).reshape(len(objects), count, 3)
    return AnnotatedPicture(
        place=place,
        name=frame.raw.name,
        id=frame.raw.id,
        width=width,
        height=height,
        boxes_N4=np.array([one.box for one in objects], np.float64).reshape(-1, 4),
        categories_N=np.array([one.category for one in objects], np.int64),
        ids=tuple(one.raw.id for one in objects),
        areas_N=np.array([one.area for one in objects], np.float64),
        crowd_N=np.array([one.raw.crowd for one in objects], bool),
        difficult_N=np.array([one.raw.difficult for one in objects], bool),
        masks=tuple(one.mask for one in objects),
        keypoints_NK3=points if count and frame.wants("keypoints") else None,
    )


class _Dropped(Exception):
    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


def _object(raw: RawObject, frame: _Frame, places: Mapping[str, int], count: int) -> _Object | None:
    try:
        category = _category(raw, places)
        mask = _mask(raw, frame)
        box = _checked_box(raw, mask, frame)
        if raw.box is not None and mask is not None and _apart(box, rasters.bounds(mask)):
            told = " and ".join(", ".join(f"{side:g}" for side in one) for one in (box, rasters.bounds(mask)))
            said = f"corners {told}; the box is used for boxes, the mask for masks"
            frame.faults.add(Kind.APART, frame.raw.file, raw.id, said)
        area = raw.area
        if area is None:
            area = rasters.area(mask) if mask is not None else (box[2] - box[0]) * (box[3] - box[1])
        points = _keypoints(raw, frame, category, count)
        kept = mask if frame.wants("masks") else None
        return _Object(raw=raw, category=category, box=box, area=area, mask=kept, keypoints=points)
    except _Dropped as dropped:
        frame.faults.add(dropped.kind, frame.raw.file, raw.id, dropped.detail)
        return None


def _category(raw: RawObject, places: Mapping[str, int]) -> int:
    if raw.category not in places:
        raise _Dropped(Kind.UNKNOWN_CLASS, f"{raw.category!r} is none of {', '.join(list(places)[:8])}")
    return places[raw.category]


def _mask(raw: RawObject, frame: _Frame) -> Rle | None:
    """Drawn where somebody wants it, or the object's area or box depends on it."""
    if raw.shape is None:
        if frame.reading.needs is not None and "masks" in frame.reading.needs and not raw.crowd:
            raise _Dropped(Kind.NO_MASK, "it has a box alone; dropped")
        return None
    if not frame.wants("masks") and raw.area is not None and raw.box is not None:
        return None
    try:
        return _drawn(raw.shape, frame)
    except ShapeRefused as refusal:
        if raw.box is None or "masks" in (frame.reading.needs or ()):
            raise _Dropped(Kind.BAD_MASK, f"{refusal}; dropped") from refusal
        frame.faults.add(Kind.BAD_MASK, frame.raw.file, raw.id, f"{refusal}; dropped where masks are learnt")
        return None


def _drawn(shape: Any, frame: _Frame) -> Rle:
    if isinstance(shape, Mapping):
        width, height = frame.seen
        mask = rasters.draw(shape, height, width)
        mask = mask if frame.turned else rasters.turn(mask, frame.header.orientation)
    elif isinstance(shape, list):
        width, height = frame.header.shown
        mask = rasters.draw([_moved(polygon, frame) for polygon in shape], height, width)
    else:
        raise ShapeRefused("it is neither polygons nor run lengths")
    if not rasters.area(mask):
        raise ShapeRefused("it covers no pixel")
    return mask


def _moved(polygon: Any, frame: _Frame) -> Any:
    """A polygon in pixels of the picture as it is shown; one that is none is left for ``draw`` to refuse."""
    if (frame.turned and not frame.raw.relative) or not isinstance(polygon, list) or len(polygon) % 2:
        return polygon
    numbers = [finite(number) for number in polygon]
    if None in numbers:
        return polygon
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return [number for x, y in pairs if x is not None and y is not None for number in frame.point(x, y)]


def _checked_box(raw: RawObject, mask: Rle | None, frame: _Frame) -> Box:
    """The box inside the picture."""
    box = _spanned(raw, mask, frame)
    told = ", ".join(f"{number:g}" for number in box)
    if not all(map(math.isfinite, box)):
        raise _Dropped(Kind.NOT_FINITE, f"corners {told}; dropped")
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        raise _Dropped(Kind.NO_AREA, f"corners {told}; dropped")
    width, height = frame.header.shown
    inside = (max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2))
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        raise _Dropped(Kind.OUTSIDE, f"corners {told} in {width} x {height}; dropped")
    if max(abs(old - new) for old, new in zip(box, inside, strict=True)) > ROUNDING:
        frame.faults.add(Kind.CLIPPED, frame.raw.file, raw.id, f"corners {told} in {width} x {height}; cut to it")
    return inside


def _apart(box: Box, others: Box) -> bool:
    """Whether IoU is below a half, with a pixel on every side for what drawing rounds."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = ((one[0] - 1, one[1] - 1, one[2] + 1, one[3] + 1) for one in (box, others))
    both = max(0.0, min(x2, u2) - max(x1, u1)) * max(0.0, min(y2, v2) - max(y1, v1))
    return both < ((x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - both) / 2


def _spanned(raw: RawObject, mask: Rle | None, frame: _Frame) -> Box:
    """The file's box; else what the polygons span, with their fractions; else the mask."""
    if raw.box is not None:
        return frame.box(raw.box)
    assert mask is not None, "an object has a box or a shape"
    assert raw.shape is not None, "what was drawn had a shape"
    if isinstance(raw.shape, Mapping):
        return rasters.bounds(mask)
    points = np.array([number for polygon in raw.shape for number in _moved(polygon, frame)]).reshape(-1, 2)
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x1, y1, x2, y2


def _keypoints(raw: RawObject, frame: _Frame, category: int, count: int) -> NDArray[np.float64]:
    """x, y, visibility; zeros where the object has none."""
    points = np.zeros((count, 3))
    wanted = len(frame.categories[category].keypoints)
    if raw.keypoints is None or not frame.wants("keypoints"):
        return points
    numbers = [finite(number) for number in raw.keypoints]
    if len(numbers) != 3 * wanted or None in numbers:
        said = f"{len(numbers)} numbers, not {3 * wanted} finite ones; its keypoints are left away"
        frame.faults.add(Kind.BAD_KEYPOINTS, frame.raw.file, raw.id, said)
        return points
    points[:wanted] = np.array(numbers, np.float64).reshape(-1, 3)
    for place in np.flatnonzero(points[:, 2] > 0):
        points[place, :2] = frame.point(points[place, 0], points[place, 1])
    points[points[:, 2] <= 0] = 0
    return points
