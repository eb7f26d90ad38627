"""Trainings that say where things are: published ones on COCO, ADE20K, Cityscapes and Pascal Context, and our own.

Detectron2's ResNeSt settings are those of the fork's configs and of ``d2/README``; those of segmentation
are PyTorch-Encoding's. What stays otherwise: detectron2 lets biases decay, learns the boxes of proposals by L1, ours by
torchvision's smooth L1, and divides a RetinaNet's losses by a running mean of the anchors with an object, ours by those
of each picture; torchvision's second head on pixels learns at ten times the rate, ours at that of all the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tagwise.base.errors import UsageError
from tagwise.base.views import View
from tagwise.nets import Design
from tagwise.nets.designs import find_design
from tagwise.pixels.augment import Augment
from tagwise.training.heads import DETECTORS, SEGMENTERS, Detector, Segmenter, Sizing
from tagwise.training.plans import Plan
from tagwise.training.recipes.parts import at, planned, stepped

RESNEST_VIEW = View(
    resolution=224,
    resize=256,
    mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
    std=(58.393 / 255, 57.12 / 255, 57.375 / 255),
)
"""The normalisation of ResNeSt's detectors."""
_VIEW = View(resolution=224, resize=256)
_AS_THEY_ARE = Augment(smallest_area_fraction=1.0, flip=False)
"""What varies pictures is their sizing."""
_DETECTRON2: dict[str, Any] = {"aligned": True, "anchors_rounded": False, "box_loss": "l1"}
_ONE_OF = (640, 672, 704, 736, 768, 800)


def _located(changes: dict[str, Any], **settings: Any) -> Plan:
    return planned(changes, **{"task": "locate", "view": _VIEW, "augment": _AS_THEY_ARE, "nesterov": False, **settings})


def _warmed(changes: dict[str, Any], **settings: Any) -> Plan:
    """The rate rises from a thousandth of its peak (detectron2's ``WARMUP_FACTOR``; torchvision's references too)."""
    plan = _located(changes, **settings)
    return dataclasses.replace(plan, warmup_rate=changes.get("warmup_rate", plan.peak_rate / 1000))


def _resnest(changes: dict[str, Any], detector: Detector, sizing: Sizing, end: int, *drops: int) -> Plan:
    """16 pictures a step, rate 0.02, 1000 steps of warm-up from a thousandth of it; all norms are synchronised."""
    whole = dataclasses.replace(
        detector, **_DETECTRON2, norm="synchronised", box_convs=4, proposals=(2000 if detector.cascaded else 1000, 1000)
    )
    return _warmed(
        changes,
        design="resnest50",
        view=RESNEST_VIEW,
        detector=whole,
        sizing=sizing,
        norms="synchronised",
        precise_batches=200,
        **at(0.02, batch=16),
        **stepped(end, *drops, of=1000 * 16, rise=1),
    )


_DETECTION = Sizing(shorter=(640, 800), drawn="range")
_INSTANCES = Sizing(shorter=_ONE_OF)


def resnest_faster(_: int, **changes: Any) -> Plan:
    """ResNeSt's Faster R-CNN, 1x: 42.33 AP with ResNeSt-50 and 39.25 with ResNet-50 on COCO val2017."""
    return _resnest(changes, Detector(), _DETECTION, 90, 60, 80)


def resnest_cascade(_: int, **changes: Any) -> Plan:
    """ResNeSt's Cascade R-CNN on COCO, 90,000 steps of 16 pictures."""
    return _resnest(changes, _CASCADE, _DETECTION, 90, 60, 80)


def resnest_mask(_: int, **changes: Any) -> Plan:
    """ResNeSt's Mask R-CNN on COCO, 90,000 steps of 16 pictures."""
    return _resnest(changes, Detector(kind="mask"), _INSTANCES, 90, 60, 80)


def resnest_cascade_mask(_: int, **changes: Any) -> Plan:
    """ResNeSt's Cascade Mask R-CNN on COCO, 90,000 steps of 16 pictures."""
    return _resnest(changes, _CASCADE_MASK, _INSTANCES, 90, 60, 80)


def resnest_cascade_mask_tricks(_: int, **changes: Any) -> Plan:
    """ResNeSt-200's Cascade Mask R-CNN, 3x, with larger pictures, random crops and a deeper mask head."""
    detector = dataclasses.replace(_CASCADE_MASK, mask_convs=8)
    sizing = Sizing(shorter=(640, 864), drawn="range", longest=1440, crop_fraction=0.9)
    return _resnest({"design": "resnest200", **changes}, detector, sizing, 270, 240, 255)


