"""What flags that several verbs share come to: things, workers, views and plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.base.errors import UsageError

if TYPE_CHECKING:
    import torch

    from tagwise.base.views import View
    from tagwise.training.models import Model
    from tagwise.training.plans import Plan

DEFAULT_DESIGNS = {"small": "resnext20_8x4d_small", "wsl": "resnext50_32x4d"}
"""Of each recipe; ``train`` from scratch takes the small one."""


def make_plan(
    recipe: Callable[..., Plan],
    start: Model | None,
    device: torch.device,
    *,
    design: str,
    view: View,
    batch: int | None,
    lr: float | None,
    settings: list[str],
    **facts: object,
) -> Plan:
    """The recipe's plan with the flags' changes; without ``batch`` and ``lr`` the recipe's own hold.

    Args:
        recipe: From ``training.plans``.
        start: The model to begin from; its design holds.
        device: Decides the precision.
        design: A name of the family, for a net from scratch.
        view: How the net sees a picture.
        batch: Pictures a step.
        lr: Peak learning rate at that batch.
        settings: ``name=value`` each, as of ``--set``.
        facts: Other settings of the plan.

    Raises:
        UsageError: An unknown design or setting, or a value that no plan has.
    """
    from tagwise.base.devices import native_bf16
    from tagwise.nets import find_design
    from tagwise.training.plans import replace, with_settings
    from tagwise.training.schedule import REFERENCE_BATCH

    if lr is not None and not lr > 0:
        raise UsageError(f"--lr is above 0, not {lr:g}.")
    plan = recipe(
        design=start.facts.design if start else find_design(design),
        view=view,
        start=start.digest if start else None,
        precision="bfloat16" if native_bf16(device) else "float32",
        **facts,
        **({} if batch is None else {"batch": batch}),
    )
    if lr is not None:
        plan = replace(plan, rate_per_256=lr * REFERENCE_BATCH / plan.batch)
    return with_settings(plan, settings) if settings else plan


def several(things: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """The things that a verb is given; one alone need not stand in a list, and a string is one."""
    return [things] if isinstance(things, str | Path) else list(things)


def refuse_no_workers(workers: int | None) -> None:
    """Told before the work begins.

    Raises:
        UsageError: There would be none.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"--workers is 1 thread or more, not {workers}; leave it away for one on each processor.")


def choose_view(start: Model | None, resolution: int | None, usual: int) -> View:
    """The asked resolution, else the start's own view, else the usual resolution.

    An eighth more is fitted than is seen, as 256 for 224.
    """
    from tagwise.base.views import View

    if start is not None and resolution is None:
        return start.facts.view
    seen = usual if resolution is None else resolution
    return View(resolution=seen, resize=seen * 8 // 7)
