from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tagwise.hub.agreement import logits_agreement, objects_agreement

Found = dict[str, Tensor]


def found(*changes: tuple[str, int, float], **parts: Tensor) -> Found:
    """Four objects of two classes, three of them apart; a change is added to a number of one object."""
    boxes = torch.tensor([[0, 0, 10, 10], [20, 0, 40, 10], [0, 30, 15, 50], [1, 1, 10, 10]], dtype=torch.float32)
    told = {"boxes": boxes, "scores": torch.tensor([0.9, 0.8, 0.7, 0.6]), "labels": torch.tensor([0, 1, 0, 1])}
    told = {name: values.clone() for name, values in (told | parts).items()}
    for name, number, change in changes:
        told[name][number] += change
    return told


def test_the_order_is_free() -> None:
    order = torch.tensor([2, 0, 3, 1])
    other = {name: values[order] for name, values in found().items()}
    agreement = objects_agreement(found(), other, 0.5)
    assert agreement.agree
    assert agreement.said == "4 objects, boxes within 0 px (0.1 allowed), scores within 0 (0.001 allowed)"


@pytest.mark.parametrize(
    ("change", "agree"),
    [
        (("boxes", 1, 0.09), True),
        (("boxes", 1, 0.11), False),
        (("scores", 2, 0.0009), True),
        (("scores", 2, 0.0011), False),
        (("labels", 0, 1), False),
        (("boxes", 0, math.nan), False),
        (("scores", 0, math.nan), False),
    ],
)
def test_the_tolerances_are_a_tenth_of_a_pixel_and_a_thousandth(change: tuple[str, int, float], agree: bool) -> None:
    assert objects_agreement(found(), found(change), 0.5).agree == agree


def test_what_one_of_them_does_not_find_is_told() -> None:
    fewer = {name: values[:3] for name, values in found().items()}
    for pair in ((found(), fewer), (fewer, found())):
        agreement = objects_agreement(*pair, 0.5)
        assert not agreement.agree
        assert agreement.said.endswith(", 1 found by one of them alone")


def test_of_two_boxes_of_one_object_with_one_score_either_may_be_kept() -> None:
    def ten(*changes: tuple[str, int, float]) -> Found:
        once = found()
        thrice = {name: torch.cat([values] * 3)[:10] for name, values in once.items()}
        thrice["boxes"] += torch.arange(10)[:, None] * 100.0
        return found(*changes, **thrice)

    tie = objects_agreement(ten(), ten(("boxes", 1, 1.0)), 0.5)
    assert tie.agree
    assert tie.said.endswith(", 1 in another place with the same score")
    for changes in (
        [("boxes", 1, 30.0)],  # another object
        [("boxes", 1, 1.0), ("scores", 1, 0.0005)],  # another score
        [("boxes", 1, 1.0), ("boxes", 2, 1.0)],  # more than a tenth
    ):
        assert not objects_agreement(ten(), ten(*changes), 0.5).agree


def test_nothing_agrees_with_nothing() -> None:
    nothing = {name: values[:0] for name, values in found().items()}
    assert objects_agreement(nothing, nothing, 0.5).agree
    assert not objects_agreement(nothing, found(), 0.5).agree


def test_masks_may_differ_in_a_hundredth_of_their_pixels() -> None:
    masks = torch.zeros(4, 60, 60)
    masks[:, :10, :10] = 0.9
    for pixels, agree in ((4, True), (5, False)):
        other = masks.clone()
        other[0, 0, :pixels] = 0.1
        assert objects_agreement(found(masks=masks), found(masks=other), 0.5).agree == agree


def test_keypoints_have_the_tolerances_of_boxes_and_of_logits() -> None:
    points = torch.rand(4, 3, 3)
    for place, change, agree in ((0, 0.09, True), (1, 0.11, False), (2, 0.0009, True), (2, 0.01, False)):
        other = points.clone()
        other[2, 1, place] += change
        assert objects_agreement(found(keypoints=points), found(keypoints=other), 0.5).agree == agree


def test_logits_may_differ_by_a_thousandth_of_the_largest() -> None:
    logits = torch.tensor([[0.5, -20.0]])
    assert logits_agreement(logits, logits + 0.019).agree
    assert not logits_agreement(logits, logits + 0.021).agree
    assert not logits_agreement(logits / 100, logits / 100 + 0.0011).agree
    assert not logits_agreement(logits, logits * math.nan).agree
    assert logits_agreement(logits, logits[:, :1]).said == "shape 1 x 1 instead of 1 x 2"
