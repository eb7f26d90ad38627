from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import detection

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.localise.foreign import from_detectron2, from_torchvision
from tagwise.localise.models import load_located
from tagwise.localise.regions import build_detector
from tagwise.localise.released import RELEASED, tells_where
from tagwise.nets.designs import find_design
from tagwise.training.heads import Detector
from tests.localise.detectron2_rcnn import RCNN
from tests.localise.small_detectors import SIZING, VIEW, build, pictures, small

RESNET50 = find_design("resnet50")
NAMES = [name for name, row in RELEASED.items() if row.detector is not None]


def _set_epsilon(net: nn.Module, epsilon: float) -> None:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = epsilon


def _draw_statistics(net: nn.Module) -> None:
    for name, values in net.named_buffers():
        if name.endswith("running_var"):
            nn.init.uniform_(values, 0.5, 1.5)
        elif name.endswith("running_mean"):
            nn.init.normal_(values, std=0.1)


def _theirs(name: str) -> Any:
    """A detector of torchvision with random weights and statistics, that tells a few boxes."""
    torch.manual_seed(0)
    few: dict[str, Any] = {"detections_per_img": 3, "topk_candidates": 20, "score_thresh": 0.0}
    if not name.startswith("retina"):
        few = {"box_detections_per_img": 3, "box_score_thresh": 0.0}
        few |= {"rpn_pre_nms_top_n_test": 20, "rpn_post_nms_top_n_test": 20}
    net = getattr(detection, name)(weights=None, weights_backbone=None, min_size=96, max_size=128, **few)
    _draw_statistics(net)
    if name.startswith("retina"):
        nn.init.zeros_(net.head.classification_head.cls_logits.bias)
    return net.eval()


def _ours(name: str) -> Any:
    row = RELEASED[name]
    assert row.detector is not None
    few: dict[str, Any] = {"candidates": (20, 20), "proposals": (20, 20), "detections": 3, "score_threshold": 0.0}
    detector, sizing = dataclasses.replace(row.detector, **few), dataclasses.replace(SIZING, antialiased=False)
    return build_detector(RESNET50, detector, row.num_classes, VIEW, sizing, num_keypoints=row.num_keypoints).eval()


def _assert_equal(theirs: Any, ours: Any) -> None:
    images = pictures()[0]
    with torch.no_grad():
        for one, other in zip(theirs(images), ours(images), strict=True):
            assert one.keys() == other.keys()
            assert 1 <= len(one["boxes"]) <= 3
            assert torch.equal(one["labels"], other["labels"])
            for name, expected in one.items():
                assert torch.allclose(expected.float(), other[name].float(), atol=1e-4), name


@pytest.mark.parametrize("name", NAMES)
def test_l3_l20_torchvisions_detectors_give_their_outputs_with_their_weights(name: str) -> None:
    theirs, ours = _theirs(name), _ours(name)
    ours.load_state_dict(from_torchvision(theirs.state_dict(), ours))
    _assert_equal(theirs, ours)


