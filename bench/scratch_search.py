"""Which net, schedule and length is the best rival for the quickstart's pretrained nets.

Candidates learn the ten pictures a class of drawn targets whose seeds no reported result uses,
and are scored on validation pictures drawn for this search alone. The best of a first round go on
to three targets and two lengths; the mean over the targets decides.

    python -m bench.scratch_search
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.record import write_record
from tagwise.base import rng
from tagwise.base.devices import choose_device, native_bf16
from tagwise.base.views import View
from tagwise.corpus import drawn
from tagwise.nets import find_design
from tagwise.pixels.augment import Augment
from tagwise.pixels.decode import fit
from tagwise.training.plans import Plan, from_scratch
from tagwise.transfer.features import score
from tagwise.transfer.finetune import train_classes

TARGET_SEEDS = (9001, 9002, 9003)
VALIDATION_PER_CLASS = 60
DESIGNS = ("resnext20_8x4d_small", "resnext20_6x4d_small", "resnext11_8x4d_small", "resnet8_cifar")
RATES = (0.5, 1.0)
DECAYS = (1e-3, 5e-3)
EPOCHS = (120, 400)
AUGMENTS = {
    "shifts and flips": Augment(smallest_area_fraction=0.79, aspect=1.0),
    "shifts, flips and any turn": Augment(smallest_area_fraction=0.79, aspect=1.0, turn_degrees=180),
    "crops, any turn and light": Augment(smallest_area_fraction=0.6, aspect=1.15, turn_degrees=180, light=0.2),
}
FINALISTS = 4
VIEW = View(resolution=32, resize=36)

Pictures = tuple[NDArray[np.uint8], NDArray[np.int64]]


def draw(seed: int, split: str, per_class: int) -> Pictures:
    """Fitted pictures of the drawn target and their classes."""
    generator = rng.stream(seed, "scratch search", split)
    scenes, truth = drawn.draw_target(per_class, generator)
    pictures = drawn.draw_pictures(scenes, generator)
    return np.stack([fit(picture_HWC, VIEW) for picture_HWC in pictures]), truth


def first_round() -> list[Plan]:
    """One plan for each design, rate, decay and augmentation, at the shorter length."""
    base = from_scratch(
        data="scratch search",
        design=find_design(DESIGNS[0]),
        view=VIEW,
        images=EPOCHS[0] * 100,
        precision="bfloat16" if native_bf16(choose_device("cpu")) else "float32",
    )
    return [
        replace(
            base,
            design=find_design(design),
            rate_per_256=rate,
            weight_decay=decay,
            augment=augment,
        )
        for design, rate, decay, augment in itertools.product(DESIGNS, RATES, DECAYS, AUGMENTS.values())
    ]


def accuracy(plan: Plan, seed: int) -> float:
    """Validation accuracy after training on the target of that seed."""
    pixels, truth = draw(seed, "train", 10)
    net = train_classes(replace(plan, seed=seed), pixels, truth, 10, device=torch.device("cpu"))
    held, held_truth = draw(seed, "validation", VALIDATION_PER_CLASS)
    return float((score(net, held, VIEW, torch.device("cpu")).argmax(1) == held_truth).mean())


def described(plan: Plan) -> dict[str, Any]:
    """What tells the candidates apart."""
    names = {find_design(name): name for name in DESIGNS}
    return {
        "design": names[plan.design],
        "rate_per_256": plan.rate_per_256,
        "weight_decay": plan.weight_decay,
        "augmentation": next(name for name, augment in AUGMENTS.items() if augment == plan.augment),
        "epochs": plan.images // 100,
    }


def main() -> None:
    """Runs both rounds and writes the record."""
    scored: list[tuple[float, Plan, list[float]]] = []
    for plan in first_round():
        found = accuracy(plan, TARGET_SEEDS[0])
        scored.append((found, plan, [found]))
        print(f"{found:.3f} {described(plan)}", file=sys.stderr, flush=True)
    scored.sort(key=lambda entry: -entry[0])
    finalists = [replace(plan, images=epochs * 100) for _, plan, _ in scored[:FINALISTS] for epochs in EPOCHS]
    results = []
    for plan in finalists:
        found_all = [accuracy(plan, seed) for seed in TARGET_SEEDS]
        results.append((float(np.mean(found_all)), plan, found_all))
        print(f"{results[-1][0]:.3f} {found_all} {described(plan)}", file=sys.stderr, flush=True)
    results.sort(key=lambda entry: -entry[0])
    rounds = {
        "first_round": [{**described(plan), "accuracies": found} for _, plan, found in scored],
        "finalists": [{**described(plan), "mean": mean, "accuracies": found} for mean, plan, found in results],
        "target_seeds": list(TARGET_SEEDS),
        "validation_pictures": 10 * VALIDATION_PER_CLASS,
    }
    print(write_record("scratch_search", rounds, packages=("tagwise", "torch", "numpy")))


if __name__ == "__main__":
    main()
