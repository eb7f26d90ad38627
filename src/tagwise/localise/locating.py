"""Detectors and segmenters in use: what they find on pictures, and how well that fits annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tagwise.base.views import View
from tagwise.localise import rasters
from tagwise.localise.annotations import Annotations, LabelMaps, Rle
from tagwise.localise.showing import fitted_size
from tagwise.localise.windows import Windows, class_scores
from tagwise.localise.writing import coco_truth
from tagwise.localise.writing_detections import Detections, coco_detections
from tagwise.measure.detection import DetectionScores, detection_scores
from tagwise.measure.detection_errors import DetectionErrors, detection_errors
from tagwise.measure.matching import Kind
from tagwise.measure.segmentation import Convention, SegmentationScores, pixel_confusion, segmentation_scores
from tagwise.pixels.augment import normalised
from tagwise.pixels.decode import decode
from tagwise.training.heads import Detector, Sizing

Picture = NDArray[np.uint8]
Told = Callable[[int], None]
"""Told how many pictures are done."""

MASK_LEVEL = 0.5
"""Of a mask's probabilities: pixels from here on are the object's."""


def detect(net: nn.Module, picture_HWC: Picture, detector: Detector, device: torch.device) -> Detections:
    """What a detector finds on one picture, in its pixels.

    Args:
        net: Of ``build_detector``, in evaluation mode, on the device.
        picture_HWC: uint8, RGB, upright.
        detector: Tells which parts there are.
        device: Where.
    """
    image_CHW = torch.from_numpy(picture_HWC).to(device).permute(2, 0, 1).float() / 255
    with torch.inference_mode():
        (found,) = net([image_CHW])
    masks = keypoints = None
    if detector.has_masks:
        masks = tuple(map(_mask, found["masks"]))
    if detector.kind == "keypoint":
        keypoints = _keypoints(found)
    return Detections(
        boxes_N4=found["boxes"].double().cpu().numpy(),
        scores_N=found["scores"].double().cpu().numpy(),
        labels_N=found["labels"].cpu().numpy() - 1,
        masks=masks,
        keypoints_NK3=keypoints,
    )


def _mask(mask_CHW: Tensor) -> Rle:
    return rasters.encode((mask_CHW[0] >= MASK_LEVEL).cpu().numpy())


def _keypoints(found: dict[str, Tensor]) -> NDArray[np.float64]:
    points_NK3 = found["keypoints"].double().cpu().numpy()
    points_NK3[..., 2] = found["keypoints_scores"].double().cpu().numpy()
    return points_NK3


def segment(
    net: nn.Module, picture_HWC: Picture, view: View, sizing: Sizing, windows: Windows, device: torch.device
) -> Picture:
    """The class of each pixel of one picture: uint8 [H, W].

    Args:
        net: Of ``build_segmenter``, in evaluation mode, on the device.
        picture_HWC: uint8, RGB, upright.
        view: How its values are normalised.
        sizing: The size that it is seen at, whose classes are enlarged to the picture's.
        windows: How it is looked at.
        device: Where.
    """
    height, width = picture_HWC.shape[:2]
    seen = fitted_size(height, width, sizing.test_shorter, sizing.test_longest)
    levels_BCHW = torch.from_numpy(picture_HWC).to(device).permute(2, 0, 1)[None].float()
    if seen != (height, width):
        levels_BCHW = F.interpolate(levels_BCHW, size=seen, mode="bilinear", antialias=True).clamp(0, 255)
    scores_BCHW = class_scores(net, normalised(levels_BCHW, view), windows)
    if seen != (height, width):
        scores_BCHW = F.interpolate(scores_BCHW, size=(height, width), mode="bilinear")
    labels: Picture = scores_BCHW[0].argmax(0).to(torch.uint8).cpu().numpy()
    return labels


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxResult:
    """What a detector found on annotated pictures, and how well it fits."""

    found: tuple[Detections, ...]
    """A picture each."""
    results: list[dict[str, Any]]
    """The same as COCO results."""
    scores: tuple[DetectionScores, ...]
    """Of boxes, and of masks or keypoints where the detector tells them."""
    errors: DetectionErrors
    """Of its boxes."""


def evaluate_boxes(
    net: nn.Module, annotations: Annotations, detector: Detector, device: torch.device, told: Told | None = None
) -> BoxResult:
    """COCO's numbers of a detector; its categories are the annotations'.

    Raises:
        DataRefused: A picture cannot be read, or objects lack what is compared.
        UsageError: No COCO library is installed.
    """
    found = tuple(_all_detections(net, annotations, detector, device, told))
    results, truth = coco_detections(found, annotations), coco_truth(annotations)
    kinds = ["bbox", *(["segm"] if detector.has_masks else []), *(["keypoints"] if detector.kind == "keypoint" else [])]
    return BoxResult(
        found=found,
        results=results,
        scores=tuple(detection_scores(truth, results, kind) for kind in kinds),  # type: ignore[arg-type]
        errors=detection_errors(truth, results, "bbox"),
    )


def box_ap(net: nn.Module, annotations: Annotations, detector: Detector, device: torch.device) -> float:
    """AP of masks or keypoints where the detector tells them, else of boxes: what checkpoints are chosen by."""
    found = list(_all_detections(net, annotations, detector, device, None))
    kind: Kind = "segm" if detector.has_masks else "keypoints" if detector.kind == "keypoint" else "bbox"
    results = coco_detections(found, annotations)
    return detection_scores(coco_truth(annotations), results, kind).numbers["AP"]


def _all_detections(
    net: nn.Module, annotations: Annotations, detector: Detector, device: torch.device, told: Told | None
) -> Iterator[Detections]:
    net.to(device).eval()
    for picture in annotations.pictures:
        yield detect(net, decode(picture.place).pixels_HWC, detector, device)
        if told is not None:
            told(1)


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelResult:
    """How well a segmenter's classes fit label maps."""

    scores: SegmentationScores
    confusion_CC: NDArray[np.int64]
    """Pixels by true class (row) and told class (column), of all pictures."""


