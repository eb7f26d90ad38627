"""ImageNet: the papers' trainings of the whole family, and two later ones."""

from __future__ import annotations

import dataclasses
from typing import Any

from tagwise.base.views import View
from tagwise.pixels.augment import Augment
from tagwise.training.plans import Plan
from tagwise.training.recipes.parts import CROPS, IMAGENET_VIEW, at, begun, planned, stepped

COLOURS = dataclasses.replace(CROPS, jitter=0.4, lighting=0.1)
"""The same with fb.resnet.torch's colours."""

BICUBIC_VIEW = dataclasses.replace(IMAGENET_VIEW, interpolation="bicubic")


def fb_imagenet(pictures: int, **changes: Any) -> Plan:
    """ResNets on ImageNet by fb.resnet.torch: 90 epochs, a tenth after 30 and 60, all parameters decay.

    ``th main.lua -depth 50 -batchSize 256 -nGPU 4 -nThreads 8 -shareGradInput true``; ResNet-50: 24.01 % top-1
    error, ResNet-101: 22.44 % (README).
    """
    return planned(
        changes,
        **at(0.1, batch=256),
        **stepped(90, 30, 60, of=pictures),
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
    own = {**stepped(100, 30, 60, 90, of=pictures), "design": "resnext50_32x4d"}
    return fb_imagenet(pictures, **{**own, **changes})


def resnext_imagenet_paper(pictures: int, **changes: Any) -> Plan:
    """ResNeXts on ImageNet as in Xie et al. 2017: 90 epochs, as fb.resnet.torch (our reading; see the code's)."""
    return fb_imagenet(pictures, **{"design": "resnext50_32x4d", **changes})


def senet(pictures: int, **changes: Any) -> Plan:
    """SENets trained again by their authors: 0.1 at a batch of 256 "with more epochs" than the paper.

    On 8 Titan X; SE-ResNet-50: 22.37 % top-1 error, SE-ResNeXt-50: 20.97 % (README, which names crops, turns of 10
    degrees and a pixel jitter of 20). Epochs and drops, of which it says nothing, are those of ``senet_paper``; decay
    is our guess, Caffe's SGD knows no Nesterov, and the jitter is read as brightness. Turns and brightness are for
    packed pictures: crops come out of the middle square at 256 pixels, and ImageNet takes 252 GB of disk.
    """
    return planned(
        changes,
        **at(0.1, batch=256),
        **stepped(100, 30, 60, 90, of=pictures),
        design="se_resnet50",
        view=IMAGENET_VIEW,
        nesterov=False,
        augment=dataclasses.replace(CROPS, turn_degrees=10.0, light=20 / 255),
    )


def senet_paper(pictures: int, **changes: Any) -> Plan:
    """SENets as in Hu et al. 2018: 0.6 at a batch of 1024 on 4 servers (README of the authors).

    100 epochs, a tenth every 30, and crops with flips are our reading of the paper, which was not at hand.
    """
    return senet(pictures, **{**at(0.6, batch=1024), "feed": "files", "augment": CROPS, **changes})


def resnest(pictures: int, **changes: Any) -> Plan:
    """ResNeSts on ImageNet by their authors' Gluon script, which made the published weights.

    ``horovodrun -np 64 python train.py --model resnest50 --lr 0.05 --num-epochs 270 --batch-size 128 --warmup-epochs 5
    --last-gamma --no-wd --label-smoothing --mixup --auto_aug``; 81.04 % top-1 (README). 101 layers had a batch of
    4096 at 256 pixels, 200 and 269 of 2048 at 320 and 416; their crops are of other kinds than ours, and bicubic from
    320 on. DropBlock rises with the steps, there with the epochs.
    """
    plan = planned(
        changes,
        **at(3.2, batch=8192),
        design="resnest50",
        feed="files",
        view=IMAGENET_VIEW,
        images=270 * pictures,
        warmup_fraction=5 / 270,
        mixup=0.2,
        label_smoothing=0.1,
        augment=dataclasses.replace(COLOURS, policy="autoaugment"),
    )
    return begun(plan, drop_block=0.1, zero_init_last=True)


def resnest_pytorch(pictures: int, **changes: Any) -> Plan:
    """ResNeSts on ImageNet by their authors' PyTorch script: 0.025 for each GPU with 64 pictures, here for 8 of them.

    ``python train.py --config-file configs/resnest50.yaml``; "slightly worse than Gluon", without a figure. SGD
    without Nesterov, RandAugment (2, 12), bilinear, no DropBlock; its ``last_gamma`` does nothing, and its decay
    spares norms by names, six of them not: here all are spared. 200 and 269 layers had 32 pictures and 0.0125. Its
    RandAugment comes before the crop, each operation in half of the cases, with inversion and boxes cut out too.
    """
    return planned(
        changes,
        **at(0.2, batch=512),
        design="resnest50",
        feed="files",
        view=IMAGENET_VIEW,
        images=270 * pictures,
        warmup_fraction=5 / 270,
        nesterov=False,
        mixup=0.2,
        label_smoothing=0.1,
        augment=dataclasses.replace(COLOURS, policy="randaugment", policy_probability=0.5, policy_magnitude=12),
    )


def rsb_a1(pictures: int, **changes: Any) -> Plan:
    """ResNet strikes back, A1 (Wightman et al. 2021): 600 epochs of LAMB, binary cross-entropy, much variation.

    ResNet-50: 80.38 % top-1 at 224 pixels as timm measures it. Settings as in mmpretrain's
    ``resnet50_8xb256-rsb-a1-600e_in1k.py``, but that norms see their own process; three repeats are our reading.
    LAMB and its clipping are timm's. RandAugment is as often and as strong as timm's ``rand-m7-mstd0.5-inc1``, of
    torchvision's operations: nothing where timm inverts or lightens what is dark, 5 bits where its posterising leaves
    2, bilinear, and black where pictures are moved away. Mixed classes are held by their shares, in the paper wholly.
    """
    return begun(_rsb(pictures, 600, changes, repeats=3, label_smoothing=0.1), stochastic_depth=0.05)


def rsb_a2(pictures: int, **changes: Any) -> Plan:
    """ResNet strikes back, A2: 300 epochs; ResNet-50: 79.83 % top-1 at 224 pixels as timm measures it.

    As A1 with a decay of 0.02, mixup 0.1 and hard labels.
    """
    plan = _rsb(pictures, 300, changes, repeats=3, weight_decay=0.02, mixup=0.1)
    return begun(plan, stochastic_depth=0.05)


def rsb_a3(pictures: int, **changes: Any) -> Plan:
    """ResNet strikes back, A3: 100 epochs at 160 pixels; ResNet-50: 78.05 % top-1 at 224, 75.99 % at 160 (timm's).

    As A2 with a rate of 0.008, without repeats and dropped branches; RandAugment's 6 of 10 is our reading. Judged and
    used at 224 pixels.
    """
    own: dict[str, Any] = {
        **at(0.008, batch=2048),
        "final_fraction": 1e-6 / 0.008,
        "view": View(resolution=160, resize=168, interpolation="bicubic"),
        "judged_at": (224, 236),
        "augment": _rand_augment(6),
    }
    return _rsb(pictures, 100, {**own, **changes}, weight_decay=0.02, mixup=0.1)


def _rsb(pictures: int, epochs: int, changes: dict[str, Any], **settings: Any) -> Plan:
    """What the three have in common."""
    own: dict[str, Any] = {
        **at(0.005, batch=2048),
        "optimiser": "lamb",
        "design": "resnet50",
        "feed": "files",
        "view": View(resolution=224, resize=236, interpolation="bicubic"),
        "images": epochs * pictures,
        "warmup_fraction": 5 / epochs,
        "final_fraction": 1e-6 / 0.005,
        "weight_decay": 0.01,
        "clip_norm": 1.0,
        "loss": "sigmoid",
        "mixup": 0.2,
        "cutmix": 1.0,
        "augment": _rand_augment(7),
    }
    return begun(planned(changes, **{**own, **settings}), zero_init_last=True)


def _rand_augment(magnitude: int) -> Augment:
    """As timm's ``rand-m7-mstd0.5``, which leaves each operation out in half of the cases.

    Its scale ends at 10, ours at 30.
    """
    return dataclasses.replace(
        CROPS, policy="randaugment", policy_probability=0.5, policy_magnitude=3 * magnitude, policy_std=1.5
    )


def torchvision_v1(pictures: int, **changes: Any) -> Plan:
    """The first weights of torchvision: 90 epochs on 8 GPUs of 32 pictures, a tenth after 30 and 60.

    ``torchrun --nproc_per_node=8 train.py --model resnet50``; ResNet-50: 76.13 % top-1. ResNeXts had 100 epochs,
    101 32x8d 64 GPUs (README).
    """
    return planned(
        changes,
        **at(0.1, batch=256),
        **stepped(90, 30, 60, of=pictures),
        design="resnet50",
        feed="files",
        view=IMAGENET_VIEW,
        decay_on="all",
        nesterov=False,
        augment=CROPS,
    )


def torchvision_v2(pictures: int, **changes: Any) -> Plan:
    """The second weights of torchvision: 600 epochs at 176 pixels, judged at 224; ResNet-50: 80.86 % top-1.

    ``torchrun --nproc_per_node=8 train.py --model resnet50 --batch-size 128 --lr 0.5 --lr-scheduler cosineannealinglr
    --lr-warmup-epochs 5 --lr-warmup-method linear --auto-augment ta_wide --epochs 600 --random-erase 0.1
    --weight-decay 2e-5 --norm-weight-decay 0.0 --label-smoothing 0.1 --mixup-alpha 0.2 --cutmix-alpha 1.0
    --train-crop-size 176 --model-ema --val-resize-size 232 --ra-sampler --ra-reps 4``. There the classifier's bias
    decays too; the running mean is taken every 32 steps, here at each with the same memory: 50,000 pictures for each
    epoch of the training, 23 epochs of ImageNet in 600.
    """
    plan = planned(
        changes,
        **at(0.5, batch=1024),
        design="resnet50",
        feed="files",
        view=View(resolution=176, resize=182),
        judged_at=(224, 232),
        images=600 * pictures,
        warmup_fraction=5 / 600,
        warmup_rate=0.005,
        nesterov=False,
        weight_decay=2e-5,
        label_smoothing=0.1,
        mixup=0.2,
        cutmix=1.0,
        repeats=4,
        augment=dataclasses.replace(CROPS, policy="trivialaugment", erase=0.1),
    )
    forgotten = 2e-5 * plan.batch * pictures / plan.images  # by its epochs, as --model-ema-decay is adjusted there
    return plan if "ema" in changes or forgotten >= 1 else dataclasses.replace(plan, ema=1 - forgotten)