def _first_generation(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of torchvision's files of 2019, which it still reads: no counters, and flat convolutions."""
    old = {}
    for name, tensor in state.items():
        name = re.sub(r"(_blocks\.\d)\.0\.", r"\1.", name)
        name = re.sub(r"rpn\.head\.conv\.0\.0\.", "rpn.head.conv.", name)
        name = re.sub(r"mask_head\.(\d)\.0\.", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}.", name)
        name = re.sub(r"(_head\.conv)\.(\d)\.0\.", lambda m: f"{m[1]}.{2 * int(m[2])}.", name)
        if not name.endswith("num_batches_tracked"):
            old[name] = tensor
    return old


@pytest.mark.parametrize("name", ["maskrcnn_resnet50_fpn", "retinanet_resnet50_fpn"])
def test_l20_files_of_the_first_generation_load_with_their_epsilon(name: str) -> None:
    theirs, ours = _theirs(name), _ours(name)
    old = _first_generation(theirs.state_dict())
    assert old.keys() != theirs.state_dict().keys()
    theirs.load_state_dict(old)  # torchvision takes them for the same
    fitted = from_torchvision(old, ours)
    assert all(torch.equal(value, fitted[key]) for key, value in from_torchvision(theirs.state_dict(), ours).items())
    with torch.no_grad():
        theirs.backbone.body.bn1.running_var.fill_(1e-3)  # where an epsilon of 1e-5 is seen
        _set_epsilon(theirs, 0.0)
        images_BCHW = torch.rand(1, 3, 64, 64)
        wanted = theirs.backbone(images_BCHW)["0"]
        errors = []
        for epsilon in (1e-5, RELEASED[name].epsilon):
            ours.load_state_dict(from_torchvision(_first_generation(theirs.state_dict()), ours, epsilon=epsilon))
            errors.append((ours.backbone(images_BCHW)["0"] - wanted).abs().max() / wanted.abs().max())
    assert errors[0] > 1e-3
    assert errors[1] < 1e-5


def test_l20_every_tensor_that_does_not_fit_is_named() -> None:
    net = build(small())
    state = dict(_stageless(net.state_dict()))
    del state["backbone.fpn.inner_blocks.0.0.weight"]
    state |= {"ema.decay": torch.zeros(()), "roi_heads.mask_head.mask_fcn1.weight": torch.zeros(2)}
    state["roi_heads.box_predictor.cls_score.weight"] = torch.zeros(91, 32)
    with pytest.raises(TagwiseError) as caught:
        from_torchvision(state, net)
    assert "1 missing: backbone.fpn.inner_blocks.0.0.weight" in str(caught.value)
    assert "2 left over: ema.decay, roi_heads.mask_head.mask_fcn1.weight" in str(caught.value)
    assert "roi_heads.box_predictor.cls_score.weight ([91, 32], not [3, 32])" in str(caught.value)


def _stageless(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {re.sub(r"(box_head|box_predictor)\.0\.", r"\1.", name): tensor for name, tensor in state.items()}


RESNEST = find_design("resnest14")


def _detectron2(detector: Detector) -> tuple[Any, Any, dict[str, Tensor]]:
    """Ours, their heads, and their state with our net's tensors under their names."""
    torch.manual_seed(0)
    ours = build(detector, RESNEST).eval()
    theirs = RCNN(
        list(RESNEST.channels),
        width=detector.channels,
        out=detector.box_width,
        classes=2,
        convs=detector.box_convs,
        masks=detector.mask_convs,
        stages=3 if detector.cascaded else 1,
        norm=detector.norm == "batch",
    ).eval()
    _draw_statistics(theirs)
    body = {f"backbone.bottom_up.{_bottom_up(name)}": value for name, value in ours.backbone.body.state_dict().items()}
    # The stem and the first stage are frozen there, in norms without counters.
    body = {name: v for name, v in body.items() if not re.fullmatch(r".*(stem|res2).*num_batches_tracked", name)}
    return ours, theirs, body | theirs.state_dict() | theirs.anchors(list(detector.anchor_sizes))


def _bottom_up(name: str) -> str:
    """The names of backbone/resnet.py: each convolution holds its norm."""
    for pattern, new in (
        (r"conv1\.(0|3|6)\.(\w+)", lambda m: f"stem.conv1_{int(m[1]) // 3 + 1}.{m[2]}"),
        (r"conv1\.(1|4)\.(\w+)", lambda m: f"stem.conv1_{int(m[1]) // 3 + 1}.norm.{m[2]}"),
        (r"bn1\.(\w+)", lambda m: f"stem.conv1_3.norm.{m[1]}"),
        (r"layer(\d)\.(\d)\.downsample\.1\.(\w+)", lambda m: f"res{int(m[1]) + 1}.{m[2]}.shortcut.{m[3]}"),
        (r"layer(\d)\.(\d)\.downsample\.2\.(\w+)", lambda m: f"res{int(m[1]) + 1}.{m[2]}.shortcut.norm.{m[3]}"),
        (r"layer(\d)\.(\d)\.bn(\d)\.(\w+)", lambda m: f"res{int(m[1]) + 1}.{m[2]}.conv{m[3]}.norm.{m[4]}"),
        (r"layer(\d)\.(.+)", lambda m: f"res{int(m[1]) + 1}.{m[2]}"),
    ):
        if match := re.fullmatch(pattern, name):
            return str(new(match))  # type: ignore[no-untyped-call]
    raise AssertionError(name)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "cascade-mask", "norm": "batch", "box_convs": 4, "mask_convs": 4},
        {"kind": "mask", "mask_convs": 2},
    ],
)
def test_l20_detectron2s_rcnns_give_their_outputs_with_their_weights(settings: dict[str, Any]) -> None:
    detector = small(**settings, aligned=True, anchors_rounded=False)
    ours, theirs, state = _detectron2(detector)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    ours.load_state_dict(from_detectron2(state, ours, RESNEST, detector))
    after = ours.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in after if ".body." in name and "batches" not in name)
    with torch.no_grad():
        images_BCHW = torch.rand(1, 3, 64, 64)
        levels, stages = ours.backbone(images_BCHW), ours.backbone.body(images_BCHW)
        _assert_close(levels.values(), theirs.backbone(stages))
        mine = ours.rpn.head(list(levels.values()))
        wanted = [theirs.proposal_generator.rpn_head(level) for level in levels.values()]
        _assert_close([*mine[0], *mine[1]], [one[0] for one in wanted] + [one[1] for one in wanted])
        pooled = torch.rand(5, 32, 7, 7)
        for number, (head, predictor) in enumerate(theirs.boxes):
            scores, deltas = predictor(head(pooled))
            logits, moves = ours.roi_heads.box_predictor[number](ours.roi_heads.box_head[number](pooled))
            _assert_close([logits], [scores[:, [2, 0, 1]]])
            _assert_close([moves[:, -deltas.shape[1] :]], [deltas])
        regions = torch.rand(5, 32, 14, 14)
        _assert_close(
            [ours.roi_heads.mask_predictor(ours.roi_heads.mask_head(regions))[:, 1:]],
            [theirs.roi_heads.mask_head(regions)],
        )


