"""What flags that several verbs share come to: things, workers, and plans with what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagwise.base.durations import parse_images
from tagwise.base.errors import UsageError
from tagwise.base.progress import say

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from tagwise.base.views import View
    from tagwise.pixels.feeding import FilePictures
    from tagwise.pixels.place import Place
    from tagwise.training.models import Model
    from tagwise.training.plans import Plan
    from tagwise.training.ranks import Ranks
    from tagwise.training.runs import Run


STEPS_WORTH_A_TRIAL = 5_000
"""A trial of memory formats takes about fifty steps."""
_MANY = 1_000_000
"""Pictures that are enough for any recipe's batch."""


@dataclass(frozen=True, kw_only=True)
class PlanFlags:
    """Flags that change a recipe's plan; None: not given."""

    plan: Path | str | None
    """A file of settings."""
    design: str | None
    images: str | None
    batch: int | None
    resolution: int | None
    lr: float | None
    set_: list[str] | None
    freeze: str | None = None

    def settings(self) -> dict[str, Any]:
        """What the file says.

        Raises:
            UsageError: It cannot be read, or has a name or value that no plan has.
        """
        from tagwise.training.plans import read_settings

        return {} if self.plan is None else read_settings(Path(self.plan))

    def noise(self, told: dict[str, Any]) -> str | None:
        """What --set says of noise, or else the file: the pictures that a plan is made for depend on it.

        Args:
            told: What ``settings`` returned.

        Raises:
            UsageError: It is no text.
        """
        from tagwise.training.plans import setting_value

        value = told.get("noise")
        for name, equals, text in (setting.partition("=") for setting in self.set_ or ()):
            if equals and name.strip() == "noise":
                value = setting_value(text)
        if not isinstance(value, str | None):
            raise UsageError(f"The noise {value!r} has no kind; write for instance noise=marginal:0.25.")
        return value


def make_plan(
    recipe: Callable[..., Plan],
    pictures: int,
    flags: PlanFlags,
    start: Model | None,
    device: torch.device,
    *,
    elsewhere: bool = False,
    **facts: Any,
) -> Plan:
    """The recipe's plan, changed by the model to begin from, then by the file, then by flags.

    Args:
        recipe: From ``training.recipes``.
        pictures: That an epoch shows.
        flags: Of the command.
        start: The model to begin from; its design holds.
        device: Decides the precision, where nothing else does.
        elsewhere: It is reckoned for other machines and their pictures; else the recipe's batch shrinks to those here,
            and a larger one is refused.
        facts: Settings that follow from the data and other flags.

    Raises:
        UsageError: An unknown design or setting, a value that no plan has, a file of another training, or a batch that
            would need pictures twice.
    """
    from tagwise.base.devices import native_bf16
    from tagwise.nets import find_design
    from tagwise.training.plans import REFERENCE_BATCH, merged, with_settings
    from tagwise.training.plans import replace as changed

    if flags.lr is not None and not flags.lr > 0:
        raise UsageError(f"--lr is above 0, not {flags.lr:g}.")
    facts["start"] = start.digest if start else None
    if start is not None:
        facts |= {"design": start.facts.design}
    settings = _of_this_training(flags, facts)
    nested: dict[str, Any] = {name: settings.pop(name) for name in ("view", "augment") if name in settings}
    own: dict[str, Any] = {}
    if facts.get("task") != "locate":  # detectors were published in float32, and on CPUs are no faster in bfloat16
        own["precision"] = "bfloat16" if native_bf16(device) else "float32"
    if start is not None:
        own["view"] = start.facts.view
    if start is not None or "view" in nested:
        own["judged_at"] = None  # the recipe's belongs to its own view
    given = {
        "design": find_design(flags.design) if flags.design is not None and start is None else None,
        "images": None if flags.images is None else parse_images(flags.images, pictures),
        "batch": flags.batch,
        "freeze": flags.freeze,
    }
    given = {name: value for name, value in given.items() if value is not None}
    told = {**own, **settings, **facts, **given}
    if not elsewhere:
        told["batch"] = _batch_of(recipe, pictures, told)
    plan = recipe(pictures, **told)
    plan = merged(plan, nested, str(flags.plan))
    if flags.resolution is not None:
        plan = replace(plan, view=_resized(plan.view, flags.resolution), judged_at=None)
    if flags.lr is not None:
        plan = changed(plan, rate_per_256=flags.lr * REFERENCE_BATCH / plan.batch)
    plan = with_settings(plan, flags.set_) if flags.set_ else plan
    frozen = plan.freeze or ("what norms know" if plan.norms == "frozen" else None)
    if frozen is not None and start is None:
        raise UsageError(f"{frozen} is to stay as it was learnt; give the model with --from.")
    return plan


