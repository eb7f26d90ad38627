"""The table of published weights whose state dicts have torchvision's keys.

Numbers are ImageNet-1k validation top-1 accuracies in percent, as published and, where there is
one, as timm measured the same file. The sources: torchvision/models/resnet.py, the READMEs of
facebookresearch/WSL-Images and facebookresearch/semi-supervised-ImageNet1K-models, timm's results.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from tagwise.base.errors import TagwiseError, unknown
from tagwise.base.progress import say
from tagwise.base.views import View
from tagwise.nets.designs import ALIASES, canonical_name

_TORCHVISION = "https://download.pytorch.org/models"
_SEMI = "https://dl.fbaipublicfiles.com/semiweaksupervision/model_files"
_V1_VIEW = View(resolution=224, resize=256)
_V2_VIEW = View(resolution=224, resize=232)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One published file of weights."""

    design: str
    """Name of the design."""
    tag: str
    """What tells it from other weights of the design: ``wsl``, ``swsl``, ``imagenet1k_v2``."""
    who: str
    """Who trained and published it."""
    url: str
    """Where it lies; the file name carries the beginning of the SHA-256."""
    licence: str
    """SPDX name."""
    view: View
    """How pictures were shown for the published number."""
    top1: float
    """The publisher's own top-1 accuracy, percent."""
    timm_top1: float | None = None
    """timm's top-1 accuracy of the same file, percent."""
    aliases: tuple[str, ...] = ()
    """timm's names, old and new."""
    label_set: str = "imagenet1k"
    """The 1000 classes of ILSVRC 2012, in the usual order of their synsets."""

    @property
    def name(self) -> str:
        """Design and tag, such as ``resnext101_32x8d_wsl``."""
        return f"{self.design}_{self.tag}"

    @property
    def sha256_prefix(self) -> str:
        """The first hex digits of the file's SHA-256."""
        return self.url.rpartition("-")[2].partition(".")[0]

    @property
    def commercial(self) -> bool:
        """Whether the licence allows commercial use."""
        return "-NC" not in self.licence


def find_weights(name: str, tag: str | None = None) -> Weights:
    """The row of a weights' name, or of a design's name and a tag.

    Args:
        name: ``resnext101_32x8d_wsl``, another library's name of it, or a design's name.
        tag: A tag or name of weights; without it a design's first row in the table counts.

    Raises:
        UsageError: The design has no such weights; the nearest are named.
    """
    rows = [row for row in WEIGHTS if row.design == canonical_name(name)]
    asked = name if tag is None else tag
    for row in rows:
        if asked.lower() in (row.tag, row.name, *row.aliases):
            return row
    if tag is not None:
        raise unknown("weights", tag, [row.tag for row in rows], f"the table for {name}")
    if rows and name == rows[0].design:
        return rows[0]
    raise unknown("weights", name, [row.name for row in WEIGHTS])


def load_weights(row: Weights) -> dict[str, Tensor]:
    """The state dict of a row, downloaded once into torch.hub's folder, its hash checked on arrival.

    The environment variable TAGWISE_MIRROR replaces the address before the file's name. Terms that
    forbid commercial use are said once.

    Raises:
        TagwiseError: The file cannot be had, or is not the published one.
    """
    if not row.commercial:
        _say_terms(row.who, row.licence)
    url = row.url
    if mirror := os.environ.get("TAGWISE_MIRROR"):
        url = f"{mirror.rstrip('/')}/{url.rpartition('/')[2]}"
    try:
        # torch.hub talks on stdout, which is for results.
        with contextlib.redirect_stdout(sys.stderr):
            state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
    except OSError as error:
        raise TagwiseError(f"The weights {row.name} cannot be had from {url}: {error}.") from error
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise TagwiseError(
            f"The file from {url} is not the published {row.name}: {error}; remove any copy from "
            f"{torch.hub.get_dir()} and try again, or set TAGWISE_MIRROR to another source."
        ) from error
    return state


@functools.cache
def _say_terms(who: str, licence: str) -> None:
    say(f"These weights of {who} are licensed {licence}: not for commercial use.")


def _torchvision(design: str, version: int, digest: str, top1: float, *, view: View) -> Weights:
    return Weights(
        design=design,
        tag=f"imagenet1k_v{version}",
        who="torchvision",
        url=f"{_TORCHVISION}/{design}-{digest}.pth",
        licence="BSD-3-Clause",
        view=view,
        top1=top1,
        aliases=(
            f"{design}.tv{'' if version == 1 else version}_in1k",
            *((f"tv_{design}",) if version == 1 and f"tv_{design}" in ALIASES else ()),
        ),
    )


