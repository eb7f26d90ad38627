"""A plan says everything that decides a training's numbers; recipes (``recipes``) are functions that return one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tagwise.base.errors import UsageError, unknown
from tagwise.base.settings import from_plain, part_from_plain, read_plain, to_plain
from tagwise.base.views import View
from tagwise.nets.design import Design
from tagwise.nets.designs import find_design
from tagwise.nets.norms import frozen_parts
from tagwise.pixels.augment import Augment
from tagwise.tags.laws import parse_law
from tagwise.tags.noise import Noise
from tagwise.tags.rounding import Rounding
from tagwise.training.heads import Detector, Segmenter, Sizing
from tagwise.training.losses import HARD_LOSSES, Loss

Decay = Literal["cosine", "halvings", "steps", "poly"]

REFERENCE_BATCH = 256
"""The batch that learning rates are told for."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings of one training; two runs of one plan give the same numbers on one machine."""

    task: Literal["pretrain", "train", "locate"]
    """On tags, on a target's classes, or on where things are."""
    data: str
    """Digest of the pictures and their labels."""
    design: Design
    view: View
    judged_at: tuple[int, int] | None = None
    """``resolution`` and ``resize`` of the view that the net is judged and used in; None: those that it trained at."""
    start: str | None = None
    """Digest of the model to begin from; None: from scratch."""
    freeze: str | None = None
    """First parts of the net that stay as they are, such as ``stem+2``; None: all of it is trained."""
    images: int
    """Pictures seen in all."""
    batch: int = 64
    """Pictures a step, over all processes."""
    feed: Literal["packed", "files"] = "packed"
    """``packed``: pictures are fitted to the view's square once, and crops are cut out of it; ``files``: crops are cut
    out of whole pictures, which workers read again each time."""
    accumulate: int = 1
    """Slices in which a process works through its part of a batch; more need less memory."""
    optimiser: Literal["sgd", "lamb"] = "sgd"
    """LAMB takes a loss that sums over labels as their mean, as timm does: so ``clip_norm`` means the same."""
    rate_per_256: float = 0.1
    """Peak learning rate at a batch of 256; it scales linearly with the batch."""
    decay: Decay = "cosine"
    """How the rate falls after warm-up."""
    halvings: int = 10
    """How often, where ``decay`` is halvings."""
    milestones: tuple[float, ...] = ()
    """Shares of ``images`` after which the rate is multiplied by ``step_factor``, where ``decay`` is steps."""
    step_factor: float = 0.1
    """Of each milestone."""
    power: float = 0.9
    """Of the share that is left, where ``decay`` is poly."""
    final_fraction: float = 0.0
    """Where a cosine ends, as a share of the peak."""
    warmup_fraction: float = 0.08
    """Share of ``images`` over which the rate rises."""
    warmup_rate: float = 0.0
    """Where it rises from; from the peak where that is lower."""
    head_rate: float = 1.0
    """What the rate is multiplied by for all that stands on the backbone."""
    weight_decay: float = 1e-4
    decay_on: Literal["weights", "all"] = "weights"
    """``weights`` of convolutions and linear layers alone, or ``all`` parameters, norms and biases too."""
    momentum: float = 0.9
    """LAMB's first one; its second is 0.999."""
    nesterov: bool = True
    """SGD's momentum looks ahead."""
    clip_norm: float | None = None
    """The gradient is scaled down to this length; None: never."""
    ema: float | None = None
    """Decay, at each step, of a running mean of the weights, which becomes the model; None: the last weights do."""
    augment: Augment = field(default_factory=Augment)
    mixup: float = 0.0
    """Of the beta distribution that pictures are mixed by; 0: not."""
    cutmix: float = 0.0
    """Of the beta distribution of the area that is pasted from another picture; 0: none."""
    repeats: int = 1
    """How often a picture stands in a batch, each time varied anew."""
    loss: Loss = "softmax"
    focus: float | None = None
    """Power that holds back what is easy (gamma), of the asymmetric and the focal loss; None: the papers'."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all labels."""
    tag_weights: str | None = None
    """Digest of what each label's part of the loss is multiplied by; None: all by 1."""
    noise: str | None = None
    """Share of the labels that is replaced or dropped, once and before the law: ``KIND:p`` of ``tags.noise``, such as
    ``marginal:0.25``; None: none."""
    law: str = "natural"
    """How often a picture is drawn: natural, sqrt, uniform, power:0.3, cap, raked, raked:uniform, raked:0.3."""
    threshold: float | None = None
    """Of the law, in pictures; draws in an epoch for a raked law."""
    rounding: Rounding = "systematic"
    """How expected draws become whole ones in each epoch: ``systematic`` keeps its length, ``independent`` rounds each
    picture by itself and needs 4 bytes for each that is drawn once more."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of convolutions and matrix products; weights, norms and loss stay float32."""
    norms: Literal["process", "synchronised", "frozen"] = "process"
    """What a norm sees while training: the part of the batch that its process has, or all of it, or, ``frozen``,
    nothing: it keeps the means and variances that it came with."""
    recompute: bool = False
    """Computes what blocks keep for the backward pass again: a third of the memory, a third more time."""
    detector: Detector | None = None
    """What tells boxes, masks and keypoints; with ``sizing``, where ``task`` is locate."""
    segmenter: Segmenter | None = None
    """What tells each pixel's class; with ``sizing``, where ``task`` is locate."""
    sizing: Sizing | None = None
    """How large pictures are shown to either; of ``view`` they take the normalisation alone."""
    precise_batches: int = 0
    """Batches over which the norms' means and variances are measured anew before what is located is judged."""
    patience: int | None = None
    """Epochs without a better score on held-out pictures after which a training ends; None: it goes to its end."""
    model_of: Literal["last", "best"] = "last"
    """The model is what the last step left, or what was best on held-out pictures."""
    compiled: bool = False
    """The step goes through torch.compile."""
    seed: int = 0

    def __post_init__(self) -> None:
        for fault in itertools.chain(_range_faults(self), _contradictions(self), _pretraining_faults(self)):
            raise UsageError(f"This plan cannot be carried out: {fault}.")
        if self.freeze is not None:
            frozen_parts(self.design, self.freeze)
        _ = self.judged_view  # refuses what no view can be

    @property
    def judged_view(self) -> View:
        """The view that the net is judged and used in."""
        if self.judged_at is None:
            return self.view
        resolution, resize = self.judged_at
        return dataclasses.replace(self.view, resolution=resolution, resize=resize)

    @property
    def steps(self) -> int:
        """Whole batches."""
        return self.images // self.batch

    @property
    def seen(self) -> int:
        """Pictures seen in all steps; what is left of ``images`` is less than one."""
        return self.steps * self.batch

    @property
    def peak_rate(self) -> float:
        """The learning rate after warm-up: 0.1 per 256 is 3.15 at 8,064 (Mahajan et al. 2018, section 2.3)."""
        return self.rate_per_256 * self.batch / REFERENCE_BATCH

    @property
    def warmup_images(self) -> int:
        """Pictures seen while the rate rises."""
        return round(self.images * self.warmup_fraction)


