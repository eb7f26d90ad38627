"""What a trained detector knows of where and of what, apart: its proposals, and its features in the true boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection.transform import resize_boxes

from tagwise.base import rng
from tagwise.localise.annotations import AnnotatedPicture, Annotations
from tagwise.localise.localisation import proposal_recall
from tagwise.localise.pooling import RegionPooling
from tagwise.localise.writing import coco_truth
from tagwise.measure.accuracy import accuracy, top_k_right
from tagwise.pixels.decode import decode
from tagwise.training.heads import Detector
from tagwise.transfer.linear import PENALTIES, linear_scores
from tagwise.transfer.targets import stratified_folds

RECALL_AT = (0.5, 0.75)
"""IoU that proposals are asked for."""
MOST_PROPOSALS = 100
"""Of a picture that count."""
MOST_PICTURES = 1000
"""Of the training part whose boxes the linear classifier learns from, drawn at random."""
_FOLDS = 3
"""A third of the training boxes chooses the classifier's penalty."""
_SIDE = 7
"""Of the pooled regions; their mean is the feature."""

Picture = NDArray[np.uint8]


def proposals_recall(net: nn.Module, part: Annotations, device: torch.device) -> dict[float, float]:
    """Share of a part's objects that are among each picture's 100 best proposals, by the IoU that is asked for.

    Empty of a RetinaNet, which proposes nothing.

    Raises:
        DataRefused: A picture cannot be read.
        UsageError: No COCO library is installed.
    """
    if not hasattr(net, "rpn"):
        return {}
    net.to(device).eval()
    results: list[dict[str, Any]] = []
    for picture in part.pictures:
        boxes_N4 = propose(net, decode(picture.place).pixels_HWC, device)
        for place, (x1, y1, x2, y2) in enumerate(boxes_N4.tolist()):
            # Torchvision keeps the order of the scores and not the scores.
            results.append({"image_id": picture.id, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": 1 / (1 + place)})
    truth = coco_truth(part)
    return {threshold: proposal_recall(truth, results, threshold) for threshold in RECALL_AT}


def propose(net: nn.Module, picture_HWC: Picture, device: torch.device) -> NDArray[np.float64]:
    """The best proposals on a picture, best first: at most 100 boxes [N, 4] in its pixels.

    Args:
        net: Of ``build_detector``, no RetinaNet, in evaluation mode, on the device.
        picture_HWC: uint8, RGB, upright.
        device: Where.
    """
    net_: Any = net
    with torch.inference_mode():
        images, _ = net_.transform([_values(picture_HWC, device)])
        (found_N4,), _ = net_.rpn(images, net_.backbone(images.tensors))
        boxes_N4 = resize_boxes(found_N4[:MOST_PROPOSALS], images.image_sizes[0], picture_HWC.shape[:2])
    told: NDArray[np.float64] = boxes_N4.double().cpu().numpy()
    return told


def true_box_accuracy(
    net: nn.Module, detector: Detector, train: Annotations, test: Annotations, device: torch.device
) -> float | None:
    """Accuracy, 0..1, of a linear classifier of the test part's true boxes, by what backbone and pyramid make of them.

    It learns from the training part's boxes; its penalty is chosen on a third of them. None where there is nothing to
    tell apart, or nothing to test.

    Raises:
        DataRefused: A picture cannot be read.
    """
    net.to(device).eval()
    drawn = rng.stream(0, "pictures of a probe").permutation(len(train))[:MOST_PICTURES]
    fit_ND, truth_N = _part_features(net, detector, [train.pictures[row] for row in sorted(drawn.tolist())], device)
    query_ND, asked_N = _part_features(net, detector, test.pictures, device)
    if len(np.unique(truth_N)) < 2 or not len(asked_N):
        return None
    held_N = stratified_folds(truth_N, _FOLDS, 0) == 0
    classes = len(train.categories)

    def held_out(penalty: float) -> float:
        here, aside = torch.from_numpy(~held_N), torch.from_numpy(held_N)
        scores = linear_scores(fit_ND[here], truth_N[~held_N], fit_ND[aside], penalty=penalty, classes=classes)
        return accuracy(top_k_right(scores, truth_N[held_N]))

    penalty = max(PENALTIES, key=held_out) if held_N.any() else PENALTIES[len(PENALTIES) // 2]
    scores = linear_scores(fit_ND, truth_N, query_ND, penalty=penalty, classes=classes)
    return accuracy(top_k_right(scores, asked_N))


def _part_features(
    net: nn.Module, detector: Detector, pictures: Any, device: torch.device
) -> tuple[Tensor, NDArray[np.int64]]:
    """Features [N, C] of all objects but crowds, and their categories."""
    found, kinds = [torch.zeros(0)], [np.zeros(0, np.int64)]
    for picture in pictures:
        kept = np.flatnonzero(~picture.crowd_N)
        if len(kept):
            found.append(region_features(net, detector, picture, kept, device))
            kinds.append(picture.categories_N[kept])
    return torch.cat([part for part in found if len(part)] or found), np.concatenate(kinds)


def region_features(
    net: nn.Module, detector: Detector, picture: AnnotatedPicture, chosen: NDArray[np.int64], device: torch.device
) -> Tensor:
    """Means over the pooled pyramid in some of a picture's boxes: float32 [N, C].

    Args:
        net: Of ``build_detector``, in evaluation mode, on the device.
        detector: How regions are pooled.
        picture: With its boxes.
        chosen: Places of the boxes.
        device: Where.
    """
    net_: Any = net
    boxes_N4 = torch.from_numpy(picture.boxes_N4[chosen]).float().to(device)
    with torch.inference_mode():
        images, targets = net_.transform([_values(decode(picture.place).pixels_HWC, device)], [{"boxes": boxes_N4}])
        pyramid = net_.backbone
        pooling = RegionPooling(_SIDE, pyramid.strides[: pyramid.stages], aligned=detector.aligned)
        pooled_NCHW: Tensor = pooling(pyramid(images.tensors), [targets[0]["boxes"]])
    return pooled_NCHW.mean((2, 3)).float().cpu()  # outside, so that a classifier can learn from it


def _values(picture_HWC: Picture, device: torch.device) -> Tensor:
    return torch.from_numpy(picture_HWC).to(device).permute(2, 0, 1).float() / 255
