"""CIFAR-10 and CIFAR-100: residual nets and ResNeXts."""

from __future__ import annotations

import dataclasses
from typing import Any

from tagwise.base.views import View
from tagwise.pixels.augment import Augment
from tagwise.training.plans import Plan
from tagwise.training.recipes.parts import at, planned, stepped

PADDED = Augment(smallest_area_fraction=1.0, aspect=1.0, pad=4)
"""He et al.'s crops of CIFAR, four pixels to each side, and flips."""

CIFAR_VIEW = View(resolution=32, resize=32)


def _cifar_view(mean: tuple[float, float, float], std: tuple[float, float, float]) -> View:
    """Of fb.resnet.torch's statistics, which are of values to 255."""
    (red, green, blue), (red_std, green_std, blue_std) = mean, std
    return dataclasses.replace(
        CIFAR_VIEW,
        mean=(red / 255, green / 255, blue / 255),
        std=(red_std / 255, green_std / 255, blue_std / 255),
    )


CIFAR10_VIEW = _cifar_view((125.3, 123.0, 113.9), (63.0, 62.1, 66.7))
CIFAR100_VIEW = _cifar_view((129.3, 124.1, 112.4), (68.2, 65.4, 70.4))


def he_cifar(pictures: int, **changes: Any) -> Plan:  # noqa: ARG001 - its length is told in steps
    """ResNets on CIFAR-10 as in He et al. 2016, section 4.2: 64,000 steps of 128 pictures.

    ResNet-20: 8.75 % error. They trained on 45,000 pictures and tested the net that was best on the other 5,000.
    110 layers begin with 0.01 until the training error is below 80 %, for about 400 steps. Where the zeros of
    their shortcuts stand is not said.
    """
    return planned(
        changes,
        **at(0.1, batch=128),
        **stepped(64_000, 32_000, 48_000, of=128),
        design="resnet20_cifar_end",
        view=CIFAR10_VIEW,
        nesterov=False,
        augment=PADDED,
    )


def fb_cifar10(pictures: int, **changes: Any) -> Plan:
    """ResNets on CIFAR-10 by fb.resnet.torch: 164 epochs, a tenth from the 81st and the 122nd.

    ``th main.lua -dataset cifar10 -nGPU 2 -batchSize 128 -depth 20``; its pages name no error.
    """
    return planned(
        changes,
        **at(0.1, batch=128),
        **stepped(164, 80, 121, of=pictures),
        design="resnet20_cifar_end",
        view=CIFAR10_VIEW,
        decay_on="all",
        augment=PADDED,
    )


def fb_cifar100(pictures: int, **changes: Any) -> Plan:
    """ResNets on CIFAR-100 by fb.resnet.torch: as on CIFAR-10, with its own mean and deviation."""
    return fb_cifar10(pictures, **{"view": CIFAR100_VIEW, **changes})


def akamaster_cifar(pictures: int, **changes: Any) -> Plan:
    """ResNets on CIFAR-10 by akamaster/pytorch_resnet_cifar10: 200 epochs, a tenth after 100 and 150.

    ``python trainer.py --arch=resnet20``; 8.27 % error, the best of all epochs' tests, by its README. Its lower rate
    at the start for 110 and 1202 layers never ended as it was meant to, and is left out. It pads with black, before it
    takes the mean away; here it is the mean colour.
    """
    return planned(
        changes,
        **at(0.1, batch=128),
        **stepped(200, 100, 150, of=pictures),
        design="resnet20_cifar",
        view=CIFAR_VIEW,
        decay_on="all",
        nesterov=False,
        augment=PADDED,
    )


def resnext_cifar10(pictures: int, **changes: Any) -> Plan:
    """ResNeXt-29 on CIFAR-10 by its authors' code: 300 epochs, a tenth from the 148th and the 223rd.

    ``th main.lua -dataset cifar10 -bottleneckType resnext_C -depth 29 -baseWidth 64 -cardinality 16 -weightDecay 5e-4
    -batchSize 128 -nGPU 8``: better than the paper's form, says the README, without a figure. Re-runs by others
    reach 18.3 to 18.5 % error on CIFAR-100.
    """
    return planned(
        changes,
        **at(0.1, batch=128),
        **stepped(300, 147, 222, of=pictures),
        design="resnext29_8x64d_cifar",
        view=CIFAR10_VIEW,
        weight_decay=5e-4,
        decay_on="all",
        augment=PADDED,
    )


def resnext_cifar100(pictures: int, **changes: Any) -> Plan:
    """ResNeXt-29 on CIFAR-100 by its authors' code: as on CIFAR-10, with its own mean and deviation."""
    return resnext_cifar10(pictures, **{"view": CIFAR100_VIEW, **changes})


def resnext_cifar_paper(pictures: int, **changes: Any) -> Plan:
    """ResNeXt-29 on CIFAR-10 as in Xie et al. 2017: pre-activation and a batch of 256, as the README says.

    Drops after 150 and 225 of 300 epochs and the decay are our reading of the paper, which was not at hand.
    """
    own = {**at(0.1, batch=256), **stepped(300, 150, 225, of=pictures), "design": "resnext29_8x64d_cifar_preact"}
    return resnext_cifar10(pictures, **{**own, **changes})