_AT_LEAST = {
    "batch": 1,
    "accumulate": 1,
    "repeats": 1,
    "focus": 1,
    "halvings": 0,
    "patience": 1,
    "precise_batches": 0,
    "warmup_rate": 0,
    "weight_decay": 0,
    "mixup": 0,
    "cutmix": 0,
}
_ABOVE_0 = ("rate_per_256", "clip_norm", "head_rate", "power")
_0_TO_BELOW_1 = ("warmup_fraction", "momentum", "label_smoothing")
_WITHIN_0_AND_1 = ("step_factor", "ema")


def _range_faults(plan: Plan) -> Iterator[str]:
    """Numbers that mean nothing by themselves; NaN is among them."""
    values = {name: getattr(plan, name) for name in (*_AT_LEAST, *_ABOVE_0, *_0_TO_BELOW_1, *_WITHIN_0_AND_1)}
    for name, value in values.items():
        if value is None:
            continue
        if name in _AT_LEAST and not _AT_LEAST[name] <= value < float("inf"):
            yield f"{name} is {_AT_LEAST[name]} or more, not {value}"
        if name in _ABOVE_0 and not 0 < value < float("inf"):
            yield f"{name} is above 0, not {value}"
        if name in _0_TO_BELOW_1 and not 0 <= value < 1:
            yield f"{name} is 0 to below 1, not {value}"
        if name in _WITHIN_0_AND_1 and not 0 < value < 1:
            yield f"{name} is above 0 and below 1, not {value}"
    if not 0 <= plan.final_fraction <= 1:
        yield f"final_fraction is 0 to 1, not {plan.final_fraction}"


def _contradictions(plan: Plan) -> Iterator[str]:
    if plan.images < plan.batch:
        yield (
            f"images is at least one batch of {plan.batch:,}, not {plan.images:,}; give --batch at most "
            f"{plan.images:,}, or more --images"
        )
    if plan.accumulate > plan.batch:
        yield f"a batch of {plan.batch} cannot be cut into {plan.accumulate} slices (accumulate)"
    if (plan.decay == "steps") != bool(plan.milestones):
        yield f"milestones are given where decay is steps, and only there; decay is {plan.decay}"
    points = (plan.warmup_fraction, *plan.milestones, 1.0)
    if not all(before < after for before, after in itertools.pairwise(points)):
        yield f"milestones ascend between the end of warm-up, {points[0]:g}, and 1; {plan.milestones} were given"
    if plan.final_fraction and plan.decay != "cosine":
        yield f"final_fraction is where a cosine ends, and decay is {plan.decay}"
    if plan.loss in HARD_LOSSES and (plan.mixup or plan.cutmix or plan.label_smoothing):
        yield f"the {plan.loss} loss knows a label as held or not, so mixup, cutmix and label_smoothing are 0"
    if plan.focus is not None and plan.loss not in HARD_LOSSES:
        yield f"focus is of {' and '.join(HARD_LOSSES)}, and loss is {plan.loss}"
    if plan.feed == "files" and (plan.augment.pad or plan.augment.light or plan.augment.turn_degrees):
        yield "augment.pad, augment.light and augment.turn_degrees are for packed pictures, and feed is files"
    yield from _locating_faults(plan)
    if plan.warmup_rate and not plan.warmup_fraction:
        yield "warmup_rate is where warm-up begins, and warmup_fraction is 0"


