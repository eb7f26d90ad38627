"""A training of what tells where things are, judged on its validation part."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from tagwise.localise import learning, locating
from tagwise.measure.detection import detection_scores
from tagwise.measure.segmentation import segmentation_scores
from tagwise.training.models import MODEL_FILE
from tagwise.training.ranks import Ranks
from tagwise.training.runs import claim_run
from tests.localise.drawn_target import write_target
from tests.localise.test_located_ranks import parts_of
from tests.localise.test_task import BATCH, CPU, plan_of
from tests.references.coco import need

need("pycocotools")

SCORES = (0.1, 0.5, 0.3, 0.7)
"""After each epoch; a patience of one ends the training before the last."""


@pytest.mark.parametrize(("head", "judged_by"), [("faster", "bbox"), ("mask", "segm"), ("fcn", "mean_iou")])
def test_l21_the_best_checkpoint_by_ap_or_mean_iou_becomes_the_model_and_patience_ends_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, judged_by: str
) -> None:
    """What else is measured rises to the end and chooses nothing."""
    plan = plan_of(head, patience=1)
    plan = dataclasses.replace(plan, model_of="best", images=6 * len(SCORES), batch=BATCH)
    scores = iter(SCORES)
    nets: list[dict[str, Tensor]] = []
    asked: list[str] = []

    def found_objects(truth: Any, results: Any, kind: Any) -> Any:
        asked.append(kind)
        told = detection_scores(truth, results, kind)
        numbers = {**told.numbers, "AP": next(scores), "AP50": len(asked) / 10, "AR100": len(asked) / 10}
        return dataclasses.replace(told, numbers=numbers)

    def found_pixels(*given: Any, **named: Any) -> Any:
        asked.append("mean_iou")
        told = segmentation_scores(*given, **named)
        return dataclasses.replace(told, mean_iou=next(scores), pixel_accuracy=len(asked) / 10)

    def spied(name: str) -> Any:
        judge = getattr(learning, name)

        def spy(net: Any, *given: Any) -> Any:
            nets.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
            return judge(net, *given)

        return spy

    for name in ("box_ap", "evaluate_pixels"):
        monkeypatch.setattr(learning, name, spied(name))
    monkeypatch.setattr(locating, "detection_scores", found_objects)
    monkeypatch.setattr(locating, "segmentation_scores", found_pixels)
    run = claim_run(tmp_path / "run", plan, Ranks())
    target = parts_of(write_target(tmp_path / "target"), plan)
    learning.train_run(run, target, None, CPU, Ranks(), workers=1)
    assert asked == [judged_by] * 3
    assert [(line.seen, line.score) for line in run.held_out()] == list(zip((6, 12, 18), SCORES, strict=False))
    model = load_file(run.folder / MODEL_FILE)
    same = [all((model[name] == state[name]).all() for name in model if name in state) for state in nets]
    assert len(model.keys() & nets[0].keys()) > 20
    assert same == [False, True, False]
