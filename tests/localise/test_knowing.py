"""What a detector knows of where and of what is measured apart."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tagwise.localise.annotations import Annotations
from tagwise.localise.knowing import proposals_recall, propose, region_features, true_box_accuracy
from tagwise.localise.opening import open_annotations
from tagwise.localise.pooling import RegionPooling
from tests.localise.drawn_target import write_target
from tests.localise.small_detectors import build, small
from tests.references.coco import need

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Annotations]:
    return open_annotations(write_target(tmp_path_factory.mktemp("drawn"), train=8, val=8))


def detector(**settings: Any) -> Any:
    torch.manual_seed(0)
    return build(small(**settings)).eval()


def test_proposals_are_told_best_first_in_the_pixels_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    net = detector()
    seen = {}

    def forward(images: Any, features: Any) -> Any:
        seen["size"] = images.image_sizes[0]
        height, width = seen["size"]
        far = torch.tensor([[width / 2, height / 2, width, height]])
        return [torch.cat([far, far.new_tensor([[0, 0, width / 4, height / 4]]).repeat(150, 1)])], {}

    monkeypatch.setattr(net.rpn, "forward", forward)
    boxes_N4 = propose(net, np.zeros((40, 80, 3), np.uint8), CPU)
    assert seen["size"] == (64, 128)
    assert boxes_N4.shape == (100, 4)
    assert boxes_N4[:2].tolist() == [[40, 20, 80, 40], [0, 0, 20, 10]]


def test_proposals_that_are_the_objects_have_all_recall_whatever_their_class(
    parts: dict[str, Annotations], monkeypatch: pytest.MonkeyPatch
) -> None:
    need("pycocotools")
    net, part = detector(), parts["validation"]
    boxes = iter([picture.boxes_N4 for picture in part.pictures])

    def forward(images: Any, features: Any) -> Any:
        return [torch.from_numpy(next(boxes)).float() * 96 / 64], {}

    monkeypatch.setattr(net.rpn, "forward", forward)
    assert proposals_recall(net, part, CPU) == {0.5: 1, 0.75: 1}


def test_a_retinanet_proposes_nothing_and_still_has_features(parts: dict[str, Annotations]) -> None:
    settings = small(kind="retina")
    net = detector(kind="retina")
    assert proposals_recall(net, parts["validation"], CPU) == {}
    picture = next(picture for picture in parts["train"].pictures if len(picture.ids) > 1)
    assert region_features(net, settings, picture, np.array([1]), CPU).shape == (1, 32)


def test_features_are_of_the_box_and_not_of_its_place(parts: dict[str, Annotations]) -> None:
    picture = next(picture for picture in parts["train"].pictures if len(picture.ids) > 1)
    net, both = detector(), np.arange(2)
    features_NC = region_features(net, small(), picture, both, CPU)
    swapped = replace(picture, boxes_N4=picture.boxes_N4[[1, 0, *range(2, len(picture.ids))]])
    assert torch.equal(region_features(net, small(), swapped, both, CPU), features_NC[[1, 0]])
    assert not features_NC.requires_grad
    assert not features_NC.is_inference()


def test_features_of_true_boxes_are_of_the_pixels_that_the_detector_sees(
    parts: dict[str, Annotations], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shrunk picture is smoothed with and without its boxes, and a box around all of it stays around all of it."""
    net, picture = detector(), parts["train"].pictures[0]
    rows = np.random.default_rng(0).integers(0, 256, (250, 401, 3)).astype(np.uint8)
    monkeypatch.setattr("tagwise.localise.knowing.decode", lambda place: SimpleNamespace(pixels_HWC=rows))
    seen: list[Any] = []
    boxes: list[Any] = []
    monkeypatch.setattr(net.backbone, "forward", spied(net.backbone.forward, seen))
    monkeypatch.setattr(RegionPooling, "forward", spied(RegionPooling.forward, boxes))
    whole = replace(picture, boxes_N4=np.array([[0.0, 0, 401, 250]]), crowd_N=np.zeros(1, bool))
    region_features(net, small(), whole, np.array([0]), CPU)
    with torch.inference_mode():
        net([torch.from_numpy(rows).permute(2, 0, 1).float() / 255])
    assert torch.equal(seen[0][0], seen[1][0])
    assert boxes[0][2][0].tolist() == [[0, 0, 128, 80]]


def spied(forward: Any, seen: list[Any]) -> Any:
    def spy(*given: Any) -> Any:
        seen.append(given)
        return forward(*given)

    return spy


def test_l18_what_is_told_of_true_boxes_and_does_not_depend_on_where_boxes_are_told(
    parts: dict[str, Annotations],
) -> None:
    train, test = parts["train"], parts["validation"]
    net = detector()
    assert true_box_accuracy(net, small(), train, test, CPU) == 1  # bright and dark need no training
    for value in [*net.rpn.parameters(), *net.roi_heads.parameters()]:
        torch.nn.init.constant_(value, 0)
    assert true_box_accuracy(net, small(), train, test, CPU) == 1
    permuted = tuple(replace(picture, categories_N=1 - picture.categories_N) for picture in test.pictures)
    assert true_box_accuracy(net, small(), train, replace(test, pictures=permuted), CPU) == 0


def test_a_single_class_gives_nothing_to_tell(parts: dict[str, Annotations]) -> None:
    train = parts["train"]
    alike = tuple(replace(picture, categories_N=np.zeros_like(picture.categories_N)) for picture in train.pictures)
    assert true_box_accuracy(detector(), small(), replace(train, pictures=alike), parts["validation"], CPU) is None


def test_crowds_are_nothing_to_learn_from(parts: dict[str, Annotations]) -> None:
    test = parts["validation"]
    crowds = tuple(replace(picture, crowd_N=np.ones_like(picture.crowd_N)) for picture in test.pictures)
    assert true_box_accuracy(detector(), small(), parts["train"], replace(test, pictures=crowds), CPU) is None