_CASCADE = Detector(kind="cascade", class_agnostic=True)
_CASCADE_MASK = Detector(kind="cascade-mask", class_agnostic=True)


def _detectron2(changes: dict[str, Any], head: str, end: int, *drops: int) -> Plan:
    """Stem and first stage stay as they were pretrained, and so do the norms of the whole backbone.

    Boxes beside keypoints are learnt by smooth L1, all others by L1.
    """
    cascaded = head in ("cascade", "cascade-mask")
    detector = Detector(
        kind=head,  # type: ignore[arg-type]
        **_DETECTRON2 | ({"box_loss": "smooth_l1", "box_beta": 0.5} if head == "keypoint" else {}),
        top_from_stage=head == "retina",
        class_agnostic=cascaded,
        proposals=(2000 if cascaded else 1500 if head == "keypoint" else 1000, 1000),
    )
    return _warmed(
        changes,
        design="resnet50",
        detector=detector,
        sizing=Sizing(shorter=_ONE_OF),
        **({"norms": "frozen", "freeze": "stem+1"} if changes.get("start") else {}),
        **at(0.01 if head == "retina" else 0.02, batch=16),
        **stepped(end, *drops, of=1000 * 16, rise=1),
    )


def detectron2_1x(_: int, head: str = "faster", **changes: Any) -> Plan:
    """Detectron2's zoo: 90,000 steps of 16 pictures."""
    return _detectron2(changes, _detecting(head, "detectron2_1x"), 90, 60, 80)


def detectron2_3x(_: int, head: str = "faster", **changes: Any) -> Plan:
    """Detectron2's zoo: 270,000 steps of 16 pictures."""
    return _detectron2(changes, _detecting(head, "detectron2_3x"), 270, 210, 250)


_AS_RELEASED = {"retina": Detector(kind="retina", box_loss="l1", detections=300)}
"""Where torchvision's builders differ from one head to another."""


def torchvision_detection(pictures: int, head: str = "faster", **changes: Any) -> Plan:
    """Torchvision's references: 26 epochs, 46 for keypoints; the norms stay as they were pretrained."""
    head = _detecting(head, "torchvision_detection")
    end, *drops = (46, 36, 43) if head == "keypoint" else (26, 16, 22)
    return _warmed(
        changes,
        design="resnet50",
        detector=_AS_RELEASED.get(head) or Detector(kind=head),  # type: ignore[arg-type]
        sizing=Sizing(shorter=(800,)) if head != "keypoint" else Sizing(shorter=_ONE_OF),
        **({"norms": "frozen", "freeze": "stem+1"} if changes.get("start") else {}),
        **at(0.01 if head == "retina" else 0.02, batch=16),
        **stepped(end, *drops, of=pictures) | {"warmup_fraction": min(1000 * 16 / (end * pictures), 0.2)},
    )


def torchvision_segmentation(pictures: int, head: str = "fcn", **changes: Any) -> Plan:
    """Torchvision's references: 30 epochs, a rate that falls with the power 0.9, and a second head."""
    return _located(
        changes,
        design="resnet50",
        segmenter=Segmenter(kind=_segmenting(head, "torchvision_segmentation")),  # type: ignore[arg-type]
        sizing=Sizing(shorter=(260, 1040), drawn="range", longest=4096, crop=480, test_shorter=520, test_longest=4096),
        images=30 * pictures,
        decay="poly",
        warmup_fraction=0.0,
        **at(0.02, batch=32),
    )


def _encoding(changes: dict[str, Any], head: str, pictures: int, rate: float, epochs: int, **settings: Any) -> Plan:
    """Rates are told for 16 pictures; the head learns at ten times the backbone's; in use the longer side is 520."""
    segmenter = Segmenter(
        kind=head,  # type: ignore[arg-type]
        auxiliary=0.2,
        align_corners=True,
    )
    sizing = Sizing(jitter=(0.5, 2.0), base=520, crop=480, test_shorter=520, test_longest=520)
    return _located(
        changes,
        **{
            "design": "resnest50",
            "segmenter": segmenter,
            "sizing": sizing,
            "images": epochs * pictures,
            "decay": "poly",
            "warmup_fraction": 0.0,
            "head_rate": 10.0,
            "norms": "synchronised",
            **at(rate, batch=16),
            **settings,
        },
    )