def _assert_close(ours: Any, theirs: Any) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_l20_a_file_of_detectron2s_is_read_off_its_tensors(tmp_path: Path) -> None:
    detector = small(kind="cascade-mask", norm="batch", box_convs=4, aligned=True, anchors_rounded=False)
    ours, _, state = _detectron2(detector)
    authors = {"pixel_mean": torch.tensor([123.68, 116.779, 103.939]), "pixel_std": torch.tensor([58.4, 57.1, 57.4])}
    torch.save({"model": state | authors, "iteration": 89_999}, tmp_path / "own.pth")
    assert tells_where(tmp_path / "own.pth")
    model = load_located(tmp_path / "own.pth", classes=["square", "disc"])
    assert (model.facts.design, model.facts.detector) == (
        RESNEST,
        Detector(
            **{name: getattr(detector, name) for name in ("kind", "norm", "box_convs", "aligned", "anchors_rounded")},
            **{name: getattr(detector, name) for name in ("channels", "anchor_sizes", "box_width", "mask_convs")},
        ),
    )
    ours.load_state_dict(from_detectron2(state, ours, RESNEST, detector))
    assert all(torch.equal(value, model.net.state_dict()[name]) for name, value in ours.state_dict().items())


def test_l20_what_detectron2_has_beside_is_named_and_other_anchors_and_pixels_are_refused() -> None:
    detector = small(kind="mask", anchors_rounded=False)
    ours, _, state = _detectron2(detector)
    extra = {"sem_seg_head.predictor.weight": torch.zeros(1), "roi_heads.mask_head.x": torch.zeros(1)}
    with pytest.raises(TagwiseError, match=r"2 left over: sem_seg_head.predictor.weight, roi_heads.mask_head.x"):
        from_detectron2(state | extra, ours, RESNEST, detector)
    with pytest.raises(TagwiseError, match="anchors in These weights are others at level 0"):
        from_detectron2(state, build(small(kind="mask"), RESNEST), RESNEST, small(kind="mask"))
    caffe = {"pixel_mean": torch.tensor([103.53, 116.28, 123.675]), "pixel_std": torch.ones(3)}
    with pytest.raises(TagwiseError, match="blue first"):
        from_detectron2(state | caffe, ours, RESNEST, detector)
    authors = {"pixel_mean": torch.tensor([123.68, 116.779, 103.939]), "pixel_std": torch.tensor([58.4, 57.1, 57.4])}
    assert from_detectron2(state | authors, ours, RESNEST, detector).keys() == ours.state_dict().keys()
    with pytest.raises(UsageError, match="RetinaNets of detectron2"):
        from_detectron2(state, ours, RESNEST, small(kind="retina"))
