"""Which net, schedule and length is the best rival for the quickstart's pretrained nets.

Candidates learn the ten pictures a class of drawn targets whose seeds no reported result uses,
and are scored on validation pictures drawn for this search alone. Round one settles rate and
augmentation of each net on one target; round two takes every net's best to two lengths on three
targets, and the mean over the three decides.

    python -m bench.scratch_search
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.record import write_record
from tagwise.base import rng
from tagwise.base.devices import choose_device, native_bf16
from tagwise.base.views import View
from tagwise.corpus.drawn.pictures import draw_pictures
from tagwise.corpus.drawn.scenes import draw_target
from tagwise.nets import find_design
from tagwise.pixels.augment import Augment
from tagwise.pixels.decode import fit
from tagwise.training.plans import Plan
from tagwise.training.recipes.small import from_scratch
from tagwise.transfer.features import score
from tagwise.transfer.finetune import train_classes

TARGET_SEEDS = (9001, 9002, 9003)
VALIDATION_PER_CLASS = 60
DESIGNS = ("resnext20_8x4d_small", "resnext20_6x4d_small", "resnet8_cifar")
RATES = (0.5, 1.5)
DECAY = 5e-3
BATCH = 64
FIRST_EPOCHS = 300
EPOCHS = (400, 1000)
AUGMENTS = {
    "shifts, flips and any turn": Augment(smallest_area_fraction=0.79, aspect=1.0, turn_degrees=180),
    "crops, any turn and light": Augment(smallest_area_fraction=0.6, aspect=1.15, turn_degrees=180, light=0.2),
}
WORKERS = 2
VIEW = View(resolution=32, resize=36)


def square(resolution: int) -> View:
    """An eighth more is fitted than is seen."""
    return View(resolution=resolution, resize=resolution * 9 // 8)


Pictures = tuple[NDArray[np.uint8], NDArray[np.int64]]


def draw(seed: int, split: str, per_class: int, view: View = VIEW) -> Pictures:
    """Fitted pictures of the drawn target and their classes."""
    generator = rng.stream(seed, "scratch search", split)
    scenes, truth = draw_target(per_class, generator)
    pictures = draw_pictures(scenes, generator)
    return np.stack([fit(picture_HWC, view) for picture_HWC in pictures]), truth


def first_round() -> list[Plan]:
    """One plan for each design, rate and augmentation, at one length."""
    base = from_scratch(
        100,
        data="scratch search",
        design=find_design(DESIGNS[0]),
        view=VIEW,
        images=FIRST_EPOCHS * 100,
        batch=BATCH,
        weight_decay=DECAY,
        precision="bfloat16" if native_bf16(choose_device("cpu")) else "float32",
    )
    return [
        replace(base, design=find_design(design), rate_per_256=rate, augment=augment)
        for design, rate, augment in itertools.product(DESIGNS, RATES, AUGMENTS.values())
    ]


def accuracy(plan: Plan, seed: int) -> float:
    """Validation accuracy after training on the target of that seed."""
    pixels, truth = draw(seed, "train", 10, plan.view)
    net = train_classes(replace(plan, seed=seed), pixels, truth, 10, device=torch.device("cpu"))
    held, held_truth = draw(seed, "validation", VALIDATION_PER_CLASS, plan.view)
    return float((score(net, held, plan.view, torch.device("cpu")).argmax(1) == held_truth).mean())


def described(plan: Plan) -> dict[str, Any]:
    """What tells the candidates apart."""
    names = {find_design(name): name for name in DESIGNS}
    return {
        "design": names[plan.design],
        "rate_per_256": plan.rate_per_256,
        "weight_decay": plan.weight_decay,
        "batch": plan.batch,
        "resolution": plan.view.resolution,
        "augmentation": next(name for name, augment in AUGMENTS.items() if augment == plan.augment),
        "epochs": plan.images // 100,
    }


def told(found: Iterable[float], plans: Iterable[Plan]) -> Iterator[float]:
    """The accuracies, each said when it comes."""
    for accuracy_found, plan in zip(found, plans, strict=False):
        print(f"{accuracy_found:.3f} {described(plan)}", file=sys.stderr, flush=True)
        yield accuracy_found


def main() -> None:
    """Runs both rounds and writes the record."""
    with ProcessPoolExecutor(WORKERS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        plans = first_round()
        found = pool.map(accuracy, plans, itertools.repeat(TARGET_SEEDS[0]))
        scored = sorted(zip(told(found, plans), plans, strict=True), key=lambda entry: -entry[0])
        best = {plan.design: plan for _, plan in reversed(scored)}  # of each net the best, which comes last
        finalists = [replace(plan, images=epochs * 100) for plan in best.values() for epochs in EPOCHS]
        jobs = list(itertools.product(finalists, TARGET_SEEDS))
        every = pool.map(accuracy, [plan for plan, _ in jobs], [seed for _, seed in jobs])
        values = np.array(list(told(every, [plan for plan, _ in jobs]))).reshape(len(finalists), -1)
    finals = [{**described(p), **means(v)} for p, v in zip(finalists, values.tolist(), strict=True)]
    rounds = {
        "first_round": [{**described(plan), "accuracy": value} for value, plan in scored],
        "finalists": sorted(finals, key=lambda entry: -entry["mean"]),
        "target_seeds": list(TARGET_SEEDS),
        "validation_pictures": 10 * VALIDATION_PER_CLASS,
    }
    print(write_record("scratch_search", rounds, packages=("tagwise", "torch", "numpy")))


def means(values: list[float]) -> dict[str, Any]:
    """Accuracies on the targets with their mean."""
    return {"mean": float(np.mean(values)), "accuracies": values}


def plan_of(entry: dict[str, Any], plan: Plan) -> Plan:
    """The plan with what an entry of the record says."""
    return replace(
        plan,
        design=find_design(entry["design"]),
        rate_per_256=entry["rate_per_256"],
        weight_decay=entry["weight_decay"],
        batch=entry["batch"],
        view=square(entry.get("resolution", VIEW.resolution)),  # the first search knew one resolution
        augment=AUGMENTS[entry["augmentation"]],
        images=entry["epochs"] * 100,
    )


if __name__ == "__main__":
    main()
