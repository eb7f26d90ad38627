from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from tagwise.base.errors import DataRefused
from tagwise.localise.anchors import advise_anchors, anchor_generator, share_met
from tagwise.localise.annotations import AnnotatedPicture, Annotations, Category
from tagwise.pixels.place import Place
from tagwise.training.heads import Detector, Sizing

STRIDES = (4, 8, 16, 32, 64)
SHOWN_AT_256 = Sizing(shorter=(256,), longest=256, test_shorter=256, test_longest=256)


def _annotations(boxes: list[NDArray[np.float64]], width: int, height: int) -> Annotations:
    pictures = [
        AnnotatedPicture(
            place=Place("none.jpg"),
            name=f"{number}.jpg",
            id=number,
            width=width,
            height=height,
            boxes_N4=found,
            categories_N=np.zeros(len(found), np.int64),
            ids=tuple(range(len(found))),
            areas_N=np.ones(len(found)),
            crowd_N=np.arange(len(found)) % 7 == 6,
            difficult_N=np.zeros(len(found), bool),
            masks=(None,) * len(found),
        )
        for number, found in enumerate(boxes)
    ]
    category = Category(id=1, name="thing")
    return Annotations(name="things", form="coco", categories=(category,), pictures=tuple(pictures))


@pytest.mark.parametrize("rounded", [True, False])
def test_l19_the_share_is_that_of_all_anchors_of_all_grids(rounded: bool) -> None:
    random = np.random.default_rng(0)
    corners = random.uniform(0, 1, (300, 2)) * [110, 80]
    boxes_N4 = np.hstack([corners, np.minimum(corners + random.uniform(3, 70, (300, 2)), [120, 90])])
    generator = anchor_generator(Detector(anchor_sizes=(8, 16, 32, 64, 128), anchors_rounded=rounded), 5)
    padded = torch.zeros(1, 3, 96, 128)
    maps = [torch.zeros(1, 1, -(-96 // stride), 128 // stride) for stride in STRIDES]
    (anchors,) = generator(ImageList(padded, [(90, 120)]), maps)
    kept = anchors[: -3 * maps[-1].numel()]  # 64 does not divide 96, where the generator makes steps of 48
    best = box_iou(torch.from_numpy(boxes_N4), kept.double()).max(1).values
    cells = [cell.double().numpy() for cell in generator.cell_anchors[:4]]
    shapes = np.tile([90.0, 120.0], (300, 1))
    assert share_met(boxes_N4, shapes, cells, STRIDES[:4]) == (best >= 0.5).double().mean().item()


def test_anchors_that_are_not_rounded_are_exact() -> None:
    sizes, ratios = ((10.0, 13.0), (20.0, 26.0)), ((0.5, 1.0, 3.0),) * 2
    (exact, _) = anchor_generator(
        Detector(kind="retina", anchor_sizes=(10, 20), anchor_ratios=(0.5, 1, 3), anchors_rounded=False), 2
    ).cell_anchors
    rounded, _ = AnchorGenerator(sizes, ratios).cell_anchors
    assert exact.shape == (9, 4)
    sides = exact[:, 2:] - exact[:, :2]
    assert torch.allclose(sides.prod(1).sqrt(), torch.tensor([10, 10 * 2 ** (1 / 3), 10 * 2 ** (2 / 3)]).repeat(3))
    assert torch.allclose(sides[:, 1] / sides[:, 0], torch.tensor([0.5, 1.0, 3.0]).repeat_interleave(3))
    assert (exact[[0, 3, 6]] - rounded[[0, 2, 4]]).abs().max() <= 0.5


def test_l19_objects_that_anchors_suit_bring_no_warning() -> None:
    squares = [np.array([[16.0, 16.0, 48.0, 48.0], [60.0, 60.0, 130.0, 125.0]])]
    advice = advise_anchors(_annotations(squares, 256, 256), Detector(), SHOWN_AT_256, STRIDES)
    assert (advice.objects, advice.share, advice.warning) == (2, 1.0, None)


def test_l19_objects_count_as_large_as_they_are_shown() -> None:
    """32 pixels of a picture of 128 are 64 of one that is shown at 256; crowds do not count."""
    squares = [np.tile([16.0, 16.0, 48.0, 48.0], (7, 1))]
    advice = advise_anchors(_annotations(squares, 160, 128), Detector(), Sizing(test_shorter=256), STRIDES)
    assert advice.objects == 6
    assert advice.sides == pytest.approx((64, 64, 64))
    with pytest.raises(DataRefused, match="things has no objects"):
        advise_anchors(_annotations([np.zeros((0, 4))], 160, 128), Detector(), SHOWN_AT_256, STRIDES)


def test_l19_small_slim_objects_get_small_slim_anchors() -> None:
    random = np.random.default_rng(0)
    corners = random.integers(0, 200, (500, 2)).astype(float)
    slim = [np.hstack([corners, corners + np.array([12, 96])])]
    advice = advise_anchors(_annotations(slim, 256, 256), Detector(), SHOWN_AT_256, STRIDES)
    assert advice.share < 0.1
    assert advice.advised_share > 0.9
    assert advice.ratios == (8.0,)
    assert all(type(value) is float for value in (*advice.sizes, *advice.ratios))  # they go into plans, and so to JSON
    assert advice.warning is not None
    assert "32 64 128 256 512" in advice.warning


def test_l19_objects_that_no_anchors_suit_bring_a_warning_too() -> None:
    """Shown at 1 pixel they are smaller than any anchor that is tried."""
    squares = [np.array([[16.0, 16.0, 48.0, 48.0]])]
    tiny = Sizing(shorter=(1,), longest=1, test_shorter=1, test_longest=1)
    advice = advise_anchors(_annotations(squares, 256, 256), Detector(), tiny, STRIDES)
    assert (advice.share, advice.advised_share) == (0, 0)
    assert advice.warning is not None
    assert "no others that were tried meet more" in advice.warning


def test_l19_nuclei_are_too_small_for_the_usual_anchors(real_data: Path) -> None:
    found = json.loads((real_data / "locate" / "nuclei" / "train.json").read_text())
    boxes = [
        np.array([one["bbox"] for one in found["annotations"] if one["image_id"] == picture["id"]])
        for picture in found["images"]
    ]
    corners = [np.hstack([box[:, :2], box[:, :2] + box[:, 2:]]) for box in boxes]
    advice = advise_anchors(_annotations(corners, 256, 256), Detector(), SHOWN_AT_256, STRIDES)
    assert advice.warning is not None
    assert advice.share < 0.2
    assert advice.sizes[0] <= 16
    assert advice.advised_share > advice.share + 0.5
    better = Detector(anchor_sizes=advice.sizes, anchor_ratios=advice.ratios)
    assert advise_anchors(_annotations(corners, 256, 256), better, SHOWN_AT_256, STRIDES).share == advice.advised_share
