"""What is known of where things are: pictures with objects, or with a label for each of their pixels.

One form for all: coordinates are pixels of the picture as it is shown (turned by its EXIF), from 0
at the left and upper edge, so that a box's width is ``x2 - x1``; masks are COCO's run lengths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from tagwise.measure.segmentation import IGNORED
from tagwise.pixels.place import Place

IGNORE = IGNORED
"""The label of pixels that count for nothing, whatever a file has for it."""


class Rle(TypedDict):
    """A mask as pycocotools has it: compressed run lengths, columns first."""

    size: list[int]
    """Height and width."""
    counts: bytes


@dataclass(frozen=True, kw_only=True)
class Category:
    """A kind of object."""

    id: int
    """As files have it; ids may have gaps, and are written back as they were."""
    name: str
    keypoints: tuple[str, ...] = ()
    mirrored: tuple[int, ...] = ()
    """What each keypoint is in the mirror: the place of the right eye at that of the left."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedPicture:
    """A picture with its objects, crowd regions among them."""

    place: Place
    name: str
    """As the annotations call the file."""
    id: int
    """As files have it, or the number in their order."""
    width: int
    height: int
    """Pixels of the picture as it is shown."""
    boxes_N4: NDArray[np.float64]
    """x1, y1, x2, y2, inside the picture, of an area above 0."""
    categories_N: NDArray[np.int64]
    """Places in ``Annotations.categories``."""
    ids: tuple[int | str, ...]
    """Of the annotations, for messages and for files that are written."""
    areas_N: NDArray[np.float64]
    """As the file has it, else the mask's, else the box's; decides what is small."""
    crowd_N: NDArray[np.bool_]
    """Regions of many objects: nothing is learnt from them, and detections inside cost nothing."""
    difficult_N: NDArray[np.bool_]
    """Objects that VOC calls difficult; treated as all others, and counted."""
    masks: tuple[Rle | None, ...]
    """None of an object that has a box alone."""
    keypoints_NK3: NDArray[np.float64] | None = None
    """x, y and 0 unlabelled, 1 hidden, 2 visible."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that is wrong with annotations, or worth knowing, once for each place."""

    kind: str
    """In few words, such as ``box without area``; what a table counts by."""
    file: str
    annotation: str
    """Its id, or where it stands; empty for the file as a whole."""
    detail: str
    """What was found and what was done."""
    serious: bool = True
    """Whether data was dropped, changed, or contradicts itself; the rest is told and left."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotations:
    """Objects of pictures: for boxes, masks and keypoints."""

    name: str
    form: str
    """``coco``, ``voc``, ``yolo``, ``labelme``, ``via`` or ``instances``."""
    categories: tuple[Category, ...]
    pictures: tuple[AnnotatedPicture, ...]
    problems: tuple[Problem, ...] = ()
    licence: str = "unknown"

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True, kw_only=True, eq=False)
class MappedPicture:
    """A picture whose pixels have labels."""

    place: Place
    name: str
    width: int
    height: int
    read_map: Callable[[], NDArray[np.uint8]]
    """Labels [height, width]: places in ``LabelMaps.classes``, or ``IGNORE``; read anew each time."""
    digest: str
    """Another one where labels are others; of what was found when the picture was opened."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelMaps:
    """Pictures with a label for each pixel: for segmentation."""

    name: str
    form: str
    """``maps``, or the form of the objects whose masks the maps were drawn from."""
    classes: tuple[str, ...]
    """The background, where there is one, is the first."""
    pictures: tuple[MappedPicture, ...]
    problems: tuple[Problem, ...] = ()
    licence: str = "unknown"

    def __len__(self) -> int:
        return len(self.pictures)
