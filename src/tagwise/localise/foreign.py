"""Detectors of others: the names of their tensors, and the way into our modules, completely or not at all.

Torchvision's own names were read in pytorch/vision, torchvision/models/detection; detectron2's in
facebookresearch/detectron2 and zhanghang1989/detectron2-ResNeSt, detectron2/modeling.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.nets.design import Design
from tagwise.nets.layouts import to_canonical
from tagwise.training.heads import Detector

_EPSILON = 1e-5
"""Of our norms' variances."""
_COUNTER = ".num_batches_tracked"
Rename = tuple[str, str | Callable[[re.Match[str]], str]]


def _numbered(before: str, first: int, after: str) -> Callable[[re.Match[str]], str]:
    """Counts a layer from 0 where they begin at ``first``."""
    return lambda match: f"{before}{int(match[1]) - first}{after}{match[2]}"


_TORCHVISION: tuple[Rename, ...] = (
    # The first generation of files has one name less for each convolution.
    (r"(backbone\.fpn\.\w+_blocks\.\d)\.(\w+)", r"\1.0.\2"),
    (r"rpn\.head\.conv\.(\w+)", r"rpn.head.conv.0.0.\1"),
    (r"roi_heads\.mask_head\.mask_fcn(\d)\.(\w+)", _numbered("roi_heads.mask_head.", 1, ".0.")),
    (r"(head\.\w+\.conv)\.(\d)\.(\w+)", lambda m: f"{m[1]}.{int(m[2]) // 2}.0.{m[3]}"),
    (r"roi_heads\.box_(head|predictor)\.(.+)", r"roi_heads.box_\1.0.\2"),
)


def from_torchvision(
    state: Mapping[str, Tensor], model: nn.Module, *, epsilon: float = _EPSILON, where: str = "These weights"
) -> dict[str, Tensor]:
    """The state dict of one of torchvision's detectors under the names of ours.

    Args:
        state: Of a detector with a ResNet under a pyramid.
        model: What is to hold it, of ``build_detector``.
        epsilon: What the backbone's norms add to their variance; see ``tagwise.localise.released``.
        where: What it is, for the messages.

    Raises:
        TagwiseError: Tensors are missing, left over or of another shape; all are named.
    """
    names = {name: _renamed(name, _TORCHVISION) for name in state}
    found = {names[name]: tensor for name, tensor in state.items()}
    for name in found:
        if name.startswith("backbone.body.") and name.endswith(".running_var"):
            found[name] = found[name].float() + (epsilon - _EPSILON)
    return _fitted(found, {new: old for old, new in names.items()}, model, where)


def from_detectron2(
    state: Mapping[str, Tensor], model: nn.Module, design: Design, detector: Detector, where: str = "These weights"
) -> dict[str, Tensor]:
    """The state dict of a Faster, Mask, Keypoint or Cascade R-CNN of detectron2 under the names of ours.

    With ``aligned`` regions and anchors that are not ``anchors_rounded`` the outputs are detectron2's,
    but for how masks are pasted into the picture and how pictures are resized. Classes keep their
    order, the background comes first instead of last, and has no box.

    Args:
        state: With ``backbone.bottom_up`` and the rest; without the outer ``model``.
        model: What is to hold it, of ``build_detector``.
        design: Of its net.
        detector: Its heads.
        where: What it is, for the messages.

    Raises:
        UsageError: It is for a RetinaNet, whose anchors have another order there.
        TagwiseError: Tensors are missing, left over or of another shape, all of which are named; the backbone wants
            other pixels; or the anchors are others.
    """
    if detector.kind == "retina":
        raise UsageError("RetinaNets of detectron2 cannot be taken over, as their anchors have another order.")
    body = "backbone.bottom_up."
    backbone = {name.removeprefix(body): tensor for name, tensor in state.items() if name.startswith(body)}
    canonical = to_canonical(with_counters(backbone), design, new_classifier=True, where=f"The backbone of {where}")
    rest = {name: tensor for name, tensor in state.items() if not name.startswith(body)}
    _compare_anchors(rest, model, where)
    _check_pixels(rest, where)
    renames = tuple(_detectron2(detector))
    names = {name: _renamed(name, renames) for name in rest if not name.startswith((_ANCHORS, "pixel_"))}
    found = {new: _background_first(new, rest[old], detector) for old, new in names.items()}
    found |= {f"backbone.body.{name}": tensor for name, tensor in canonical.items()}
    return _fitted(found, {new: old for old, new in names.items()}, model, where)


_ANCHORS = "proposal_generator.anchor_generator.cell_anchors."
_CAFFE_STD = 2.0
"""Caffe's backbones want pixels of a deviation of 1, of 255."""


