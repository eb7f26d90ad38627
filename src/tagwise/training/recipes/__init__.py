"""Recipes: functions of an epoch's pictures that return plans, after published trainings or of our own.

So published epochs become pictures seen. A rate stands with the batch that it was published for; at another
batch it scales linearly. ``changes`` are settings of the plan and win over the recipe's own, a batch included;
what a published command leaves open is said. Nothing here is a function of validation scores: the plateaus of
He et al. 2016 on ImageNet are the steps of ``fb_imagenet``.
"""

from __future__ import annotations

from collections.abc import Callable

from tagwise.base.errors import unknown
from tagwise.training.plans import Plan
from tagwise.training.recipes import cifar, hashtags, imagenet, small

Recipe = Callable[..., Plan]

RECIPES: dict[str, Recipe] = {
    "small": small.small_pretraining,
    "scratch": small.from_scratch,
    "finetune": small.fine_tuning,
    "wsl": hashtags.wsl_pretraining,
    "wsl_one_machine": hashtags.wsl_on_one_machine,
    "wsl_finetune": hashtags.wsl_fine_tuning,
    "wsl_linear": hashtags.wsl_linear,
    "bit": hashtags.bit,
    "he_cifar": cifar.he_cifar,
    "fb_cifar10": cifar.fb_cifar10,
    "fb_cifar100": cifar.fb_cifar100,
    "akamaster_cifar": cifar.akamaster_cifar,
    "resnext_cifar10": cifar.resnext_cifar10,
    "resnext_cifar100": cifar.resnext_cifar100,
    "resnext_cifar_paper": cifar.resnext_cifar_paper,
    "fb_imagenet": imagenet.fb_imagenet,
    "resnext_imagenet": imagenet.resnext_imagenet,
    "resnext_imagenet_paper": imagenet.resnext_imagenet_paper,
    "senet": imagenet.senet,
    "senet_paper": imagenet.senet_paper,
    "resnest": imagenet.resnest,
    "resnest_pytorch": imagenet.resnest_pytorch,
    "rsb_a1": imagenet.rsb_a1,
    "rsb_a2": imagenet.rsb_a2,
    "rsb_a3": imagenet.rsb_a3,
    "torchvision_v1": imagenet.torchvision_v1,
    "torchvision_v2": imagenet.torchvision_v2,
}
"""By the name that ``--recipe`` takes."""


def find_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        UsageError: There is none; the nearest are named.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]
