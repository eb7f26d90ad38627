"""Recipes: functions of an epoch's pictures that return plans, after published trainings or of our own.

So published epochs become pictures seen. A rate stands with the batch that it was published for; at another
batch it scales linearly. ``changes`` are settings of the plan and win over the recipe's own, a batch included;
what a published command leaves open is said. Nothing here is a function of validation scores: the plateaus of
He et al. 2016 on ImageNet are the steps of ``fb_imagenet``.
"""

from __future__ import annotations

from collections.abc import Callable

from tagwise.base.errors import UsageError, unknown
from tagwise.training.plans import Plan
from tagwise.training.recipes import cifar, hashtags, imagenet, localisation, small

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


LOCATING: dict[str, Recipe] = {
    "small_detection": localisation.small_detection,
    "small_segmentation": localisation.small_segmentation,
    "resnest_faster": localisation.resnest_faster,
    "resnest_cascade": localisation.resnest_cascade,
    "resnest_mask": localisation.resnest_mask,
    "resnest_cascade_mask": localisation.resnest_cascade_mask,
    "resnest_cascade_mask_tricks": localisation.resnest_cascade_mask_tricks,
    "detectron2_1x": localisation.detectron2_1x,
    "detectron2_3x": localisation.detectron2_3x,
    "torchvision_detection": localisation.torchvision_detection,
    "torchvision_segmentation": localisation.torchvision_segmentation,
    "encoding_ade20k": localisation.encoding_ade20k,
    "encoding_cityscapes": localisation.encoding_cityscapes,
    "encoding_context": localisation.encoding_context,
    "encoding_coco": localisation.encoding_coco,
    "encoding_voc_aug": localisation.encoding_voc_aug,
    "encoding_voc": localisation.encoding_voc,
}
"""Those of what tells boxes, masks, keypoints and pixels; they take ``head`` too, where more than one was published."""


def find_recipe(name: str, *, locating: bool = False) -> Recipe:
    """The recipe of a name.

    Args:
        name: As ``--recipe`` takes it.
        locating: For what tells where things are, instead of labels of whole pictures.

    Raises:
        UsageError: There is none; the nearest are named.
    """
    here, other = (LOCATING, RECIPES) if locating else (RECIPES, LOCATING)
    if name in other:
        of, remedy = (
            ("labels of whole pictures", "leave --head away") if locating else ("boxes, masks or pixels", "give --head")
        )
        raise UsageError(f"The recipe {name} is for {of}; {remedy}, or give another --recipe.")
    if name not in here:
        raise unknown("recipe", name, here)
    return here[name]