def _encoding_recipe(
    name: str, words: str, rate: float, epochs: int, by_design: dict[str, int] | None = None
) -> Callable[..., Plan]:
    lengths = {find_design(design): longer for design, longer in (by_design or {}).items()}

    def recipe(pictures: int, head: str = "deeplabv3", **changes: Any) -> Plan:
        design = changes.get("design", "resnest50")
        length = lengths.get(find_design(design) if isinstance(design, str) else design, epochs)
        return _encoding(changes, _segmenting(head, name), pictures, rate, length)

    recipe.__doc__ = f"PyTorch-Encoding's training on {words}."
    return recipe


encoding_ade20k = _encoding_recipe(
    "encoding_ade20k",
    "ADE20K: 120 epochs, 180 for ResNeSt-101 and -200",
    0.01,
    120,
    {"resnest101": 180, "resnest200": 180},
)
encoding_cityscapes = _encoding_recipe("encoding_cityscapes", "Cityscapes: 240 epochs", 0.01, 240)
encoding_context = _encoding_recipe("encoding_context", "Pascal Context: 80 epochs", 0.001, 80)
encoding_coco = _encoding_recipe("encoding_coco", "COCO: 30 epochs", 0.004, 30)
encoding_voc_aug = _encoding_recipe("encoding_voc_aug", "VOC with added annotations: 80 epochs", 0.001, 80)
encoding_voc = _encoding_recipe("encoding_voc", "VOC: 50 epochs", 0.0001, 50)


SMALL_DETECTOR = Detector(
    channels=128,
    anchor_sizes=(8.0, 16.0, 32.0, 64.0, 128.0),
    anchors_sampled=128,
    candidates=(500, 250),
    proposals=(200, 200),
    regions_sampled=64,
    box_width=256,
)
"""What two cores can train in minutes; four times cheaper than torchvision's at 128 pixels."""


def small_detection(pictures: int, head: str = "faster", **changes: Any) -> Plan:
    """Our own for small sets on one machine: a narrow pyramid, few proposals, small pictures."""
    kind = _detecting(head, "small_detection")
    cascaded = kind in ("cascade", "cascade-mask")
    return _located(
        changes,
        design="resnet18",
        detector=dataclasses.replace(SMALL_DETECTOR, kind=kind, class_agnostic=cascaded),  # type: ignore[arg-type]
        sizing=Sizing(shorter=(128, 160), drawn="range", longest=320, test_shorter=160, test_longest=320),
        images=24 * pictures,
        batch=min(8, pictures),
        rate_per_256=0.02 * 256 / 8,
        clip_norm=10.0,
        model_of="best",
    )


SMALL_SEGMENTER = Design(
    block="basic",
    depths=(2, 2, 4),
    planes=(32, 64, 128),
    strides=(1, 2, 2),
    stem_widths=(32,),
    stem_kernel=3,
    stem_pool=None,
)
"""Three stages with maps of a half to an eighth of the side: small things stay apart, and two cores keep up."""


def small_segmentation(pictures: int, head: str = "fcn", **changes: Any) -> Plan:
    """Our own for small sets on one machine: a narrow net of three stages, a loss that counts overlap."""
    return _located(
        changes,
        design=SMALL_SEGMENTER,
        segmenter=Segmenter(
            kind=_segmenting(head, "small_segmentation"),  # type: ignore[arg-type]
            loss="dice",
            auxiliary=0.0,
            rates=(2, 4, 6),
        ),
        sizing=Sizing(shorter=(160, 256), drawn="range", longest=512, crop=160, test_shorter=192, test_longest=512),
        images=60 * pictures,
        batch=min(8, pictures),
        rate_per_256=0.05 * 256 / 8,
        decay="poly",
        model_of="best",
    )


def _detecting(head: str, recipe: str) -> str:
    if head not in DETECTORS:
        raise UsageError(f"The recipe {recipe} is for {', '.join(DETECTORS)}, not for {head}; give another --recipe.")
    return head


def _segmenting(head: str, recipe: str) -> str:
    if head not in SEGMENTERS:
        raise UsageError(f"The recipe {recipe} is for {', '.join(SEGMENTERS)}, not for {head}; give another --recipe.")
    return head