def _locating_faults(plan: Plan) -> Iterator[str]:
    heads = [name for name in ("detector", "segmenter") if getattr(plan, name) is not None]
    if plan.task == "locate" and (len(heads) != 1 or plan.sizing is None):
        found = " and ".join(heads) or "none"
        yield f"one of detector and segmenter, and sizing, tell where things are; there is {found}"
    if plan.task != "locate" and (heads or plan.sizing is not None):
        yield f"detector, segmenter and sizing are for what tells where things are, and task is {plan.task}"
    if plan.task == "locate" and (plan.mixup or plan.cutmix or plan.repeats > 1 or plan.feed == "files"):
        yield "mixup, cutmix, repeats and feed are for labels of whole pictures, and task is locate"


def _pretraining_faults(plan: Plan) -> Iterator[str]:
    parse_law(plan.law)
    if plan.noise is not None:
        Noise.parse(plan.noise)
    if plan.task != "pretrain" and plan.noise is not None:
        yield f"noise is for the tags of a pretraining, and task is {plan.task}"
    if plan.task != "pretrain" and plan.rounding != "systematic":
        yield f"rounding is for the sampling law of a pretraining, and task is {plan.task}"


IDENTITY = {
    "task": "",
    "data": "",
    "design": "--design",
    "start": "--from",
    "law": "--law (of pretrain)",
    "threshold": "--threshold (of pretrain)",
    "freeze": "--freeze (of train)",
    "images": "--images",
    "batch": "--batch",
    "seed": "--seed",
    "tag_weights": "--tag-weights (of pretrain)",
}
"""Settings that --set leaves alone, with the flag of each."""


def with_settings(plan: Plan, settings: list[str]) -> Plan:
    """The plan with ``name=value`` changes, nested names dotted (``augment.flip=false``).

    Raises:
        UsageError: A name or value that no plan has.
    """
    plain = to_plain(plan)
    for setting in settings:
        name, equals, text = setting.partition("=")
        if (first := name.strip().split(".")[0]) in IDENTITY:
            remedy = f"give {IDENTITY[first]}" if IDENTITY[first] else "it follows from the verb and the pictures"
            raise UsageError(f"--set cannot change {name.strip()}: {remedy}.")
        if not equals:
            raise UsageError(f"--set wants name=value, not {setting!r}; for instance --set weight_decay=0.0005.")
        *path, last = name.strip().split(".")
        place = plain
        for step in path:
            if not isinstance(place.get(step), dict):
                raise unknown("setting", name, _names(plain), "a plan")
            place = place[step]
        if last not in place:
            raise unknown("setting", name, _names(plain), "a plan")
        place[last] = setting_value(text)
    return from_plain(Plan, plain, "--set")


def setting_value(text: str) -> Any:
    """What stands behind ``name=``: JSON, else a string."""
    import msgspec

    try:
        return msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        return text


def _names(plain: dict[str, object], before: str = "") -> list[str]:
    names: list[str] = []
    for name, value in plain.items():
        names.append(before + name)
        if isinstance(value, dict):
            names += _names(value, f"{before}{name}.")
    return names


def read_settings(path: Path) -> dict[str, Any]:
    """Settings of a plan out of a JSON, YAML or TOML file: all of them, as in a run's ``plan.json``, or some.

    Returns:
        Values by name; ``view`` and ``augment`` plain, for ``merged``. A design may be told by its name.

    Raises:
        UsageError: There is no such file, it is no such format, or it has a name or value that no plan has.
    """
    plain = read_plain(path)
    named = plain.pop("design") if isinstance(plain, dict) and isinstance(plain.get("design"), str) else None
    settings = part_from_plain(Plan, plain, str(path))
    if named is not None:
        settings["design"] = find_design(named)
    elif "design" in settings:
        settings["design"] = from_plain(Design, settings["design"], f"{path}, design,")
    return settings


def merged(plan: Plan, nested: dict[str, Any], where: str) -> Plan:
    """The plan with some settings of its view and augmentation, as ``read_settings`` leaves them.

    Raises:
        UsageError: They do not fit, or not together.
    """
    plain = to_plain(plan)
    for name, value in nested.items():
        plain[name] = {**plain[name], **value} if isinstance(value, dict) else value
    return from_plain(Plan, plain, where)


def replace(plan: Plan, **changes: object) -> Plan:
    """The plan with other settings; what is None stays as it was."""
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(plan, **given)  # type: ignore[arg-type]
