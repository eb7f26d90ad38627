"""The table of published weights that fit our designs.

Accuracies are percent of the ImageNet-1k validation pictures (CIFAR-10: test pictures), top-1 before
top-5. Sources: torchvision/models/resnet.py; the READMEs of facebookresearch/WSL-Images, facebookresearch/
semi-supervised-ImageNet1K-models, facebookresearch/ResNeXt, facebook/fb.resnet.torch, zhanghang1989/ResNeSt,
Cadene/pretrained-models.pytorch and akamaster/pytorch_resnet_cifar10; timm's results-imagenet.csv of 2026-08.

Absent, as no design of ours computes what they do: fb.resnet.torch's resnet-50.t7 (norm after the addition)
and resnet-200.t7 (full pre-activation), Cadene's cafferesnet101 (BGR 0..255, Caffe's pool), and the ResNeSt
backbones made for detectors (no classifier, no accuracy). Absent, as they are no files of tensors we read or
have no published hash: SENet's Caffe models, Gluon's ``.params``, and what timm's configurations have on its
hub alone (the selective kernels, ``ra4_e3600``).
"""

from __future__ import annotations

from dataclasses import replace

from tagwise.base.views import View, resnest_view, timm_view, torchvision_view
from tagwise.nets.provenance import Score, Weights
from tagwise.nets.published_timm import TIMM_WEIGHTS, by_timm

_TORCHVISION = "https://download.pytorch.org/models"
_FACEBOOK = "https://dl.fbaipublicfiles.com"
_RESNEST = "https://github.com/zhanghang1989/ResNeSt/releases/download/weights_step1"
_CADENE = "http://data.lip6.fr/cadene/pretrainedmodels"
_CADENE_COPIES = "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-cadene"
_AKAMASTER = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models"
_TORCH7 = "https://d2j0dndfm35trm.cloudfront.net"

_V1, _V2 = torchvision_view(224, 256), torchvision_view(224, 232)
_META = View(resolution=224, resize=256, origin="the authors' resize and crop")
_LUA = View(resolution=224, resize=256, interpolation="bicubic", origin="fb.resnet.torch's resize and crop")
_SMALL = View(resolution=32, resize=32, origin="akamaster's, as the pictures are")
_TIMM = timm_view(224, 0.875, "bilinear")
_TIMMS_TV = ("resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d")
"""Whose torchvision weights timm once called ``tv_``."""

_XIE, _FB = "Xie et al. 2017 (ResNeXt)", "Gross and Wilber 2016 (fb.resnet.torch)"
_SAVED_WRONGLY = "its authors saved the file wrongly (their issue 1), and nobody has reached their number with it"


def _torchvision(design: str, version: int, digest: str, top1: float, top5: float, *, view: View) -> Weights:
    old = (f"tv_{design}",) if version == 1 and design in _TIMMS_TV else ()
    return Weights(
        design=design,
        tag=f"imagenet1k_v{version}",
        who="torchvision",
        url=f"{_TORCHVISION}/{design}-{digest}.pth",
        licence="BSD-3-Clause",
        scores=(Score(by="torchvision", top1=top1, top5=top5, view=view),),
        aliases=(f"{design}.tv{'' if version == 1 else version}_in1k", *old),
    )


def _wsl(width: int, digest: str, top1: float, top5: float, *timm: float) -> Weights:
    design = f"resnext101_32x{width}d"
    return Weights(
        design=design,
        tag="wsl",
        who="Mahajan et al. 2018 (WSL-Images)",
        url=f"{_TORCHVISION}/ig_resnext101_32x{width}-{digest}.pth",
        licence="CC-BY-NC-4.0",
        scores=(Score(by="its authors", top1=top1, top5=top5, view=_META), *by_timm(_TIMM, *timm)),
        aliases=(f"ig_{design}", f"{design}.fb_wsl_ig1b_ft_in1k"),
    )


def _semi(design: str, tag: str, digest: str, top1: float, top5: float, *timm: float, note: str = "") -> Weights:
    how, data = ("supervised", "yfcc100m") if tag == "ssl" else ("weakly_supervised", "ig1b")
    return Weights(
        design=design,
        tag=tag,
        who="Yalniz et al. 2019 (semi-supervised ImageNet1K models)",
        url=f"{_FACEBOOK}/semiweaksupervision/model_files/semi_{how}_{design.removesuffix('d')}-{digest}.pth",
        licence="CC-BY-NC-4.0",
        scores=(Score(by="its authors", top1=top1, top5=top5, view=_META), *by_timm(_TIMM, *timm)),
        aliases=(f"{tag}_{design}", f"{design}.fb_{tag}_{data}_ft_in1k"),
        note=note,
    )


def _resnest(ending: str, digest: str, top1: float, *others: Score, size: int = 224, timms: str = "") -> Weights:
    return Weights(
        design=f"resnest{ending}",
        tag="authors",
        who="Zhang et al. 2022 (ResNeSt)",
        url=f"{_RESNEST}/resnest{ending}-{digest}.pth",
        licence="Apache-2.0",
        scores=(Score(by="its authors", top1=top1, view=resnest_view(size)), *others),
        aliases=(timms, f"{timms}.in1k") if timms else (),
    )


