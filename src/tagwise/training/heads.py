"""What stands on a backbone to say where things are, and how large pictures are shown to it: parts of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tagwise.base.errors import UsageError

DetectorKind = Literal["faster", "cascade", "retina", "mask", "cascade-mask", "keypoint"]
SegmenterKind = Literal["fcn", "deeplabv3"]
DETECTORS: tuple[DetectorKind, ...] = get_args(DetectorKind)
SEGMENTERS: tuple[SegmenterKind, ...] = get_args(SegmenterKind)
HEADS = (*DETECTORS, *SEGMENTERS)

HeadNorm = Literal["none", "batch", "synchronised", "group", "frozen"]
BoxLoss = Literal["smooth_l1", "l1", "giou", "ciou"]
PixelLoss = Literal["softmax", "balanced", "dice"]
SMOOTH_L1_BETA = 1 / 9
"""Torchvision's, from Detectron."""


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Pyramid, proposals and heads of a detector; the defaults are torchvision's."""

    kind: DetectorKind = "faster"
    channels: int = 256
    """Of the pyramid's maps (FPN)."""
    norm: HeadNorm = "none"
    """After the convolutions of pyramid, box head and mask head; in a RetinaNet of its heads alone."""
    anchor_sizes: tuple[float, ...] = (32.0, 64.0, 128.0, 256.0, 512.0)
    """Side of the square anchors in pixels of the shown picture, one a level; three to each octave in a RetinaNet."""
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Height to width."""
    anchors_rounded: bool = True
    """Their sides are whole pixels, as torchvision's are and detectron2's are not."""
    top_from_stage: bool = False
    """A RetinaNet's two coarsest levels come from the last stage (detectron2, torchvision's v2), else the pyramid."""
    rpn_convs: int = 1
    """Convolutions of 3x3 before proposals are told."""
    anchors_sampled: int = 256
    """Anchors of a picture that the proposals' loss looks at."""
    candidates: tuple[int, int] = (2000, 1000)
    """Of a picture's proposals on each level, before overlapping ones are left away, in training and in use."""
    proposals: tuple[int, int] = (2000, 1000)
    """Of a picture that are left, in training and in use."""
    regions_sampled: int = 512
    """Proposals of a picture that the heads' loss looks at."""
    box_convs: int = 0
    """0: two fully connected layers (2fc); 4: four convolutions and one fully connected layer (4conv1fc)."""
    box_width: int = 1024
    """Of the fully connected layers."""
    box_loss: BoxLoss = "smooth_l1"
    box_beta: float = SMOOTH_L1_BETA
    """Where smooth L1 turns from a parabola into a line."""
    class_agnostic: bool = False
    """One box for all classes instead of one a class."""
    aligned: bool = False
    """Regions are pooled half a pixel to the upper left, as detectron2's ROIAlignV2 does."""
    mask_convs: int = 4
    """Of the mask head."""
    score_threshold: float = 0.05
    """Of what is told as a detection."""
    overlap: float = 0.5
    """IoU above which the lower of two detections of a class is left away."""
    detections: int = 100
    """Told of a picture at most."""

    def __post_init__(self) -> None:
        sides = (*self.candidates, *self.proposals)
        counts = ("channels", "rpn_convs", "anchors_sampled", "regions_sampled", "box_width", "detections")
        _refuse(
            "A detector cannot be so",
            *((f"{name} is 1 or more, not {getattr(self, name)}", getattr(self, name) < 1) for name in counts),
            *(
                (f"{name} is 0 or more, not {getattr(self, name)}", getattr(self, name) < 0)
                for name in ("box_convs", "mask_convs")
            ),
            (f"candidates and proposals are 1 or more, not {sides}", min(sides) < 1),
            (f"box_beta is 0 or more, not {self.box_beta}", not 0 <= self.box_beta < float("inf")),
            (f"score_threshold is 0 to 1, not {self.score_threshold}", not 0 <= self.score_threshold <= 1),
            (f"overlap is 0 to 1, not {self.overlap}", not 0 <= self.overlap <= 1),
        )

    @property
    def has_masks(self) -> bool:
        """Whether it tells masks."""
        return self.kind in ("mask", "cascade-mask")

    @property
    def cascaded(self) -> bool:
        """Whether boxes are refined in three stages."""
        return self.kind in ("cascade", "cascade-mask")


