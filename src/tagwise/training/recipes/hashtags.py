"""Pretraining on tags as in Mahajan et al. 2018, and how such nets go on with a target."""

from __future__ import annotations

import dataclasses
from typing import Any

from tagwise.base.views import View
from tagwise.pixels.augment import Augment
from tagwise.training.plans import REFERENCE_BATCH, Plan
from tagwise.training.recipes.parts import CROPS, IMAGENET_VIEW, at, planned, stepped


def wsl_pretraining(pictures: int, **changes: Any) -> Plan:
    """Large nets on hashtags, as Mahajan et al. 2018 trained ResNeXt-101 32x16d on 3.5 billion pictures.

    On 336 GPUs in about 22 days; fine-tuned on ImageNet, 84.2 % top-1 from 940 million pictures (WSL-Images'
    README). Their code was not published. Our reading where the text is open or was not at hand: a length between
    100 epochs of 1.2 million pictures and 2 of 3.5 billion, warm-up from 0.1 over a fiftieth of it, ten halvings,
    decay 1e-4 on weights alone, Nesterov, crops of 8 % and more.
    """
    return planned(
        changes,
        **at(3.15, batch=8064),
        task="pretrain",
        design="resnext101_32x16d",
        feed="files",
        view=IMAGENET_VIEW,
        images=_wsl_images(pictures),
        warmup_rate=0.1,
        warmup_fraction=0.02,
        decay="halvings",
        halvings=10,
        augment=CROPS,
    )


def wsl_on_one_machine(pictures: int, **changes: Any) -> Plan:
    """Hashtags by the same rule with a net and a batch for one GPU: ResNeXt-50 32x4d, 0.1 at a batch of 256."""
    return wsl_pretraining(pictures, **{"design": "resnext50_32x4d", "batch": REFERENCE_BATCH, **changes})


def _wsl_images(pictures: int) -> int:
    """Linear between the two extremes, and their epochs beyond them."""
    (few, seen_of_few), (many, seen_of_many) = (1_200_000, 120_000_000), (3_500_000_000, 7_000_000_000)
    if pictures <= few:
        return 100 * pictures
    if pictures >= many:
        return 2 * pictures
    return seen_of_few + (seen_of_many - seen_of_few) * (pictures - few) // (many - few)


def wsl_fine_tuning(pictures: int, **changes: Any) -> Plan:
    """All of a net that was trained on hashtags goes on with a target's classes (Mahajan et al. 2018).

    ResNeXt-101 32x8d: 82.2 % top-1 on ImageNet at 224 pixels (WSL-Images' README). Rates and lengths were chosen
    for each target on held-out pictures and are not known to us; those of BiT's rule stand in.
    """
    own = {"design": "resnext101_32x8d", "view": IMAGENET_VIEW, "augment": CROPS, "mixup": 0.0}
    return bit(pictures, **{**own, **changes})


def wsl_linear(pictures: int, **changes: Any) -> Plan:
    """A linear classifier over a frozen net that was trained on hashtags (Mahajan et al. 2018).

    ResNeXt-101 32x16d: 83.6 % top-1 on ImageNet, fine-tuned 84.2 %. Length after BiT's rule, rate 0.1 per 256:
    theirs are not known to us.
    """
    plan = wsl_fine_tuning(pictures, **{"rate_per_256": 0.1, **changes})
    return dataclasses.replace(plan, freeze=plan.freeze or f"stem+{len(plan.design.depths)}")


def bit(pictures: int, **changes: Any) -> Plan:
    """BiT's rule for fine-tuning, by the number of pictures alone (Kolesnikov et al. 2020, ``bit_hyperrule.py``).

    87.5 % top-1 on ImageNet with their largest net. Steps of 512 pictures: 500 below 20,000 pictures, 10,000 below
    500,000, else 20,000; no decay. On one machine theirs is 0.001 at a batch of 128. Theirs are nets with group norms,
    and pictures pressed into squares of 512 pixels, of which 480 are cut out, or 128 of 160 where pictures are smaller
    than 96 x 96. Ours are crops of as much area out of the whole picture, and a model given with ``--from`` brings its
    resolution: ``--resolution 480`` gives theirs; for small pictures ``--resolution 128`` does, and 0.64 in the place
    of ``augment.smallest_area_fraction=0.88``.
    """
    rise, *falls, steps = (
        (100, 200, 300, 400, 500)
        if pictures < 20_000
        else (500, 3_000, 6_000, 9_000, 10_000)
        if pictures < 500_000
        else (500, 6_000, 12_000, 18_000, 20_000)
    )
    return planned(
        changes,
        **at(0.003, batch=512),
        **stepped(steps, *falls, of=512, rise=rise),
        design="resnet50",
        feed="files",
        view=View(resolution=480, resize=512),
        nesterov=False,
        weight_decay=0.0,
        mixup=0.0 if pictures < 20_000 else 0.1,
        augment=Augment(smallest_area_fraction=0.88),  # not of squares alone: none is so large a part of a photo
    )
