"""Detectors and segmenters as models: built from what is known of them, saved, loaded, begun from others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tagwise.base import rng
from tagwise.base.errors import UsageError
from tagwise.base.files import sha256_of_file
from tagwise.localise.annotations import Category
from tagwise.localise.regions import build_detector
from tagwise.localise.semantic import build_segmenter
from tagwise.localise.task import backbone_of
from tagwise.nets import freeze
from tagwise.nets.grammar import ResidualNet
from tagwise.training.models import MODEL_FILE, Model, ModelFacts, fill, model_file, read_parts
from tagwise.training.models import holds_located as holds_located
from tagwise.training.plans import Plan


@dataclass(frozen=True, kw_only=True, eq=False)
class LocatedModel:
    """What tells where things are, ready for use, in evaluation mode."""

    net: nn.Module
    facts: ModelFacts
    name: str
    digest: str
    """SHA-256 prefix of its file, 16 hex digits."""

    @property
    def categories(self) -> tuple[Category, ...]:
        """Of its detections; of a segmenter they are the classes of pixels."""
        facts = self.facts
        names = facts.classes or ()
        ids = facts.category_ids or tuple(range(len(names)))
        return tuple(
            Category(id=number, name=name, keypoints=facts.keypoints, mirrored=facts.mirrored)
            for number, name in zip(ids, names, strict=True)
        )


def load_located(thing: str | Path) -> LocatedModel:
    """A detector or segmenter of ours.

    Raises:
        UsageError: There is none, or it tells labels of whole pictures.
        TagwiseError: The file is damaged.
    """
    path = model_file(Path(thing))
    if not path.is_file():
        raise UsageError(f"{thing} holds no {MODEL_FILE}; give the folder of a finished run of `train --head`.")
    facts, tensors = read_parts(path)
    if not facts.locates:
        raise UsageError(
            f"{thing} tells labels of whole pictures; `tagwise train ANNOTATIONS --head faster --from` it."
        )
    with torch.device("meta"):
        net = _built(facts, None, None)
    fill(net, tensors, path)
    name = path.parent.resolve().name if path.name == MODEL_FILE else path.stem
    return LocatedModel(net=net.eval(), facts=facts, name=name, digest=sha256_of_file(path)[:16])


def new_located(plan: Plan, facts: ModelFacts, start: Model | LocatedModel | None) -> nn.Module:
    """A net to be trained, with the backbone of ``start``.

    Of a detector or segmenter all other tensors come too that have their name and shape.
    """
    given = start.net if isinstance(start, Model) else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.stream_seed(plan.seed, "weights"))
        return _filled(plan, facts, start) if isinstance(start, LocatedModel) else _built(facts, given, plan.freeze)


def _filled(plan: Plan, facts: ModelFacts, start: LocatedModel) -> nn.Module:
    net = _built(facts, None, None)
    own, theirs = net.state_dict(), start.net.state_dict()
    taken = {name: value for name, value in theirs.items() if name in own and own[name].shape == value.shape}
    net.load_state_dict({**own, **taken})
    if plan.freeze is not None:
        freeze(backbone_of(net), plan.freeze)
    return net


def carried(net: nn.Module, start: LocatedModel) -> int:
    """Tensors of a model of where things are that a net takes over."""
    own = net.state_dict()
    return sum(name in own and own[name].shape == value.shape for name, value in start.net.state_dict().items())


def _built(facts: ModelFacts, backbone: ResidualNet | None, frozen: str | None) -> nn.Module:
    classes = len(facts.classes or ())
    if facts.segmenter is not None:
        return build_segmenter(facts.design, facts.segmenter, classes, backbone=backbone, freeze=frozen)
    assert facts.detector is not None
    assert facts.sizing is not None
    return build_detector(
        facts.design,
        facts.detector,
        classes,
        facts.view,
        facts.sizing,
        num_keypoints=len(facts.keypoints) or None if facts.detector.kind == "keypoint" else None,
        backbone=backbone,
        freeze=frozen,
    )