def _wsl(width: int, digest: str, top1: float, timm_top1: float | None) -> Weights:
    design = f"resnext101_32x{width}d"
    return Weights(
        design=design,
        tag="wsl",
        who="Mahajan et al. 2018 (WSL-Images)",
        url=f"{_TORCHVISION}/ig_resnext101_32x{width}-{digest}.pth",
        licence="CC-BY-NC-4.0",
        view=_V1_VIEW,
        top1=top1,
        timm_top1=timm_top1,
        aliases=(f"ig_{design}", f"{design}.fb_wsl_ig1b_ft_in1k"),
    )


def _semi(design: str, tag: str, digest: str, top1: float, timm_top1: float) -> Weights:
    how, data = ("supervised", "yfcc100m") if tag == "ssl" else ("weakly_supervised", "ig1b")
    return Weights(
        design=design,
        tag=tag,
        who="Yalniz et al. 2019 (semi-supervised ImageNet1K models)",
        url=f"{_SEMI}/semi_{how}_{design.removesuffix('d')}-{digest}.pth",
        licence="CC-BY-NC-4.0",
        view=_V1_VIEW,
        top1=top1,
        timm_top1=timm_top1,
        aliases=(f"{tag}_{design}", f"{design}.fb_{tag}_{data}_ft_in1k"),
    )


WEIGHTS: tuple[Weights, ...] = (
    _torchvision("resnet50", 2, "11ad3fa6", 80.858, view=_V2_VIEW),
    _torchvision("resnet101", 2, "cd907fc2", 81.886, view=_V2_VIEW),
    _torchvision("resnet152", 2, "f82ba261", 82.284, view=_V2_VIEW),
    _torchvision("resnext50_32x4d", 2, "1a0047aa", 81.198, view=_V2_VIEW),
    _torchvision("resnext101_32x8d", 2, "110c445d", 82.834, view=_V2_VIEW),
    _torchvision("wide_resnet50_2", 2, "9ba9bcbe", 81.602, view=_V2_VIEW),
    _torchvision("wide_resnet101_2", 2, "d733dc28", 82.510, view=_V2_VIEW),
    _torchvision("resnext101_64x4d", 1, "173b62eb", 83.246, view=_V2_VIEW),
    _torchvision("resnet18", 1, "f37072fd", 69.758, view=_V1_VIEW),
    _torchvision("resnet34", 1, "b627a593", 73.314, view=_V1_VIEW),
    _torchvision("resnet50", 1, "0676ba61", 76.130, view=_V1_VIEW),
    _torchvision("resnet101", 1, "63fe2227", 77.374, view=_V1_VIEW),
    _torchvision("resnet152", 1, "394f9c45", 78.312, view=_V1_VIEW),
    _torchvision("resnext50_32x4d", 1, "7cdf4587", 77.618, view=_V1_VIEW),
    _torchvision("resnext101_32x8d", 1, "8ba56ff5", 79.312, view=_V1_VIEW),
    _torchvision("wide_resnet50_2", 1, "95faca4d", 78.468, view=_V1_VIEW),
    _torchvision("wide_resnet101_2", 1, "32ee1156", 78.848, view=_V1_VIEW),
    _wsl(8, "c38310e5", 82.2, 82.720),
    _wsl(16, "c6f796b0", 84.2, 84.166),
    _wsl(32, "e4b90b00", 85.1, 85.090),
    _wsl(48, "3e41cc8a", 85.4, None),
    _semi("resnet18", "ssl", "d92f0530", 72.8, 72.636),
    _semi("resnet50", "ssl", "08389792", 79.3, 79.252),
    _semi("resnext50_32x4d", "ssl", "ddb3e555", 80.3, 80.316),
    _semi("resnext101_32x4d", "ssl", "dc43570a", 81.0, 80.936),
    _semi("resnext101_32x8d", "ssl", "2cfe2f8b", 81.7, 81.620),
    _semi("resnext101_32x16d", "ssl", "15fffa57", 81.9, 81.856),
    _semi("resnet18", "swsl", "118f1556", 73.4, 73.286),
    _semi("resnet50", "swsl", "16a12f1b", 81.2, 81.146),
    _semi("resnext50_32x4d", "swsl", "72679e44", 82.2, 82.162),
    _semi("resnext101_32x4d", "swsl", "3f87e46b", 83.4, 83.268),
    _semi("resnext101_32x8d", "swsl", "b4712904", 84.3, 84.276),
    # Saved wrongly by its authors (their issue 1): nobody has reached the published number with it.
    _semi("resnext101_32x16d", "swsl", "f3559a9c", 84.8, 83.340),
)
"""Every row; a design's first one is its default."""
