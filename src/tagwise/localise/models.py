"""Detectors and segmenters as models: built from what is known of them, saved, loaded, begun from others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tagwise.base import rng
from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.files import sha256_of_file
from tagwise.base.settings import from_plain
from tagwise.localise.annotations import Category
from tagwise.localise.foreign import from_detectron2, from_torchvision
from tagwise.localise.foreign_facts import foreign_facts
from tagwise.localise.recognising import recognise_net
from tagwise.localise.regions import build_detector
from tagwise.localise.released import RELEASED, Released, layout_of
from tagwise.localise.semantic import build_segmenter
from tagwise.localise.task import backbone_of
from tagwise.nets import freeze
from tagwise.nets.downloads import fetch
from tagwise.nets.grammar import ResidualNet
from tagwise.nets.layouts import read_state
from tagwise.training.checkpoints import read_checkpoint
from tagwise.training.models import MODEL_FILE, Model, ModelFacts, fill, holds_model, model_file, read_parts
from tagwise.training.plans import Plan


@dataclass(frozen=True, kw_only=True, eq=False)
class LocatedModel:
    """What tells where things are, ready for use, in evaluation mode."""

    net: nn.Module
    facts: ModelFacts
    name: str
    digest: str
    """SHA-256 prefix of its file, 16 hex digits."""
    published: str = ""
    """What its publisher says of it, if its file is a published one."""

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


def load_located(thing: str | Path, *, design: str | None = None, classes: Sequence[str] | None = None) -> LocatedModel:
    """A detector or segmenter of ours, one that torchvision has released, or one in a file of others.

    Tensors of others are taken over completely or not at all.

    Args:
        thing: The folder of a run, a file, a checkpoint, or torchvision's name of a released one.
        design: Of the backbone, for a file of others whose tensors leave it open.
        classes: Names of the outputs in their order, for a file of others; of a detector without the background.

    Raises:
        UsageError: There is none, it tells labels of whole pictures, or what is said of it is not wanted.
        TagwiseError: The file is damaged, wants to run code, does not fit, or cannot be had.
    """
    path = model_file(Path(thing))
    if not path.exists() and str(thing) in RELEASED:
        _refuse_told(thing, design, classes)
        row = RELEASED[str(thing)]
        return _of_others(fetch(row.url, row.sha256_prefix, name=str(thing)), None, None)
    if not path.is_file():
        raise UsageError(
            f"{thing} holds no {MODEL_FILE}; give the folder of a finished run of `train --head`, a file, or one of "
            f"{', '.join(RELEASED)}."
        )
    of_run = read_checkpoint(path)
    if of_run is None and not holds_model(path):
        return _of_others(path, design, classes)
    _refuse_told(thing, design, classes)
    facts, tensors = read_parts(path) if of_run is None else _parts(of_run, path)
    if not facts.locates:
        raise UsageError(
            f"{thing} tells labels of whole pictures; `tagwise train ANNOTATIONS --head faster --from` it."
        )
    with torch.device("meta"):
        net = _built(facts, None, None)
    fill(net, tensors, path)
    name = path.parent.resolve().name if path.name == MODEL_FILE else path.stem
    return LocatedModel(net=net.eval(), facts=facts, name=name, digest=sha256_of_file(path)[:16])


def _parts(checkpoint: dict[str, Any], path: Path) -> tuple[ModelFacts, dict[str, Tensor]]:
    """What a run had come to."""
    facts: ModelFacts = from_plain(ModelFacts, json.loads(checkpoint["facts"]), str(path))
    lineage = (*facts.lineage[:-1], f"{facts.lineage[-1]}, taken after {checkpoint['seen']:,}")
    tensors = checkpoint["net"] if checkpoint["mean"] is None else checkpoint["mean"]
    return replace(facts, images=checkpoint["seen"], lineage=lineage), tensors


def _refuse_told(thing: str | Path, design: str | None, classes: Sequence[str] | None) -> None:
    if design is not None or classes is not None:
        raise UsageError(f"{thing} has a design and classes of its own; leave --design and --classes away.")


def _of_others(path: Path, design: str | None, classes: Sequence[str] | None) -> LocatedModel:
    where, digest = f"The weights in {path}", sha256_of_file(path)
    name, row = _released(path, digest)
    state = read_state(path, whole=True)
    layout = layout_of(list(state))
    if layout is None:
        raise UsageError(f"{path} holds no detector or segmenter whose tensors are known here.")
    known = recognise_net(state, layout, design, where)
    facts = foreign_facts(known, state, path, layout, row, classes)
    with torch.device("meta"):
        net = _built(facts, None, None)
    if layout == "detectron2":
        assert known.detector is not None
        tensors = from_detectron2(state, net, known.design, known.detector, where)
    else:
        tensors = from_torchvision(state, net, **({} if row is None else {"epsilon": row.epsilon}), where=where)
    net.load_state_dict(tensors, assign=True)
    return LocatedModel(
        net=net.eval().requires_grad_(),
        facts=facts,
        name=name or path.stem,
        digest=digest[:16],
        published="" if row is None else row.published,
    )


def _released(path: Path, digest: str) -> tuple[str, Released | None]:
    """The name and row of a published file, wherever it lies."""
    for name, row in RELEASED.items():
        if digest.startswith(row.sha256_prefix):
            return name, row
        if path.name == row.file:
            raise TagwiseError(
                f"{path} is damaged or not what its name says: its SHA-256 begins with {digest[:8]}, not "
                f"{row.sha256_prefix}; fetch it again, or rename it."
            )
    return "", None


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
