"""A plan says everything that decides a training's numbers; a recipe is a function that returns one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from tagwise.base.errors import UsageError, unknown
from tagwise.base.settings import from_plain, to_plain
from tagwise.base.views import View
from tagwise.nets.design import Design
from tagwise.nets.norms import frozen_parts
from tagwise.pixels.augment import Augment
from tagwise.tags.laws import Law
from tagwise.training.losses import Loss
from tagwise.training.schedule import Decay, scaled_rate


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings of one training; two runs of one plan give the same numbers on one machine."""

    task: Literal["pretrain", "train"]
    """On tags, or on a target's classes."""
    data: str
    """Digest of the pictures and their labels."""
    design: Design
    view: View
    start: str | None = None
    """Digest of the model to begin from; None: from scratch."""
    freeze: str | None = None
    """First parts of the net that stay as they are, such as ``stem+2``; None: all of it is trained."""
    images: int
    """Pictures seen in all."""
    batch: int = 64
    """Pictures a step, over all processes."""
    rate_per_256: float = 0.1
    """Peak learning rate at a batch of 256; it scales linearly with the batch."""
    decay: Decay = "cosine"
    """How the rate falls after warm-up."""
    halvings: int = 10
    """How often, where ``decay`` is halvings."""
    warmup_fraction: float = 0.08
    """Share of ``images`` over which the rate rises."""
    weight_decay: float = 1e-4
    """On the weights of convolutions and linear layers alone."""
    momentum: float = 0.9
    """Nesterov's."""
    augment: Augment = field(default_factory=Augment)
    loss: Loss = "softmax"
    law: Law = "natural"
    """How often a picture is drawn."""
    threshold: float | None = None
    """Of the law, in pictures."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of convolutions and matrix products; weights, norms and loss stay float32."""
    seed: int = 0

    def __post_init__(self) -> None:
        for fault, wrong in (
            (f"batch is 1 or more, not {self.batch}", self.batch < 1),
            (f"images is at least one batch of {self.batch}, not {self.images}", self.images < self.batch),
            (f"rate_per_256 is above 0, not {self.rate_per_256}", not self.rate_per_256 > 0),
            (f"warmup_fraction is 0 to below 1, not {self.warmup_fraction}", not 0 <= self.warmup_fraction < 1),
            (f"weight_decay is 0 or more, not {self.weight_decay}", not self.weight_decay >= 0),
            (f"halvings is 0 or more, not {self.halvings}", self.halvings < 0),
            (f"momentum is 0 to below 1, not {self.momentum}", not 0 <= self.momentum < 1),
        ):
            if wrong:
                raise UsageError(f"This plan cannot be carried out: {fault}.")
        if self.freeze is not None:
            frozen_parts(self.design, self.freeze)

    @property
    def steps(self) -> int:
        """Whole batches."""
        return self.images // self.batch

    @property
    def peak_rate(self) -> float:
        """The learning rate after warm-up."""
        return scaled_rate(self.rate_per_256, self.batch)

    @property
    def warmup_images(self) -> int:
        """Pictures seen while the rate rises."""
        return round(self.images * self.warmup_fraction)


IDENTITY = ("task", "data", "design", "start", "law", "threshold", "freeze", "images", "batch", "seed")
"""Settings that --set leaves alone: they have flags of their own, or none."""


def with_settings(plan: Plan, settings: list[str]) -> Plan:
    """The plan with ``name=value`` changes, nested names dotted (``augment.flip=false``).

    Raises:
        UsageError: A name or value that no plan has.
    """
    import msgspec

    plain = to_plain(plan)
    for setting in settings:
        name, equals, text = setting.partition("=")
        if name.strip().split(".")[0] in IDENTITY:
            raise UsageError(
                f"--set cannot change {name.strip()}: it follows from the data, the model and other flags."
            )
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
        try:
            place[last] = msgspec.json.decode(text.encode())
        except msgspec.DecodeError:
            place[last] = text
    return from_plain(Plan, plain, "--set")


def _names(plain: dict[str, object], before: str = "") -> list[str]:
    names: list[str] = []
    for name, value in plain.items():
        names.append(before + name)
        if isinstance(value, dict):
            names += _names(value, f"{before}{name}.")
    return names


GENTLE = Augment(smallest_area_fraction=0.6, aspect=1.15)
"""Crops for small pictures, which lose too much by the crops of large ones."""


VIVID = Augment(smallest_area_fraction=0.35, light=0.4)
"""Strong crops and light: photos of other places and hours (``bench/photo_search.py``)."""


def small_pretraining(**facts: object) -> Plan:
    """Small pictures and nets on one machine: what the quickstart uses.

    Cosine to zero, a high rate with a strong decay, gentle crops: our own choice, by trials on
    validation pictures of the drawn target (``docs/decisions.md``).
    """
    settings: dict[str, object] = {
        "task": "pretrain",
        "batch": 64,
        "rate_per_256": 1.2,
        "weight_decay": 1e-3,
        "augment": GENTLE,
    }
    return Plan(**{**settings, **facts})  # type: ignore[arg-type]


def wsl_pretraining(**facts: object) -> Plan:
    """Large nets at 224 pixels, after Mahajan et al. 2018: linear scaling from 0.1 per 256 and halvings.

    The number of halvings and the decay are our reading; the paper's text leaves them open.
    """
    settings: dict[str, object] = {
        "task": "pretrain",
        "batch": 256,
        "rate_per_256": 0.1,
        "decay": "halvings",
        "halvings": 10,
        "warmup_fraction": 0.02,
        "weight_decay": 1e-4,
        "augment": Augment(smallest_area_fraction=0.08),
    }
    return Plan(**{**settings, **facts})  # type: ignore[arg-type]


def fine_tuning(**facts: object) -> Plan:
    """A pretrained net on a small target: a tenth of pretraining's rate, all parameters move."""
    settings: dict[str, object] = {
        "task": "train",
        "batch": 32,
        "rate_per_256": 0.1,
        "weight_decay": 5e-4,
        "augment": GENTLE,
    }
    return Plan(**{**settings, **facts})  # type: ignore[arg-type]


def from_scratch(**facts: object) -> Plan:
    """A net without pretraining on a small target: a high rate and strong decay."""
    settings: dict[str, object] = {
        "task": "train",
        "batch": 32,
        "rate_per_256": 0.5,
        "weight_decay": 5e-3,
        "augment": GENTLE,
    }
    return Plan(**{**settings, **facts})  # type: ignore[arg-type]


PRETRAINING = {"small": small_pretraining, "wsl": wsl_pretraining}
"""Recipes by the name that ``--recipe`` takes."""


def find_recipe(name: str) -> str:
    """The name, if it is a recipe's.

    Raises:
        UsageError: It is none; the nearest are named.
    """
    if name not in PRETRAINING:
        raise unknown("recipe", name, PRETRAINING)
    return name


def replace(plan: Plan, **changes: object) -> Plan:
    """The plan with other settings; what is None stays as it was."""
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(plan, **given)  # type: ignore[arg-type]
