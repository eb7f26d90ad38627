"""Published weights that timm trained, or ported from GluonCV; the rest stand in ``published``.

Accuracies are percent as timm measured them (results-imagenet.csv of 2026-08), top-1 before top-5.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from tagwise.base.views import View, timm_view
from tagwise.nets.provenance import Score, Weights

_RELEASES = "https://github.com/huggingface/pytorch-image-models/releases/download"
_GLUON = "https://github.com/rwightman/pytorch-pretrained-gluonresnet/releases/download/v0.1"


def by_timm(view: View, *accuracies: float) -> tuple[Score, ...]:
    """What timm measured, top-1 and top-5, if it made one."""
    return (Score(by="timm", top1=accuracies[0], top5=accuracies[1], view=view),) if accuracies else ()


def _trained(design: str, tag: str, path: str, scores: tuple[Score, ...], who: str = "timm") -> Weights:
    return Weights(
        design=design,
        tag=tag,
        who=who,
        url=f"{_RELEASES}/{path}.pth",
        licence="Apache-2.0",
        scores=scores,
        aliases=(f"{design}.{tag}_in1k",),
    )


def _strikes_back(design: str, tag: str, digest: str, top1: float, top5: float) -> Weights:
    """The procedures A1, A2 and A3 of "ResNet strikes back"; A3 is trained at 160 and tested at 224 too."""
    scores = by_timm(timm_view(224, 0.95, "bicubic"), top1, top5)
    path = f"v0.1-rsb-weights/{design}_{tag}_0-{digest}"
    return _trained(design, tag, path, scores, "timm (Wightman et al. 2021)")


def _ra2(design: str, digest: str, top1: float, top5: float, size: int, crop_pct: float) -> Weights:
    return _other(design, "ra2", f"v0.1-weights/{design}_ra2-{digest}", top1, top5, crop_pct, size)


def _other(design: str, tag: str, file: str, top1: float, top5: float, crop_pct: float, size: int = 224) -> Weights:
    """Of further recipes, by the file's path under timm's releases."""
    return _trained(design, tag, file, by_timm(timm_view(size, crop_pct, "bicubic"), top1, top5))


def _legacy(
    layers: int, digest: str, top1: float, top5: float, interpolation: Literal["bilinear", "bicubic"]
) -> Weights:
    """SE nets of basic blocks in the form of Caffe's, which timm trained itself."""
    scores = by_timm(timm_view(224, 0.875, interpolation), top1, top5)
    row = _trained(f"se_resnet{layers}", "timm", f"v0.1-weights/seresnet{layers}-{digest}", scores)
    old = f"legacy_seresnet{layers}"
    return replace(row, aliases=(old, f"{old}.in1k"))


def _gluon(design: str, digest: str, top1: float, top5: float) -> Weights:
    old = f"gluon_{design}"
    if design.startswith("resnet"):
        old = f"gluon_{design.rstrip('cds')}_v1{design[-1] if design[-1] in 'cds' else 'b'}"
    return Weights(
        design=design,
        tag="gluon",
        who="GluonCV, ported by timm",
        url=f"{_GLUON}/{old}-{digest}.pth",
        licence="Apache-2.0",
        scores=by_timm(timm_view(224, 0.875, "bicubic"), top1, top5),
        aliases=(old, f"{design}.gluon_in1k"),
    )


def _gluon_resnest(layers: int, digest: str, top1: float, top5: float) -> Weights:
    return Weights(
        design=f"resnest{layers}",
        tag="gluon",
        who="GluonCV, ported by timm",
        url=f"{_RELEASES}/v0.1-weights/gluon_resnest{layers}-{digest}.pth",
        licence="Apache-2.0",
        scores=by_timm(timm_view(224, 0.875, "bilinear"), top1, top5),
        aliases=(f"resnest{layers}d", f"resnest{layers}d.gluon_in1k"),
    )