@dataclass(frozen=True, kw_only=True)
class Segmenter:
    """What gives each pixel a class; the defaults are torchvision's."""

    kind: SegmenterKind = "fcn"
    output_stride: Literal[8, 16, 32] = 8
    """Picture pixels to a pixel of the last maps; the last stages are dilated for it."""
    channels: int | None = None
    """Of the head; None: a quarter of the last maps' (FCN), 256 (DeepLabV3)."""
    rates: tuple[int, ...] = (12, 24, 36)
    """Of DeepLabV3's dilated convolutions."""
    dropout: float = 0.1
    """Before the FCN's last convolution."""
    pyramid_dropout: float = 0.5
    """Behind DeepLabV3's pyramid."""
    auxiliary: float = 0.5
    """Weight of the loss of a second head on the stage before the last; 0: there is none."""
    align_corners: bool = False
    """Of the bilinear enlargement."""
    loss: PixelLoss = "softmax"
    """``balanced``: pixels of a class weigh by one over its share; ``dice``: one less the mean overlap is added."""

    def __post_init__(self) -> None:
        _refuse(
            "A segmenter cannot be so",
            (f"channels is 1 or more, not {self.channels}", self.channels is not None and self.channels < 1),
            (f"rates are 1 or more, not {self.rates}", not self.rates or min(self.rates) < 1),
            (f"dropout is 0 or more and below 1, not {self.dropout}", not 0 <= self.dropout < 1),
            (
                f"pyramid_dropout is 0 or more and below 1, not {self.pyramid_dropout}",
                not 0 <= self.pyramid_dropout < 1,
            ),
            (f"auxiliary is 0 or more, not {self.auxiliary}", not 0 <= self.auxiliary < float("inf")),
        )


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """How large pictures are shown, and what is varied of them in training; they keep their proportions."""

    shorter: tuple[int, ...] = (800,)
    """What their shorter side becomes, in pixels."""
    drawn: Literal["one", "range"] = "one"
    """``one`` of these, or of the whole ``range`` between the first and the last."""
    longest: int = 1333
    """Pixels of the longer side at most."""
    jitter: tuple[float, float] | None = None
    """Instead of ``shorter``: the longer side becomes ``base`` times a factor between the two."""
    base: int = 520
    """Pixels that ``jitter`` multiplies."""
    crop: int | None = None
    """Side of a square that is cut out at random, after smaller pictures were filled up."""
    crop_fraction: float = 1.0
    """Each side is cut to a share between this and 1, at random."""
    mirror: bool = True
    """Every other picture is mirrored."""
    test_shorter: int = 800
    """What the shorter side becomes in use."""
    test_longest: int = 1333
    antialiased: bool = True
    """In use, as always in training; torchvision's detectors were shown pictures shrunk without."""

    def __post_init__(self) -> None:
        _refuse(
            "Pictures cannot be shown so",
            (f"shorter needs pixels above 0, not {self.shorter}", not self.shorter or min(self.shorter) < 1),
            (f"shorter ascends, not {self.shorter}", list(self.shorter) != sorted(self.shorter)),
            (f"a range goes from one to another, not {self.shorter}", self.drawn == "range" and len(self.shorter) != 2),
            (f"longest is {max(self.shorter)} or more, not {self.longest}", self.longest < max(self.shorter)),
            (f"jitter ascends above 0, not {self.jitter}", self.jitter is not None and not _ascend(*self.jitter)),
            (f"crop_fraction is above 0 and at most 1, not {self.crop_fraction}", not 0 < self.crop_fraction <= 1),
            (f"the shorter side in use is 1 pixel or more, not {self.test_shorter}", self.test_shorter < 1),
            (f"base is 1 pixel or more, not {self.base}", self.base < 1),
            (f"crop is 1 pixel or more, not {self.crop}", self.crop is not None and self.crop < 1),
            (
                f"test_longest is {self.test_shorter} or more, not {self.test_longest}",
                self.test_longest < self.test_shorter,
            ),
        )

    @property
    def used(self) -> str:
        """How large pictures are shown in use, in words."""
        if self.test_shorter == self.test_longest:
            return f"longer side {self.test_longest}"
        return f"shorter side {self.test_shorter}, longer at most {self.test_longest}"


def _refuse(what: str, *faults: tuple[str, bool]) -> None:
    for fault, wrong in faults:
        if wrong:
            raise UsageError(f"{what}: {fault}.")


def _ascend(low: float, high: float) -> bool:
    return 0 < low <= high < float("inf")
