"""The smallest training that has everything: a net of three convolutions on sixteen-pixel noise."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tagwise.base import rng
from tagwise.base.views import View
from tagwise.nets import build
from tagwise.nets.design import Design
from tagwise.nets.grammar import ResidualNet
from tagwise.pixels.augment import Augment
from tagwise.pixels.batches import LabelledPictures
from tagwise.tags.epoch import EpochIndex
from tagwise.tags.law_report import sampled_laws
from tagwise.training.loop import Job
from tagwise.training.losses import Loss, prior_bias
from tagwise.training.models import replace_head
from tagwise.training.plans import Plan
from tagwise.training.ranks import Ranks
from tagwise.training.runs import Run
from tagwise.training.tasks import LabelTask
from tests.references.sampling import zipf_corpus

CPU = torch.device("cpu")
ALONE = Ranks()
LABELS = 5
PICTURES = 60
DESIGN = Design(
    block="basic",
    depths=(1,),
    planes=(8,),
    strides=(1,),
    stem_widths=(8,),
    stem_kernel=3,
    stem_stride=2,
    stem_pool=None,
)
VIEW = View(resolution=16, resize=20)


def tiny_plan(**changes: Any) -> Plan:
    """30 steps of 8 pictures: two epochs and a half of the sqrt law."""
    settings: dict[str, Any] = {
        "task": "pretrain",
        "data": "noise",
        "design": DESIGN,
        "view": VIEW,
        "images": 240,
        "batch": 8,
        "law": "sqrt",
        "threshold": 40.0,
        "augment": Augment(turn_degrees=10.0, light=0.2),
    }
    return Plan(**(settings | changes))


@cache
def tiny_pictures() -> LabelledPictures:
    """Noise with one to three labels, of which label 0 is commonest."""
    generator = np.random.default_rng(5)
    drawn = [
        np.unique(np.minimum(generator.zipf(1.7, size), LABELS) - 1) for size in generator.integers(1, 4, PICTURES)
    ]
    return LabelledPictures(
        images_NHWC=generator.integers(0, 256, (PICTURES, VIEW.resize, VIEW.resize, 3), dtype=np.uint8),
        ids=np.concatenate(drawn).astype(np.int32),
        offsets=np.cumsum([0] + [len(labels) for labels in drawn]),
    )


@cache
def tiny_index() -> EpochIndex:
    pictures = tiny_pictures()
    counts = np.bincount(pictures.ids, minlength=LABELS)
    return EpochIndex.build(pictures.ids, pictures.offsets, counts, "sqrt", 40.0)


def tiny_net(plan: Plan) -> ResidualNet:
    """The same first weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.stream_seed(plan.seed, "weights"))
        net = build(plan.design, num_classes=LABELS)
    replace_head(net, torch.zeros(LABELS))
    return net


def tiny_task(plan: Plan, pictures: Any = None, ranks: Ranks = ALONE, weights_V: Tensor | None = None) -> LabelTask:
    """Noise and its labels, from the first weights."""
    return LabelTask(plan, tiny_net(plan), pictures or tiny_pictures(), CPU, ranks, weights_V=weights_V)


def tiny_job(
    folder: Path | None = None,
    *,
    pictures: Any = None,
    ranks: Ranks = ALONE,
    weights_V: Tensor | None = None,
    **changes: Any,
) -> Job:
    """A job from the first weights; its run goes on where ``folder`` says that it was."""
    plan = tiny_plan(**changes)
    run = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(folder=folder, plan=plan)
    task = tiny_task(plan, pictures, ranks, weights_V)
    return Job(plan=plan, task=task, index=tiny_index(), device=CPU, ranks=ranks, run=run, title=None)


def zipf_job(kind: Loss, folder: Path, pictures: int = 2000, ranks: Ranks = ALONE) -> Job:
    """One step over the first pictures of the Zipf corpus, each once; a third of its labels never occur.

    The classifier predicts the law, and the pictures are blank.
    """
    ids, offsets, _ = zipf_corpus()
    offsets = offsets[: pictures + 1]
    ids = ids[: offsets[-1]]
    counts = np.bincount(ids, minlength=1000)
    laws = sampled_laws(ids, offsets, counts, "natural")
    plan = tiny_plan(images=pictures, batch=pictures, loss=kind, law="natural", threshold=None)
    net = tiny_net(plan)
    replace_head(net, prior_bias(kind, torch.from_numpy(laws.mass), torch.from_numpy(laws.drawn_fraction)))
    blank = np.zeros((pictures, VIEW.resize, VIEW.resize, 3), np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    return Job(
        plan=plan,
        task=LabelTask(plan, net, LabelledPictures(images_NHWC=blank, ids=ids, offsets=offsets), CPU, ranks),
        index=EpochIndex.build(ids, offsets, counts, "natural"),
        device=CPU,
        ranks=ranks,
        run=Run(folder=folder, plan=plan),
        title=None,
    )


def first_losses(kind: Loss, pictures: int = 2000) -> tuple[float, float]:
    """What ``zipf_job`` begins with in closed form: the entropy of what is predicted, and of it the part that no net
    can be without.
    """
    ids, offsets, _ = zipf_corpus()
    sizes = np.diff(offsets[: pictures + 1])
    ids = ids[: offsets[pictures]]
    if kind == "softmax":
        p = np.bincount(ids, weights=np.repeat(1 / sizes, sizes)) / pictures
        p = p[p > 0]
        return float(-(p * np.log(p)).sum()), float(np.log(sizes).mean())
    q = np.bincount(ids) / pictures
    q = q[q > 0]
    return float(-(q * np.log(q) + (1 - q) * np.log1p(-q)).sum()), 0.0


def state_bytes(net: nn.Module) -> dict[str, bytes]:
    """Every tensor of the net, bit by bit."""
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in net.state_dict().items()}


def log_facts(run: Run) -> list[tuple[float, ...]]:
    """The log but for the speed, which differs from run to run."""
    return [(line.seen, line.epoch, line.loss, line.excess_loss, line.rate) for line in run.log()]