TIMM_WEIGHTS: tuple[Weights, ...] = (
    _ra2("resnet18d", "48a79e06", 72.296, 90.682, 224, 0.875),
    _ra2("resnet34d", "f8dcfcaf", 77.108, 93.372, 224, 0.875),
    _ra2("resnet50d", "464e36ba", 80.546, 95.160, 224, 0.875),
    _ra2("resnet101d", "2803ffab", 82.254, 96.070, 256, 0.95),
    _ra2("resnet152d", "5cac0439", 83.160, 96.370, 256, 0.95),
    _ra2("resnet200d", "bdba9bf9", 83.250, 96.552, 256, 0.95),
    _strikes_back("resnet18", "a1", "d63eafa0", 71.504, 90.086),
    _strikes_back("resnet18", "a2", "b61bd467", 70.634, 89.486),
    _strikes_back("resnet18", "a3", "40c531c8", 68.250, 88.172),
    _strikes_back("resnet34", "a1", "46f8f793", 76.420, 92.896),
    _strikes_back("resnet34", "a2", "82d47d71", 75.520, 92.454),
    _strikes_back("resnet34", "a3", "a20cabb6", 72.996, 91.116),
    _strikes_back("resnet50", "a1", "14fe96d1", 80.382, 94.598),
    _strikes_back("resnet50", "a2", "a2746f79", 79.828, 94.560),
    _strikes_back("resnet50", "a3", "59cae1ef", 78.052, 93.780),
    _strikes_back("resnet101", "a1", "cdcb52a9", 81.494, 95.164),
    _strikes_back("resnet101", "a2", "6edb36c7", 81.344, 95.198),
    _strikes_back("resnet101", "a3", "1db14157", 79.836, 94.608),
    _strikes_back("resnet152", "a1", "2eee8a7a", 81.998, 95.294),
    _strikes_back("resnet152", "a2", "b4c6978f", 81.764, 95.270),
    _strikes_back("resnet152", "a3", "134d4688", 80.548, 95.004),
    _strikes_back("resnext50_32x4d", "a1", "b5a91a1d", 80.526, 94.458),
    _strikes_back("resnext50_32x4d", "a2", "efc76add", 80.444, 94.630),
    _strikes_back("resnext50_32x4d", "a3", "3e450271", 79.258, 94.308),
    _strikes_back("resnet50d", "a1", "e20cff14", 80.730, 94.678),
    _strikes_back("resnet50d", "a2", "a3adc64d", 80.268, 94.642),
    _strikes_back("resnet50d", "a3", "403fdfad", 78.742, 94.236),
    _strikes_back("seresnet50", "a1", "ffa00869", 80.012, 94.704),
    _strikes_back("seresnet50", "a2", "850de0d9", 80.102, 94.720),
    _strikes_back("seresnet50", "a3", "317ecd56", 77.036, 93.072),
    _legacy(18, "4bb0ce65", 71.742, 90.340, "bicubic"),
    _legacy(34, "a4004e63", 74.788, 92.134, "bilinear"),
    _gluon("resnet18", "0757602b", 70.844, 89.750),
    _gluon("resnet34", "c6d82d59", 74.574, 91.988),
    _gluon("resnet50", "0ebe02e2", 77.580, 93.704),
    _gluon("resnet101", "3b017079", 79.306, 94.538),
    _gluon("resnet152", "c1edb0dd", 79.712, 94.720),
    _gluon("resnet50c", "48092f55", 78.016, 93.994),
    _gluon("resnet101c", "1f26822a", 79.542, 94.588),
    _gluon("resnet152c", "a3bb0b98", 79.904, 94.854),
    _gluon("resnet50d", "818a1b1b", 79.080, 94.458),
    _gluon("resnet101d", "0f9c8644", 80.466, 95.034),
    _gluon("resnet152d", "bd354e12", 80.476, 95.194),
    _gluon("resnet50s", "1762acc0", 78.710, 94.248),
    _gluon("resnet101s", "60fe0cc1", 80.278, 95.160),
    _gluon("resnet152s", "dcc41b81", 81.048, 95.442),
    _gluon("resnext50_32x4d", "e6a097c1", 79.354, 94.424),
    _gluon("resnext101_32x4d", "b253c8c4", 80.336, 94.908),
    _gluon("resnext101_64x4d", "f9a8e184", 80.640, 95.000),
    _gluon("seresnext50_32x4d", "90cf2d6e", 79.916, 94.816),
    _gluon("seresnext101_32x4d", "cf52900d", 80.886, 95.268),
    _gluon("seresnext101_64x4d", "f9926f93", 80.884, 95.308),
    _gluon("senet154", "70a1a3c0", 81.258, 95.358),
    _gluon_resnest(14, "9c8fe254", 75.516, 92.512),
    _gluon_resnest(26, "50eb607c", 78.476, 94.300),
    _other("resnet26", "bt", "v0.1-weights/resnet26-9aa10e23", 75.298, 92.578, 0.875),
    _other("resnet26d", "bt", "v0.1-weights/resnet26d-69e92c46", 76.698, 93.156, 0.875),
    _other("resnet34", "bt", "v0.1-weights/resnet34-43635321", 75.176, 92.166, 0.875),
    _other("resnet50", "a1h", "v0.1-rsb-weights/resnet50_a1h2_176-001a1197", 79.264, 94.498, 0.9, size=176),
    _other("resnet50", "am", "v0.1-weights/resnet50_am-6c502b37", 79.004, 94.392, 0.875),
    _other("resnet50", "b1k", "v0.1-rsb-weights/resnet50_b1k-532a802a", 79.564, 94.622, 0.95),
    _other("resnet50", "b2k", "v0.1-rsb-weights/resnet50_b2k-1ba180c1", 79.388, 94.580, 0.95),
    _other("resnet50", "bt", "v0.1-weights/rw_resnet50-86acaeed", 78.444, 94.274, 0.875),
    _other("resnet50", "c1", "v0.1-rsb-weights/resnet50_c1-5ba5e060", 79.766, 94.954, 0.95),
    _other("resnet50", "c2", "v0.1-rsb-weights/resnet50_c2-d01e05b2", 79.868, 94.862, 0.95),
    _other("resnet50", "d", "v0.1-rsb-weights/resnet50_d-f39db8af", 79.904, 94.666, 0.95),
    _other("resnet50", "ra", "v0.1-weights/resnet50_ra-85ebb6e5", 78.820, 94.314, 0.875),
    _other("resnet50", "ram", "v0.1-weights/resnet50_ram-a26f946b", 79.034, 94.386, 0.875),
    _other("resnet101", "a1h", "v0.1-rsb-weights/resnet101_a1h-36d3f2aa", 81.950, 95.760, 0.95),
    _other("resnet152", "a1h", "v0.1-rsb-weights/resnet152_a1h-dc400468", 82.818, 96.124, 0.95),
    _other("resnext50_32x4d", "a1h", "v0.1-rsb-weights/resnext50_32x4d_a1h-0146ab0a", 81.140, 95.320, 0.95),
    _other("resnext50_32x4d", "ra", "v0.1-weights/resnext50_32x4d_ra-d733960d", 79.800, 94.608, 0.875),
    _other("resnext50d_32x4d", "bt", "v0.1-weights/resnext50d_32x4d-103e99f8", 79.672, 94.878, 0.875),
    _other("resnext101_64x4d", "c1", "v0.1-tpu-weights/resnext101_64x4d_c-0d0e0cc0", 82.446, 95.920, 0.95),
    _other("seresnet50", "ra2", "v0.1-weights/seresnet50_ra_224-8efdb4bb", 80.260, 95.068, 0.875),
    _other("seresnext50_32x4d", "racm", "v0.1-weights/seresnext50_32x4d_racm-a304a460", 81.268, 95.624, 0.875),
    _other("seresnext101_32x8d", "ah", "v0.1-tpu-weights/seresnext101_32x8d_ah-e6bc4c0a", 83.618, 96.412, 0.95),
    _other("wide_resnet50_2", "racm", "v0.1-weights/wide_resnet50_racm-8234f177", 81.466, 95.544, 0.875),
)
"""A design's first row comes before its others."""
