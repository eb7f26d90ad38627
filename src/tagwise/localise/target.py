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
        """Of the training part: names, sizes and objects."""
        return digest_of(self.train)


def classes_of(part: Annotations | LabelMaps) -> tuple[str, ...]:
    """Names of the categories of objects, or of the classes of pixels."""
    return part.classes if isinstance(part, LabelMaps) else tuple(one.name for one in part.categories)


def digest_of(part: Annotations | LabelMaps) -> str:
    """16 hex digits of what a part's pictures are called, their sizes and objects."""
    summed = hashlib.sha256(repr(list(classes_of(part))).encode())
    for picture in part.pictures:
        summed.update(repr((picture.name, picture.width, picture.height)).encode())
        if isinstance(picture, AnnotatedPicture):
            for values in (picture.boxes_N4, picture.categories_N, picture.crowd_N):
                summed.update(values.tobytes())
            summed.update(b"".join(mask["counts"] if mask else b"-" for mask in picture.masks))
            if picture.keypoints_NK3 is not None:
                summed.update(picture.keypoints_NK3.tobytes())
    return summed.hexdigest()[:16]
