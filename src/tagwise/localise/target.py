"""What detectors and segmenters are trained on, chosen by and tested on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from tagwise.localise.annotations import AnnotatedPicture, Annotations, LabelMaps


@dataclass(frozen=True, kw_only=True, eq=False)
class LocatedTarget:
    """Annotated pictures to train on, to choose by and to test on."""

    train: Annotations | LabelMaps
    validation: Annotations | LabelMaps | None
    test: Annotations | LabelMaps | None

    @property
    def classes(self) -> tuple[str, ...]:
        """Categories of objects, or classes of pixels."""
        return classes_of(self.train)

    @property
    def digest(self) -> str:
        """Of the training part, see ``digest_of``."""
        return digest_of(self.train)


def classes_of(part: Annotations | LabelMaps) -> tuple[str, ...]:
    """Names of the categories of objects, or of the classes of pixels."""
    return part.classes if isinstance(part, LabelMaps) else tuple(one.name for one in part.categories)


def digest_of(part: Annotations | LabelMaps) -> str:
    """16 hex digits of a part's classes, names, sizes, and boxes or labels of pixels; the places do not matter.

    Where masks or keypoints were opened, a hyphen and 16 digits of theirs follow, so that every head tells the same
    first digits of the same objects. Maps are told by what was found in their files as they were opened; nothing is
    decoded here.
    """
    summed, shapes = hashlib.sha256(repr(list(classes_of(part))).encode()), hashlib.sha256()
    shaped = False
    for picture in part.pictures:
        summed.update(repr((picture.name, picture.width, picture.height)).encode())
        if not isinstance(picture, AnnotatedPicture):
            summed.update(picture.digest.encode())
            continue
        for values in (picture.boxes_N4, picture.categories_N, picture.crowd_N):
            summed.update(values.tobytes())
        shapes.update(repr([mask and mask["counts"] for mask in picture.masks]).encode())
        shaped |= any(picture.masks) or picture.keypoints_NK3 is not None
        if picture.keypoints_NK3 is not None:
            shapes.update(picture.keypoints_NK3.tobytes())
    return summed.hexdigest()[:16] + (f"-{shapes.hexdigest()[:16]}" if shaped else "")