def _wide(size: int, crop_pct: float, top1: float, top5: float) -> tuple[Score, ...]:
    return by_timm(timm_view(size, crop_pct, "bilinear" if size < 320 else "bicubic"), top1, top5)


def _cubic(top1: float, top5: float) -> tuple[Score, ...]:
    return by_timm(timm_view(224, 0.875, "bicubic"), top1, top5)


def _cadene(
    design: str, digest: str, file: str, top1: float, top5: float, *timm: float, who: str, licence: str
) -> Weights:
    old = design.removeprefix("legacy_").replace("se_", "se")
    port = Score(by="Cadene, who ported it", top1=top1, top5=top5, view=replace(_V1, origin="Cadene's resize and crop"))
    return Weights(
        design=design,
        tag="cadene",
        who=f"{who}, ported by Cadene",
        url=f"{_CADENE_COPIES if file.startswith('se_resnet') else _CADENE}/{file}-{digest}.pth",
        licence=licence,
        scores=(port, *by_timm(_TIMM, *timm)),
        aliases=tuple(name for name in (f"legacy_{old}", f"legacy_{old}.in1k") if timm and name != design),
    )


def _senet(design: str, digest: str, top1: float, top5: float, *timm: float) -> Weights:
    file, who = design.removeprefix("legacy_"), "Hu et al. 2018 (SENet)"
    return _cadene(design, digest, file, top1, top5, *timm, who=who, licence="Apache-2.0")


def _lua_port(design: str, digest: str, top1: float, top5: float) -> Weights:
    """Of a Torch7 file, whose licence it keeps."""
    if design == "resnet152":
        row = _cadene(design, digest, "fbresnet152", top1, top5, who=_FB, licence="BSD-3-Clause")
        return replace(row, aliases=("fbresnet152",))
    return _cadene(design, digest, design, top1, top5, who=_XIE, licence="CC-BY-NC-4.0")


def _akamaster(layers: int, digest: str, top1: float) -> Weights:
    return Weights(
        design=f"resnet{layers}_cifar",
        tag="akamaster",
        who="Yerlan Idelbayev (akamaster)",
        url=f"{_AKAMASTER}/resnet{layers}-{digest}.th",
        licence="BSD-2-Clause",
        scores=(Score(by="its author", top1=top1, view=_SMALL),),
        label_set="cifar10",
    )


def _torch7(design: str, file: str, top1: float, top5: float | None = None) -> Weights:
    """Files whose hash nobody has published; the ResNeXts are for non-commercial use."""
    new = design.startswith("resnext")
    return Weights(
        design=design,
        tag="authors" if new else "fb",
        who=_XIE if new else _FB,
        url=f"{_FACEBOOK}/resnext/imagenet_models/{file}" if new else f"{_TORCH7}/{file}",
        licence="CC-BY-NC-4.0" if new else "BSD-3-Clause",
        scores=(Score(by="its authors", top1=top1, top5=top5, view=_LUA),),
    )


