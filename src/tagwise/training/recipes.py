"""Recipes: functions of an epoch's pictures that return plans, after published trainings or of our own.

So published epochs become pictures seen. A rate stands with the batch that it was published for; at another
batch it scales linearly. ``changes`` are settings of the plan and win over the recipe's own, a batch included;
what a published command leaves open is said. Nothing here is a function of validation scores: the plateaus of
He et al. 2016 on ImageNet are the steps of ``fb_imagenet``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tagwise.base.errors import unknown
from tagwise.base.views import View
from tagwise.nets.designs import find_design
from tagwise.pixels.augment import Augment
from tagwise.training.plans import REFERENCE_BATCH, Plan

GENTLE = Augment(smallest_area_fraction=0.6, aspect=1.15)
"""Crops for small pictures, which lose too much by the crops of large ones."""

VIVID = Augment(smallest_area_fraction=0.35, light=0.4)
"""Strong crops and light: photos of other places and hours (``bench/photo_search.py``)."""

CROPS = Augment(smallest_area_fraction=0.08)
"""Szegedy et al.'s crops of 8 % to all of the picture, and flips."""

COLOURS = dataclasses.replace(CROPS, jitter=0.4, lighting=0.1)
"""The same with fb.resnet.torch's colours."""

PADDED = Augment(smallest_area_fraction=1.0, aspect=1.0, pad=4)
"""He et al.'s crops of CIFAR, four pixels to each side, and flips."""

SMALL_VIEW = View(resolution=48, resize=54)
IMAGENET_VIEW = View(resolution=224, resize=256)
BICUBIC_VIEW = dataclasses.replace(IMAGENET_VIEW, interpolation="bicubic")
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


def small_pretraining(pictures: int, **changes: Any) -> Plan:
    """Small pictures and nets on one machine: what the quickstart uses.

    Cosine to zero, a high rate with a strong decay, gentle crops: our own choice, by trials on
    validation pictures of the drawn target (``docs/decisions.md``).
    """
    return _plan(
        changes,
        task="pretrain",
        design="resnext20_8x4d_small",
        view=SMALL_VIEW,
        images=30 * pictures,
        batch=64,
        rate_per_256=1.2,
        weight_decay=1e-3,
        augment=GENTLE,
    )


def fine_tuning(pictures: int, **changes: Any) -> Plan:
    """A pretrained net on a small target: a tenth of pretraining's rate, all parameters move."""
    return _plan(
        changes,
        design="resnext20_8x4d_small",
        view=SMALL_VIEW,
        images=40 * pictures,
        batch=min(32, pictures),
        rate_per_256=0.1,
        weight_decay=5e-4,
        augment=GENTLE,
    )


def from_scratch(pictures: int, **changes: Any) -> Plan:
    """A net without pretraining on a small target: a high rate and strong decay."""
    return fine_tuning(pictures, **{"rate_per_256": 0.5, "weight_decay": 5e-3, **changes})