def evaluate_pixels(
    net: nn.Module,
    maps: LabelMaps,
    view: View,
    sizing: Sizing,
    windows: Windows,
    device: torch.device,
    *,
    convention: Convention = "truth_or_prediction",
    each: Callable[[int, Picture], None] | None = None,
    told: Told | None = None,
) -> PixelResult:
    """Scores of a segmenter over the pixels of all pictures.

    Args:
        net: Of ``build_segmenter``.
        maps: What is true.
        view: How pictures' values are normalised.
        sizing: The size that pictures are seen at.
        windows: How they are looked at.
        device: Where.
        convention: Over which classes the IoU is averaged.
        each: Given the place of each picture and the classes told of its pixels, uint8 [H, W].
        told: Told how many pictures are done.

    Raises:
        DataRefused: A picture or map cannot be read.
    """
    net.to(device).eval()
    confusion_CC = np.zeros((len(maps.classes), len(maps.classes)), np.int64)
    for row, picture in enumerate(maps.pictures):
        labels_HW = segment(net, decode(picture.place).pixels_HWC, view, sizing, windows, device)
        confusion_CC += pixel_confusion(picture.read_map(), labels_HW, len(maps.classes))
        if each is not None:
            each(row, labels_HW)
        if told is not None:
            told(1)
    return PixelResult(scores=segmentation_scores(confusion_CC, convention=convention), confusion_CC=confusion_CC)


def shown_to_norms(net: nn.Module) -> Callable[[Any], Any]:
    """Shows a net what its loss is computed of, for ``recompute_norms``: inputs as of ``LocatedTask.parts``."""

    def show(inputs: tuple[Any, ...]) -> None:
        images, truth = inputs
        net(images, truth) if isinstance(images, list) else net(images)

    return show