WEIGHTS: tuple[Weights, ...] = (
    _torchvision("resnet50", 2, "11ad3fa6", 80.858, 95.434, view=_V2),
    _torchvision("resnet101", 2, "cd907fc2", 81.886, 95.780, view=_V2),
    _torchvision("resnet152", 2, "f82ba261", 82.284, 96.002, view=_V2),
    _torchvision("resnext50_32x4d", 2, "1a0047aa", 81.198, 95.340, view=_V2),
    _torchvision("resnext101_32x8d", 2, "110c445d", 82.834, 96.228, view=_V2),
    _torchvision("wide_resnet50_2", 2, "9ba9bcbe", 81.602, 95.758, view=_V2),
    _torchvision("wide_resnet101_2", 2, "d733dc28", 82.510, 96.020, view=_V2),
    _torchvision("resnext101_64x4d", 1, "173b62eb", 83.246, 96.454, view=_V2),
    _torchvision("resnet18", 1, "f37072fd", 69.758, 89.078, view=_V1),
    _torchvision("resnet34", 1, "b627a593", 73.314, 91.420, view=_V1),
    _torchvision("resnet50", 1, "0676ba61", 76.130, 92.862, view=_V1),
    _torchvision("resnet101", 1, "63fe2227", 77.374, 93.546, view=_V1),
    _torchvision("resnet152", 1, "394f9c45", 78.312, 94.046, view=_V1),
    _torchvision("resnext50_32x4d", 1, "7cdf4587", 77.618, 93.698, view=_V1),
    _torchvision("resnext101_32x8d", 1, "8ba56ff5", 79.312, 94.526, view=_V1),
    _torchvision("wide_resnet50_2", 1, "95faca4d", 78.468, 94.086, view=_V1),
    _torchvision("wide_resnet101_2", 1, "32ee1156", 78.848, 94.284, view=_V1),
    _wsl(8, "c38310e5", 82.2, 96.4, 82.720, 96.624),
    _wsl(16, "c6f796b0", 84.2, 97.2, 84.166, 97.192),
    _wsl(32, "e4b90b00", 85.1, 97.5, 85.090, 97.442),
    _wsl(48, "3e41cc8a", 85.4, 97.6),
    _semi("resnet18", "ssl", "d92f0530", 72.8, 91.5, 72.636, 91.416),
    _semi("resnet50", "ssl", "08389792", 79.3, 94.9, 79.252, 94.826),
    _semi("resnext50_32x4d", "ssl", "ddb3e555", 80.3, 95.4, 80.316, 95.386),
    _semi("resnext101_32x4d", "ssl", "dc43570a", 81.0, 95.7, 80.936, 95.732),
    _semi("resnext101_32x8d", "ssl", "2cfe2f8b", 81.7, 96.1, 81.620, 96.036),
    _semi("resnext101_32x16d", "ssl", "15fffa57", 81.9, 96.2, 81.856, 96.084),
    _semi("resnet18", "swsl", "118f1556", 73.4, 91.9, 73.286, 91.754),
    _semi("resnet50", "swsl", "16a12f1b", 81.2, 96.0, 81.146, 95.980),
    _semi("resnext50_32x4d", "swsl", "72679e44", 82.2, 96.3, 82.162, 96.224),
    _semi("resnext101_32x4d", "swsl", "3f87e46b", 83.4, 96.8, 83.268, 96.760),
    _semi("resnext101_32x8d", "swsl", "b4712904", 84.3, 97.2, 84.276, 97.188),
    _semi("resnext101_32x16d", "swsl", "f3559a9c", 84.8, 97.4, 83.340, 96.844, note=_SAVED_WRONGLY),
    _resnest("50", "528c19ca", 81.03, *by_timm(_TIMM, 80.958, 95.372), timms="resnest50d"),
    _resnest("101", "22405ba7", 82.83, *_wide(256, 0.875, 82.916, 96.310), size=256, timms="resnest101e"),
    _resnest("200", "75117900", 83.84, *_wide(320, 0.909, 83.880, 96.880), size=320, timms="resnest200e"),
    _resnest("269", "0cc87c48", 84.54, *_wide(416, 0.928, 84.542, 96.988), size=416, timms="resnest269e"),
    _resnest("50_fast_1s1x64d", "d8fbf808", 80.33),
    _resnest("50_fast_2s1x64d", "44938639", 80.53),
    _resnest("50_fast_4s1x64d", "f74f3fc3", 80.76),
    _resnest("50_fast_1s2x40d", "32830b84", 80.59),
    _resnest("50_fast_2s2x40d", "9d126481", 80.61),
    _resnest("50_fast_4s2x40d", "41d14ed0", 81.14, *_cubic(81.146, 95.566), timms="resnest50d_4s2x40d"),
    _resnest("50_fast_1s4x24d", "d4a4f76f", 80.99, *_cubic(81.024, 95.338), timms="resnest50d_1s4x24d"),
    *TIMM_WEIGHTS,
    _senet("se_resnet50", "ce0d4300", 77.636, 93.752, 77.650, 93.732),
    _senet("se_resnet101", "7e38fcc6", 78.396, 94.258, 78.370, 94.264),
    _senet("se_resnet152", "d17c99b7", 78.658, 94.374, 78.662, 94.370),
    _senet("se_resnext50_32x4d", "a260b3a4", 79.076, 94.434, 79.080, 94.428),
    _senet("se_resnext101_32x4d", "3b2fe3d8", 80.236, 95.028, 80.274, 95.032),
    _senet("legacy_senet154", "c7b49a05", 81.304, 95.498, 81.320, 95.502),
    _lua_port("resnext101_32x4d", "29e315fa", 78.188, 93.886),
    _lua_port("resnext101_64x4d", "e77a0586", 78.956, 94.252),
    _lua_port("resnet152", "2e20f6b4", 77.386, 93.594),
    _torch7("resnext50_32x4d", "resnext_50_32x4d.t7", 77.8),
    _torch7("resnext101_32x4d", "resnext_101_32x4d.t7", 78.8),
    _torch7("resnext101_64x4d", "resnext_101_64x4d.t7", 79.6),
    _torch7("resnet18", "resnet-18.t7", 69.57, 89.24),
    _torch7("resnet34", "resnet-34.t7", 73.27, 91.26),
    _torch7("resnet101", "resnet-101.t7", 77.56, 93.79),
    _torch7("resnet152", "resnet-152.t7", 77.84, 93.84),
    _akamaster(20, "12fca82f", 91.73),
    _akamaster(32, "d509ac18", 92.63),
    _akamaster(44, "014dd654", 93.10),
    _akamaster(56, "4bfd9763", 93.39),
    _akamaster(110, "1d1ed7c2", 93.68),
    _akamaster(1202, "f3b1deed", 93.82),
)
"""Every row; a design's first one for commercial use is its default."""