def wsl_pretraining(pictures: int, **changes: Any) -> Plan:
    """Large nets on hashtags, as Mahajan et al. 2018 trained ResNeXt-101 32x16d on 3.5 billion pictures.

    On 336 GPUs in about 22 days; fine-tuned on ImageNet, 84.2 % top-1 from 940 million pictures (WSL-Images'
    README). Their code was not published. Our reading where the text is open or was not at hand: a length between
    100 epochs of 1.2 million pictures and 2 of 3.5 billion, warm-up from 0.1 over a fiftieth of it, ten halvings,
    decay 1e-4 on weights alone, Nesterov, crops of 8 % and more.
    """
    return _plan(
        changes,
        **_at(3.15, batch=8064),
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
    500,000, else 20,000; no decay. Theirs are nets with group norms and crops of one size, 480 of 512 pixels (128
    of 160 for pictures of less than 96 x 96); ours are by area. On one machine theirs is 0.001 at a batch of 128.
    """
    rise, *falls, steps = (
        (100, 200, 300, 400, 500)
        if pictures < 20_000
        else (500, 3_000, 6_000, 9_000, 10_000)
        if pictures < 500_000
        else (500, 6_000, 12_000, 18_000, 20_000)
    )
    return _plan(
        changes,
        **_at(0.003, batch=512),
        **_steps(steps, *falls, of=512, rise=rise),
        design="resnet50",
        view=View(resolution=480, resize=512),
        nesterov=False,
        weight_decay=0.0,
        mixup=0.0 if pictures < 20_000 else 0.1,
        augment=Augment(smallest_area_fraction=0.88, aspect=1.0),
    )


def he_cifar(pictures: int, **changes: Any) -> Plan:  # noqa: ARG001 - its length is told in steps
    """ResNets on CIFAR-10 as in He et al. 2016, section 4.2: 64,000 steps of 128 pictures.

    ResNet-20: 8.75 % error. They trained on 45,000 pictures and tested the net that was best on the other 5,000.
    110 layers begin with 0.01 until the training error is below 80 %, for about 400 steps. Where the zeros of
    their shortcuts stand is not said.
    """
    return _plan(
        changes,
        **_at(0.1, batch=128),
        **_steps(64_000, 32_000, 48_000, of=128),
        design="resnet20_cifar_end",
        view=CIFAR10_VIEW,
        nesterov=False,
        augment=PADDED,
    )


def fb_cifar10(pictures: int, **changes: Any) -> Plan:
    """ResNets on CIFAR-10 by fb.resnet.torch: 164 epochs, a tenth from the 81st and the 122nd.

    ``th main.lua -dataset cifar10 -nGPU 2 -batchSize 128 -depth 20``; its pages name no error.
    """
    return _plan(
        changes,
        **_at(0.1, batch=128),
        **_steps(164, 80, 121, of=pictures),
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
    at the start for 110 and 1202 layers never ended as it was meant to, and is left out.
    """
    return _plan(
        changes,
        **_at(0.1, batch=128),
        **_steps(200, 100, 150, of=pictures),
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
    return _plan(
        changes,
        **_at(0.1, batch=128),
        **_steps(300, 147, 222, of=pictures),
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
    own = {**_at(0.1, batch=256), **_steps(300, 150, 225, of=pictures), "design": "resnext29_8x64d_cifar_preact"}
    return resnext_cifar10(pictures, **{**own, **changes})


def fb_imagenet(pictures: int, **changes: Any) -> Plan:
    """ResNets on ImageNet by fb.resnet.torch: 90 epochs, a tenth after 30 and 60, all parameters decay.

    ``th main.lua -depth 50 -batchSize 256 -nGPU 4 -nThreads 8 -shareGradInput true``; ResNet-50: 24.01 % top-1
    error, ResNet-101: 22.44 % (README).
    """
    return _plan(
        changes,
        **_at(0.1, batch=256),
        **_steps(90, 30, 60, of=pictures),
        design="resnet50",
        feed="files",
        view=BICUBIC_VIEW,
        decay_on="all",
        augment=COLOURS,
    )


def resnext_imagenet(pictures: int, **changes: Any) -> Plan:
    """ResNeXts on ImageNet by their authors' code, whose default is 100 epochs: a tenth after 30, 60 and 90.

    ``th main.lua -dataset imagenet -bottleneckType resnext_C -depth 50 -baseWidth 4 -cardinality 32 -batchSize 256
    -nGPU 8``; 50 32x4d: 22.2 % top-1 error, 101 64x4d: 20.4 % (README). A comment in the code says 90 epochs.
    """
    own = {**_steps(100, 30, 60, 90, of=pictures), "design": "resnext50_32x4d"}
    return fb_imagenet(pictures, **{**own, **changes})


def resnext_imagenet_paper(pictures: int, **changes: Any) -> Plan:
    """ResNeXts on ImageNet as in Xie et al. 2017: 90 epochs, as fb.resnet.torch (our reading; see the code's)."""
    return fb_imagenet(pictures, **{"design": "resnext50_32x4d", **changes})


def senet(pictures: int, **changes: Any) -> Plan:
    """SENets trained again by their authors: 0.1 at a batch of 256 "with more epochs" than the paper.

    On 8 Titan X; SE-ResNet-50: 22.37 % top-1 error, SE-ResNeXt-50: 20.97 % (README, which names crops, turns of 10
    degrees and a pixel jitter of 20). Epochs and drops, of which it says nothing, are those of ``senet_paper``; decay
    is our guess, Caffe's SGD knows no Nesterov, and the jitter is read as brightness.
    """
    return _plan(
        changes,
        **_at(0.1, batch=256),
        **_steps(100, 30, 60, 90, of=pictures),
        design="se_resnet50",
        view=IMAGENET_VIEW,
        nesterov=False,
        augment=dataclasses.replace(CROPS, turn_degrees=10.0, light=20 / 255),
    )


def senet_paper(pictures: int, **changes: Any) -> Plan:
    """SENets as in Hu et al. 2018: 0.6 at a batch of 1024 on 4 servers (README of the authors).

    100 epochs, a tenth every 30, and crops with flips are our reading of the paper, which was not at hand.
    """
    return senet(pictures, **{**_at(0.6, batch=1024), "augment": CROPS, **changes})


def resnest(pictures: int, **changes: Any) -> Plan:
    """ResNeSts on ImageNet by their authors' Gluon script, which made the published weights.

    ``horovodrun -np 64 python train.py --model resnest50 --lr 0.05 --num-epochs 270 --batch-size 128 --warmup-epochs 5
    --last-gamma --no-wd --label-smoothing --mixup --auto_aug``; 81.04 % top-1 (README). 101 layers had a batch of
    4096 at 256 pixels, 200 and 269 of 2048 at 320 and 416; their crops are of other kinds than ours. DropBlock rises
    with the steps, there with the epochs.
    """
    plan = _plan(
        changes,
        **_at(3.2, batch=8192),
        design="resnest50",
        feed="files",
        view=BICUBIC_VIEW,
        images=270 * pictures,
        warmup_fraction=5 / 270,
        mixup=0.2,
        label_smoothing=0.1,
        augment=dataclasses.replace(COLOURS, policy="autoaugment"),
    )
    return _begun(plan, drop_block=0.1, zero_init_last=True)


def resnest_pytorch(pictures: int, **changes: Any) -> Plan:
    """ResNeSts on ImageNet by their authors' PyTorch script: 0.025 for each GPU with 64 pictures, here for 8 of them.

    ``python train.py --config-file configs/resnest50.yaml``; "slightly worse than Gluon", without a figure. SGD
    without Nesterov, RandAugment (2, 12), bilinear, no DropBlock; its ``last_gamma`` does nothing, and its decay
    spares norms by names, six of them not: here all are spared. 200 and 269 layers had 32 pictures and 0.0125.
    """
    return _plan(
        changes,
        **_at(0.2, batch=512),
        design="resnest50",
        feed="files",
        view=IMAGENET_VIEW,
        images=270 * pictures,
        warmup_fraction=5 / 270,
        nesterov=False,
        mixup=0.2,
        label_smoothing=0.1,
        augment=dataclasses.replace(COLOURS, policy="randaugment", policy_ops=2, policy_magnitude=12),
    )


def rsb_a1(pictures: int, **changes: Any) -> Plan:
    """ResNet strikes back, A1 (Wightman et al. 2021): 600 epochs of LAMB, binary cross-entropy, much variation.

    ResNet-50: 80.38 % top-1 at 224 pixels as timm measures it. Settings as in mmpretrain's
    ``resnet50_8xb256-rsb-a1-600e_in1k.py``, but that norms see their own process; three repeats are our reading.
    """
    return _begun(_rsb(pictures, 600, changes, repeats=3, label_smoothing=0.1), stochastic_depth=0.05)


def rsb_a2(pictures: int, **changes: Any) -> Plan:
    """ResNet strikes back, A2: 300 epochs; ResNet-50: 79.83 % top-1 at 224 pixels as timm measures it.

    As A1 with a decay of 0.02, mixup 0.1 and hard labels.
    """
    plan = _rsb(pictures, 300, changes, repeats=3, weight_decay=0.02, mixup=0.1)
    return _begun(plan, stochastic_depth=0.05)


def rsb_a3(pictures: int, **changes: Any) -> Plan:
    """ResNet strikes back, A3: 100 epochs at 160 pixels; ResNet-50: 78.05 % top-1 at 224, 75.99 % at 160 (timm's).

    As A2 with a rate of 0.008, without repeats and dropped branches; RandAugment's 6 of 10 is our reading.
    """
    own: dict[str, Any] = {
        **_at(0.008, batch=2048),
        "final_fraction": 1e-6 / 0.008,
        "view": View(resolution=160, resize=168, interpolation="bicubic"),
        "augment": _rand_augment(6),
    }
    return _rsb(pictures, 100, {**own, **changes}, weight_decay=0.02, mixup=0.1)


def _rsb(pictures: int, epochs: int, changes: dict[str, Any], **settings: Any) -> Plan:
    """What the three have in common."""
    own: dict[str, Any] = {
        **_at(0.005, batch=2048),
        "optimiser": "lamb",
        "design": "resnet50",
        "feed": "files",
        "view": View(resolution=224, resize=236, interpolation="bicubic"),
        "images": epochs * pictures,
        "warmup_fraction": 5 / epochs,
        "final_fraction": 1e-6 / 0.005,
        "weight_decay": 0.01,
        "loss": "sigmoid",
        "mixup": 0.2,
        "cutmix": 1.0,
        "augment": _rand_augment(7),
    }
    return _begun(_plan(changes, **{**own, **settings}), zero_init_last=True)


def _rand_augment(magnitude: int) -> Augment:
    """As timm's ``rand-m7-mstd0.5``: its scale ends at 10, ours at 30."""
    return dataclasses.replace(CROPS, policy="randaugment", policy_magnitude=3 * magnitude, policy_std=1.5)


def torchvision_v1(pictures: int, **changes: Any) -> Plan:
    """The first weights of torchvision: 90 epochs on 8 GPUs of 32 pictures, a tenth after 30 and 60.

    ``torchrun --nproc_per_node=8 train.py --model resnet50``; ResNet-50: 76.13 % top-1. ResNeXts had 100 epochs,
    101 32x8d 64 GPUs (README).
    """
    return _plan(
        changes,
        **_at(0.1, batch=256),
        **_steps(90, 30, 60, of=pictures),
        design="resnet50",
        feed="files",
        view=IMAGENET_VIEW,
        decay_on="all",
        nesterov=False,
        augment=CROPS,
    )


def torchvision_v2(pictures: int, **changes: Any) -> Plan:
    """The second weights of torchvision: 600 epochs at 176 pixels, shown at 224; ResNet-50: 80.86 % top-1.

    ``torchrun --nproc_per_node=8 train.py --model resnet50 --batch-size 128 --lr 0.5 --lr-scheduler cosineannealinglr
    --lr-warmup-epochs 5 --lr-warmup-method linear --auto-augment ta_wide --epochs 600 --random-erase 0.1
    --weight-decay 2e-5 --norm-weight-decay 0.0 --label-smoothing 0.1 --mixup-alpha 0.2 --cutmix-alpha 1.0
    --train-crop-size 176 --model-ema --val-resize-size 232 --ra-sampler --ra-reps 4``. There the classifier's bias
    decays too; the running mean is taken every 32 steps, here at each with the same memory, 23 epochs of ImageNet.
    """
    return _plan(
        changes,
        **_at(0.5, batch=1024),
        design="resnet50",
        feed="files",
        view=View(resolution=176, resize=182),
        images=600 * pictures,
        warmup_fraction=5 / 600,
        warmup_rate=0.005,
        nesterov=False,
        weight_decay=2e-5,
        ema=1 - 2e-5 * 1024 / 600,
        label_smoothing=0.1,
        mixup=0.2,
        cutmix=1.0,
        repeats=4,
        augment=dataclasses.replace(CROPS, policy="trivialaugment", erase=0.1),
    )


Recipe = Callable[..., Plan]

RECIPES: dict[str, Recipe] = {
    "small": small_pretraining,
    "scratch": from_scratch,
    "finetune": fine_tuning,
    "wsl": wsl_pretraining,
    "wsl_one_machine": wsl_on_one_machine,
    "wsl_finetune": wsl_fine_tuning,
    "wsl_linear": wsl_linear,
    "bit": bit,
    "he_cifar": he_cifar,
    "fb_cifar10": fb_cifar10,
    "fb_cifar100": fb_cifar100,
    "akamaster_cifar": akamaster_cifar,
    "resnext_cifar10": resnext_cifar10,
    "resnext_cifar100": resnext_cifar100,
    "resnext_cifar_paper": resnext_cifar_paper,
    "fb_imagenet": fb_imagenet,
    "resnext_imagenet": resnext_imagenet,
    "resnext_imagenet_paper": resnext_imagenet_paper,
    "senet": senet,
    "senet_paper": senet_paper,
    "resnest": resnest,
    "resnest_pytorch": resnest_pytorch,
    "rsb_a1": rsb_a1,
    "rsb_a2": rsb_a2,
    "rsb_a3": rsb_a3,
    "torchvision_v1": torchvision_v1,
    "torchvision_v2": torchvision_v2,
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


def _plan(changes: dict[str, Any], **settings: Any) -> Plan:
    """The plan of these settings, changed; a design may be told by its name."""
    settings = {"task": "train", **settings, **changes}
    if isinstance(settings["design"], str):
        settings["design"] = find_design(settings["design"])
    return Plan(**settings)


def _at(rate: float, *, batch: int) -> dict[str, Any]:
    """A published rate at its batch."""
    return {"rate_per_256": rate * REFERENCE_BATCH / batch, "batch": batch}


def _steps(end: int, *drops: int, of: int, rise: int = 0) -> dict[str, Any]:
    """A tenth of the rate after each of the drops, in units of so many pictures as are told."""
    milestones = tuple(drop / end for drop in drops)
    return {"images": end * of, "decay": "steps", "milestones": milestones, "warmup_fraction": rise / end}


def _begun(plan: Plan, **settings: Any) -> Plan:
    """The plan with these of its design, if the net is new; a given one stays as it was designed."""
    return plan if plan.start else dataclasses.replace(plan, design=dataclasses.replace(plan.design, **settings))
