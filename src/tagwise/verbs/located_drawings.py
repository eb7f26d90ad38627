"""What a detector or segmenter found, drawn on its picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tagwise.localise.writing_detections import Detections

LEGIBLE_SIDE = 320
"""Pixels; smaller pictures are drawn on enlarged by whole numbers, so that names can be read."""


def draw_found(picture_HWC: NDArray[np.uint8], found: Detections, names: Sequence[str]) -> NDArray[np.uint8]:
    """What a detector found, on its picture, which is enlarged where it is small."""
    import numpy as np

    from tagwise.localise import rasters
    from tagwise.localise.drawing import DrawnObjects, draw_objects

    keypoints_NK3 = None
    if found.keypoints_NK3 is not None:
        keypoints_NK3 = np.array(found.keypoints_NK3, np.float64)
        keypoints_NK3[..., 2] = 2  # all are told; how surely, a drawing cannot show
    masks = [rasters.decode(mask) for mask in found.masks or ()]
    objects = DrawnObjects(
        boxes_N4=np.asarray(found.boxes_N4, np.float64),
        labels_N=np.asarray(found.labels_N, np.int64),
        names=names,
        scores_N=np.asarray(found.scores_N, np.float64),
        masks_NHW=np.stack(masks) if masks else None,
        keypoints_NK3=keypoints_NK3,
    )
    return draw_objects(picture_HWC, objects, scale=legible_scale(picture_HWC.shape[:2]))


def draw_map(picture_HWC: NDArray[np.uint8], labels_HW: NDArray[np.uint8], names: Sequence[str]) -> NDArray[np.uint8]:
    """Classes of pixels over their picture, above their names; a background is left as it is."""
    import numpy as np

    from tagwise.localise.drawing import with_legend
    from tagwise.localise.overlays import overlay

    scale = legible_scale(picture_HWC.shape[:2])
    plain = 0 if names[0] == "background" else None
    large_HWC, large_HW = (values.repeat(scale, 0).repeat(scale, 1) for values in (picture_HWC, labels_HW))
    shown = [label for label in np.unique(labels_HW).tolist() if label != plain]
    return with_legend(overlay(large_HWC, large_HW, plain=plain), shown, names)


def legible_scale(size: Sequence[int]) -> int:
    """How much a picture of this height and width is enlarged, so that names on it can be read."""
    return max(1, LEGIBLE_SIDE // max(size))