def _detectron2(detector: Detector) -> Iterator[Rename]:
    finest = 2  # p2 is the first level, at stride 4
    for side, blocks in (("lateral", "inner"), ("output", "layer")):
        for part, place in ((r"norm\.", 1), ("", 0)):
            yield (
                rf"backbone\.fpn_{side}(\d)\.{part}(\w+)",
                _numbered(f"backbone.fpn.{blocks}_blocks.", finest, f".{place}."),
            )
    rpn = "proposal_generator.rpn_head"
    yield rf"{rpn}\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"
    yield rf"{rpn}\.conv\.conv(\d)\.(weight|bias)", r"rpn.head.conv.\1.0.\2"
    yield rf"{rpn}\.objectness_logits\.(\w+)", r"rpn.head.cls_logits.\1"
    yield rf"{rpn}\.anchor_deltas\.(\w+)", r"rpn.head.bbox_pred.\1"
    yield from _detectron2_boxes(detector)
    mask = r"roi_heads\.mask_head"
    yield rf"{mask}\.mask_fcn(\d)\.norm\.(\w+)", _numbered("roi_heads.mask_head.", 1, ".1.")
    yield rf"{mask}\.mask_fcn(\d)\.(\w+)", _numbered("roi_heads.mask_head.", 1, ".0.")
    yield rf"{mask}\.deconv\.(\w+)", r"roi_heads.mask_predictor.conv5_mask.\1"
    yield rf"{mask}\.predictor\.(\w+)", r"roi_heads.mask_predictor.mask_fcn_logits.\1"
    points = r"roi_heads\.keypoint_head"
    yield rf"{points}\.conv_fcn(\d)\.(\w+)", lambda m: f"roi_heads.keypoint_head.{2 * int(m[1]) - 2}.{m[2]}"
    yield rf"{points}\.score_lowres\.(\w+)", r"roi_heads.keypoint_predictor.kps_score_lowres.\1"


def _detectron2_boxes(detector: Detector) -> Iterator[Rename]:
    """Heads of one stage have no number there."""
    stages = [(rf"{number}\.", number) for number in range(3)] if detector.cascaded else [("", 0)]
    for there, here in stages:
        head, new = rf"roi_heads\.box_head\.{there}", f"roi_heads.box_head.{here}"
        yield rf"{head}conv(\d)\.norm\.(\w+)", _numbered(f"{new}.", 1, ".1.")
        yield rf"{head}conv(\d)\.(\w+)", _numbered(f"{new}.", 1, ".0.")
        if detector.box_convs:
            yield rf"{head}fc1\.(\w+)", rf"{new}.{detector.box_convs + 1}.\1"
        else:
            yield rf"{head}fc1\.(\w+)", rf"{new}.fc6.\1"
            yield rf"{head}fc2\.(\w+)", rf"{new}.fc7.\1"
        yield rf"roi_heads\.box_predictor\.{there}(\w+\.\w+)", rf"roi_heads.box_predictor.{here}.\1"


def _background_first(name: str, tensor: Tensor, detector: Detector) -> Tensor:
    """Rows of classes as torchvision has them; what has none for the background gets zeros."""
    if ".cls_score." in name:
        return tensor.roll(1, 0)
    if ".bbox_pred." in name and name.startswith("roi_heads.") and not (detector.class_agnostic or detector.cascaded):
        return torch.cat([torch.zeros_like(tensor[:4]), tensor])
    if ".mask_fcn_logits." in name:
        return torch.cat([torch.zeros_like(tensor[:1]), tensor])
    return tensor


def _compare_anchors(rest: Mapping[str, Tensor], model: nn.Module, where: str) -> None:
    generator = model.get_submodule("rpn.anchor_generator")
    ours = [cell for cell in generator.cell_anchors if isinstance(cell, Tensor)]  # type: ignore[union-attr]
    theirs = [rest[name] for name in sorted(rest) if name.startswith(_ANCHORS)]
    for level, (cell, other) in enumerate(zip(ours, theirs, strict=False)):
        if cell.shape != other.shape or not torch.allclose(cell, other.float(), atol=1e-3):
            raise TagwiseError(
                f"The anchors in {where} are others at level {level}: {other.tolist()}, here {cell.tolist()}; "
                "give anchor_sizes and anchor_ratios as there, and anchors_rounded=False."
            )


def _check_pixels(rest: Mapping[str, Tensor], where: str) -> None:
    """Newer files say which pixels the backbone wants, in 0 to 255."""
    if "pixel_std" in rest and rest["pixel_std"].max() < _CAFFE_STD:
        raise TagwiseError(
            f"The backbone in {where} wants pixels of 0 to 255, blue first as in Caffe; nets here see RGB, "
            "so these weights would compute something else."
        )


def with_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with the counters of batches that frozen norms do not have."""
    counters = [re.sub(r"\.running_mean$", _COUNTER, name) for name in state if name.endswith(".running_mean")]
    return {**state, **{name: torch.tensor(0) for name in counters if name not in state}}


def _renamed(name: str, renames: Sequence[Rename]) -> str:
    for pattern, new in renames:
        if match := re.fullmatch(pattern, name):
            return new(match) if callable(new) else match.expand(new)
    return name


def _fitted(found: Mapping[str, Tensor], theirs: Mapping[str, str], model: nn.Module, where: str) -> dict[str, Tensor]:
    """The tensors that the model has, all of them and no other."""
    expected = model.state_dict()
    found = with_counters(found)
    missing = [name for name in expected if name not in found]
    extra = [theirs.get(name, name) for name in found if name not in expected]
    shapes = [
        f"{theirs.get(name, name)} ({list(found[name].shape)}, not {list(tensor.shape)})"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    faults = [
        f"{len(names)} {fault}: {', '.join(names)}"
        for names, fault in ((missing, "missing"), (extra, "left over"), (shapes, "of another shape"))
        if names
    ]
    if faults:
        raise TagwiseError(f"{where} do not fit this detector; tensors {'; '.join(faults)}.")
    return {name: found[name].to(tensor.dtype) for name, tensor in expected.items()}