def _batch_of(recipe: Callable[..., Plan], pictures: int, told: dict[str, Any]) -> int:
    """The batch that was told, or the recipe's, as far as there are pictures for it."""
    if "batch" not in told:
        usual = recipe(_MANY, **{name: value for name, value in told.items() if name != "images"}).batch
        if usual > pictures:
            say(f"The recipe's batch of {usual:,} is cut to the {pictures:,} pictures here, and the rate follows.")
        return min(usual, pictures)
    if told["batch"] > pictures:
        raise UsageError(
            f"A batch of {told['batch']:,} is larger than the {pictures:,} pictures that there are; "
            f"give --batch at most {pictures:,}, and the rate follows."
        )
    return int(told["batch"])


def _of_this_training(flags: PlanFlags, facts: dict[str, Any]) -> dict[str, Any]:
    """The file's settings, unless they tell of other data or another model."""
    settings = flags.settings()
    for name in ("task", "data", "start", "design", "tag_weights"):
        if name in settings and name in facts and settings[name] != facts[name]:
            raise UsageError(
                f"{flags.plan} is the plan of another training: its {name} is {_short(settings[name])}, here it is "
                f"{_short(facts[name])}; leave {name} away in it, or give what it was made for."
            )
    return settings


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _resized(view: View, resolution: int) -> View:
    """An eighth more is fitted than is seen, as 256 for 224, but where all that is fitted is seen."""
    whole = view.resize == view.resolution
    return replace(view, resolution=resolution, resize=resolution if whole else resolution * 8 // 7)


def plan_facts(plan: Plan, epoch_length: float | None) -> dict[str, str]:
    """What a plan decides, with the derivation of the learning rate.

    Args:
        plan: The training.
        epoch_length: Pictures of an epoch; None: of a corpus that is not here.
    """
    epochs = "" if epoch_length is None else f" = {plan.seen / epoch_length:,.1f} epochs"
    nesterov = ", Nesterov's" if plan.optimiser == "sgd" and plan.nesterov and plan.momentum else ""
    decayed = "all parameters" if plan.decay_on == "all" else "weights, not on norms and biases"
    begun = f" from {min(plan.warmup_rate, plan.peak_rate):.4g}" if plan.warmup_rate else ""
    rise = f"warm-up {plan.warmup_images:,} pictures{begun}, then " if plan.warmup_images else ""
    return {
        "pictures seen": f"{plan.seen:,}{epochs}, {plan.steps:,} steps of {plan.batch}",
        "learning rate": f"{plan.peak_rate:.4g} = {plan.rate_per_256:g} per 256 x {plan.batch} / 256; "
        f"{rise}{_fall(plan)}",
        "optimiser": f"{plan.optimiser.upper()}, momentum {plan.momentum:g}{nesterov}, weight decay "
        f"{plan.weight_decay:g} on {decayed}",
        "view": f"{plan.view}, {plan.precision}" + (f"; judged in {plan.judged_view}" if plan.judged_at else ""),
    }


def _fall(plan: Plan) -> str:
    """How the rate falls."""
    from tagwise.training.schedule import drops

    if plan.decay == "cosine":
        return f"a cosine to {plan.final_fraction * plan.peak_rate:.4g}"
    if plan.decay == "poly":
        return f"to 0 by the power {plan.power:g} of the share that is left"
    points = [f"{drop:,}" for drop in drops(plan)]
    told = ", ".join(points if len(points) <= 4 else [*points[:2], "...", points[-1]])
    factor = "halved" if plan.decay == "halvings" else f"x {plan.step_factor:g}"
    return f"{factor} {len(points)} times, after {told} pictures" if points else "constant"


def feed_files(
    plan: Plan, places: Sequence[Place], ids: NDArray[np.int32], offsets: NDArray[np.int64], workers: int | None
) -> FilePictures:
    """Pictures that worker processes read, crop and vary while the net learns.

    Args:
        plan: Its augmentation, view and seed.
        places: Where they are, by row.
        ids: Label ids of all pictures, one after the other.
        offsets: Where each picture's ids begin; one more than pictures.
        workers: Processes; by default one for each processor, shared among the ranks of the machine.
    """
    import os

    from tagwise.pixels.crops import CropReader
    from tagwise.pixels.feeding import FilePictures

    return FilePictures(
        places=places,
        ids=ids,
        offsets=offsets,
        read=CropReader(augment=plan.augment, view=plan.view, seed=plan.seed),
        side=plan.view.resolution,
        workers=workers or max((os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1),
    )


def memory_format_of(run: Run, device: torch.device, together: Ranks) -> torch.memory_format:
    """What the run began with; a run that begins tries both, if it is long enough to repay that."""
    import torch

    from tagwise.training.estimate import choose_memory_format
    from tagwise.training.runs import MACHINE_FILE
    from tagwise.training.tasks import memory_format

    with together.first_alone():
        if together.first and run.read(MACHINE_FILE) is None:
            long = run.plan.steps >= STEPS_WORTH_A_TRIAL
            found = choose_memory_format(run.plan, device) if long else memory_format(run.plan.design)
            run.write(MACHINE_FILE, {"memory_format": str(found).removeprefix("torch.")})
    layout: torch.memory_format = getattr(torch, run.read(MACHINE_FILE)["memory_format"])
    return layout


def refuse_idle_flags(ranks: int | None, rate: float | None, *, dry_run: bool) -> None:
    """Told before the work begins.

    Raises:
        UsageError: A number that means nothing, or a flag of --dry-run without it.
    """
    if ranks is not None and ranks < 1:
        raise UsageError(f"--ranks is 1 process or more, not {ranks}.")
    if rate is not None and not rate > 0:
        raise UsageError(f"--rate is above 0 pictures a second, not {rate:g}.")
    if not dry_run and (ranks is not None or rate is not None):
        raise UsageError("--ranks and --rate are for --dry-run; to train in several processes start it with torchrun.")


def several(things: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """The things that a verb is given; one alone need not stand in a list, and a string is one."""
    return [things] if isinstance(things, str | Path) else list(things)


def refuse_given(flags: Mapping[str, Any], why: str) -> None:
    """Refuses flags that would do nothing.

    Args:
        flags: Values by the names of their parameters; None and False were not given.
        why: They are idle, as a clause.

    Raises:
        UsageError: One was given.
    """
    given = next((name for name, value in flags.items() if value is not None and value is not False), None)
    if given is not None:
        raise UsageError(f"--{given.replace('_', '-')} does nothing here, because {why}; leave it away.")


def refuse_no_answers(top: int | None, threshold: float | None) -> None:
    """Told before the work begins.

    Raises:
        UsageError: A number under or over which there would be no answer.
    """
    if top is not None and top < 1:
        raise UsageError(f"--top is 1 or more, not {top}.")
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"--threshold is 0 to 1, not {threshold:g}.")


def refuse_no_workers(workers: int | None) -> None:
    """Told before the work begins.

    Raises:
        UsageError: There would be none.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"--workers is 1 thread or more, not {workers}; leave it away for one on each processor.")
