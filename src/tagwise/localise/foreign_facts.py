"""What is known of a detector or segmenter of others beside its tensors: its classes, and how it sees pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torchvision.models import get_model_weights

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.progress import say
from tagwise.base.views import torchvision_view
from tagwise.localise.recognising import Recognised
from tagwise.localise.released import UNUSED, Released
from tagwise.training.heads import Sizing
from tagwise.training.models import ModelFacts

_BY_CLASSES = {
    ("detector", 90): "fasterrcnn_resnet50_fpn",
    ("detector", 80): "fasterrcnn_resnet50_fpn",
    ("detector", 1): "keypointrcnn_resnet50_fpn",
    ("segmenter", 21): "fcn_resnet50",
}
"""A released net whose classes are those of nets with as many."""
_PEOPLE = 17
"""Keypoints of a person in COCO."""


def foreign_facts(
    known: Recognised,
    state: Mapping[str, Tensor],
    path: Path,
    layout: str,
    row: Released | None,
    classes: Sequence[str] | None,
) -> ModelFacts:
    """What a model of ours would have in its file; what is taken for granted is said.

    Raises:
        UsageError: Classes are named twice, or are not as many as the outputs.
        TagwiseError: Nothing says that the net sees RGB.
    """
    if layout == "detectron2":
        _refuse_pixels(known, state, path)
    names, ids = _classes(known, path, classes, published=row is not None)
    points: dict[str, Any] = {} if known.num_keypoints is None else _keypoints(known.num_keypoints)
    return ModelFacts(
        design=known.design,
        view=torchvision_view(224, 256),
        classes=names,
        detector=known.detector,
        segmenter=known.segmenter,
        sizing=_sizing(known, layout),
        category_ids=ids,
        lineage=(f"{row.file} by torchvision" if row is not None else path.stem,),
        **points,
    )


def _refuse_pixels(known: Recognised, state: Mapping[str, Tensor], path: Path) -> None:
    """Detectron2's own nets see BGR of 0 to 255, the ResNeSts of its authors RGB; newer files do not say."""
    attention = known.design.attention
    if "pixel_std" not in state and not (attention is not None and attention.kind == "split"):
        raise TagwiseError(
            f"{path} does not say which pixels its backbone wants (pixel_mean, pixel_std), and most of detectron2's "
            "want BGR; add the two to its state dict if it sees RGB."
        )


def _sizing(known: Recognised, layout: str) -> Sizing:
    """As its library shows pictures in use."""
    if known.segmenter is not None:
        return Sizing(shorter=(520,), longest=4096, test_shorter=520, test_longest=4096)
    return Sizing(antialiased=layout == "detectron2")


def _classes(
    known: Recognised, path: Path, given: Sequence[str] | None, *, published: bool
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and ids of the outputs: given, COCO's, or numbers."""
    count = known.num_classes
    plain_ids = tuple(range(1, count + 1)) if known.detector is not None else ()
    if given is not None:
        if len(given) != count or len(set(given)) != count:
            raise UsageError(
                f"{len(given):,} classes are named and {path.name} has {count:,} outputs"
                f"{' beside the background' * (known.detector is not None)}; give each a name of its own."
            )
        return tuple(given), plain_ids
    alike = _BY_CLASSES.get(("detector" if known.detector is not None else "segmenter", count))
    if alike is None or (count == 1 and known.num_keypoints != _PEOPLE):
        say(f"Nothing says what the {count:,} outputs of {path.name} mean; --classes names them.")
        return tuple(f"class {number}" for number in plain_ids or range(count)), plain_ids
    if not published:
        say(f"The {count:,} outputs of {path.name} are taken for COCO's; --classes names them otherwise.")
    names = list(get_model_weights(alike)["DEFAULT"].meta["categories"])
    if known.segmenter is not None:
        return ("background", *names[1:]), ()
    numbered = [(f"{UNUSED} {number}" if name == UNUSED else name, number) for number, name in enumerate(names)][1:]
    if count < len(numbered):
        numbered = [one for one in numbered if not one[0].startswith(UNUSED)]
    return tuple(name for name, _ in numbered), tuple(number for _, number in numbered)


def _keypoints(count: int) -> dict[str, Any]:
    names = [f"point {number}" for number in range(1, count + 1)]
    if count == _PEOPLE:
        names = list(get_model_weights("keypointrcnn_resnet50_fpn")["DEFAULT"].meta["keypoint_names"])
    sides = {"left": "right", "right": "left"}
    swapped = ["_".join(sides.get(word, word) for word in name.split("_")) for name in names]
    return {"keypoints": tuple(names), "mirrored": tuple(map(names.index, swapped))}
