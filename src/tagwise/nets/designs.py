"""The table of named designs, and the grammar of their names.

``[se|se_|sk]resnet50[c|d|e|s|t]``, ``[se|se_|sk]resnext50[d..]_32x4d``, ``resnest50[_fast][_2s1x64d]``:
the digits are the layers, ``32x4d`` is 32 groups of 4 channels, ``2s`` two splits. A depth outside
the papers' gives each of the four stages equally many blocks (``resnext38_24x10d``: three).

Endings change the form: ``_cifar`` (32-pixel pictures; ResNets have basic blocks with shortcut A, zeros
on both sides, or ``_end`` only behind, or ``_b`` projections; 164 and 1001 layers are bottlenecks with
projections), ``_small`` (three bottleneck stages
behind a 3x3 stride-1 stem without pool, each halving the side; ``8x4d`` gives stages of 64, 128 and 256 channels),
``_preact`` (norm and ReLU first) and ``_msra`` (stride in the first 1x1). ``plain34`` and
``plain20_cifar`` are the basic ResNets without shortcuts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from tagwise.base.errors import UsageError, unknown
from tagwise.nets.design import Attention, Design
from tagwise.nets.published import WEIGHTS

_NAME = re.compile(
    r"(?P<prefix>se_|se|sk)?(?P<family>resnet|resnext|resnest|plain)(?P<layers>\d+)(?P<variant>[cdest]?)(?P<fast>_fast)?"
    r"(_((?P<radix>\d+)s)?(?P<cardinality>\d+)x(?P<width>\d+)d)?"
    r"(?P<form>_cifar|_small)?(?P<shortcut>_b|_end)?(?P<preact>_preact)?(?P<msra>_msra)?"
)
_DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
    269: (3, 30, 48, 8),
}
_CIFAR_BOTTLENECKS = (164, 1001)
"""Depths of He et al. 2016b; its ResNet-110 has basic blocks, as that of He et al. 2016."""
_CIFARS = re.compile(r"((?:plain(?!\d+_)|resnet)(?:20|32|44|56|110|164|1001|1202)|resnext29_\d+x\d+d)(_preact)?")
"""Names that the papers give to nets for pictures of 32 pixels alone; some depths would fit four stages too."""
_DEEP = {"c": (32, 32, 64), "d": (32, 32, 64), "e": (64, 64, 128), "s": (64, 64, 128), "t": (24, 32, 64)}


def find_design(name: str) -> Design:
    """The design of a name of the table, of another library's name for it, or of the grammar.

    A timm tag names weights, not a design: ``resnext101_32x8d.fb_wsl_ig1b_ft_in1k`` is a ``resnext101_32x8d``.

    Raises:
        UsageError: There is no such design (the nearest names are given), or the depth fits no stages, or
            is one of the nets for pictures of 32 pixels, whose names have ``_cifar``.
    """
    canonical = canonical_name(name)
    return DESIGNS[canonical] if canonical in DESIGNS else _parse(canonical)


def canonical_name(name: str) -> str:
    """Our spelling of a design's name: ``ig_resnext101_32x48d`` is ``resnext101_32x48d``.

    A tag, whether the table has its weights or not, is left away.
    """
    bare = name.partition(".")[0]
    return ALIASES.get(bare, bare)


def list_models(
    filter: str | Sequence[str] = "*",  # noqa: A002 - timm's word
    *,
    pretrained: bool = False,
    exclude_filters: str | Sequence[str] = (),
) -> list[str]:
    """Names of the table for ``create_model``, in the table's order.

    Args:
        filter: A shell pattern such as ``"resnext*"``, or several, one of which has to fit; empty for all.
        pretrained: Names of published weights instead of designs; patterns may fit the name of their design
            and other libraries' names too.
        exclude_filters: Shell patterns of what is left out.
    """
    names: dict[str, tuple[str, ...]] = {name: (name,) for name in DESIGNS}
    if pretrained:
        names = {row.name: (row.name, row.design, *row.aliases) for row in WEIGHTS}
    included = [name for name in names if _fit(names[name], filter or "*")]
    return [name for name in included if not _fit(names[name], exclude_filters)]


def _fit(names: Sequence[str], patterns: str | Sequence[str]) -> bool:
    """Whether any name fits any pattern."""
    several = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatchcase(name, pattern) for name in names for pattern in several)


def _parse(name: str) -> Design:
    if cifar := _CIFARS.fullmatch(name):
        small = f"{cifar[1]}_cifar{cifar[2] or ''}"
        raise UsageError(f"There is no design {name!r}, a net for pictures of 32 pixels; its name here is {small}.")
    match = _NAME.fullmatch(name)
    if match is None or not _is_sentence(words := match.groupdict("")):
        raise unknown("design", name, [*DESIGNS, *ALIASES])
    block, depths = _depths(name, words)
    settings: dict[str, Any] = {"block": block, "depths": depths}
    settings |= _form(words, block) | _groups(words) | _stride(words)
    settings["attention"] = _attention(words, block)
    settings["preactivation"] = bool(words["preact"])
    if words["family"] == "plain":
        settings["shortcut"] = "none"
    return Design(**settings)


def _is_sentence(words: dict[str, str]) -> bool:
    """Whether the words go together."""
    split, grouped, form = words["family"] == "resnest", words["cardinality"], words["form"]
    plain = words["family"] == "plain"
    return not (
        (plain and any(words[word] for word in ("prefix", "variant", "cardinality", "shortcut", "preact", "msra")))
        or (words["family"] == "resnext" and not grouped)
        or (words["family"] == "resnet" and grouped)
        or (split and (words["prefix"] or words["variant"] or words["msra"] or words["preact"]))
        or (not split and (words["radix"] or words["fast"]))
        or (form and (words["variant"] or words["prefix"] == "se_"))
        or (form == "_small" and not grouped)
        or (form == "_cifar" and split)
        or (words["shortcut"] and (form != "_cifar" or grouped))
    )


def _depths(name: str, words: dict[str, str]) -> tuple[str, tuple[int, ...]]:
    """The kind of block, and how many there are in each stage."""
    layers = int(words["layers"])
    cifar = words["form"] == "_cifar" and layers not in _CIFAR_BOTTLENECKS
    basic = words["family"] == "plain" or (words["family"] == "resnet" and (cifar or layers in (18, 34)))
    stages = 3 if words["form"] else 4
    block, step = ("basic", 2 * stages) if basic else ("bottleneck", 3 * stages)
    if not words["form"] and layers in _DEPTHS and basic == (layers <= 34):
        return block, _DEPTHS[layers]
    blocks, rest = divmod(layers - 2, step)
    if rest or blocks < 1:
        others = "164, 1001 or " if basic and words["family"] == "resnet" else ""
        known = "18, 34, 50, 101, 152, 200, 269 or " if stages == 4 else others
        raise UsageError(f"{name} has no whole blocks in {stages} stages; its layers can be {known}{step}n + 2.")
    return block, (blocks,) * stages


def _form(words: dict[str, str], block: str) -> dict[str, Any]:
    """Stem, planes, strides and shortcut."""
    if words["form"] == "_small":
        # As in ResNeXt-50 32x4d the 3x3 is twice as wide as the planes, half as wide as the output.
        width = int(words["cardinality"]) * int(words["width"])
        planes = max(width // 2, 1)
        stem = {"stem_widths": (2 * planes,), "stem_kernel": 3, "stem_stride": 1, "stem_pool": None}
        return {"planes": (planes, 2 * planes, 4 * planes), "strides": (2, 2, 2), **stem}
    if words["form"] == "_cifar":
        planes = 64 if words["family"] == "resnext" else 16
        shortcut, width = ("pad_center", 64) if block == "basic" else ("conv", planes)
        shortcut = {"_b": "conv", "_end": "pad_end", "": shortcut}[words["shortcut"]]
        stem = {"stem_widths": (planes,), "stem_kernel": 3, "stem_stride": 1, "stem_pool": None}
        return {
            "planes": (planes, 2 * planes, 4 * planes),
            "strides": (1, 2, 2),
            "base_width": width,
            "shortcut": shortcut,
            **stem,
        }
    variant = words["variant"]
    if words["family"] == "resnest":
        variant = "d" if int(words["layers"]) <= 50 else "e"
    if not variant:
        return {"stem_pool": "ceil" if words["prefix"] == "se_" else "padded"}
    return {"stem_widths": _DEEP[variant], "stem_kernel": 3, "shortcut": "avg" if variant in "det" else "conv"}


def _groups(words: dict[str, str]) -> dict[str, Any]:
    if not words["cardinality"]:
        return {}
    return {"cardinality": int(words["cardinality"]), "base_width": int(words["width"])}


def _stride(words: dict[str, str]) -> dict[str, Any]:
    """SE-ResNets of Caffe stride in the 1x1, SE-ResNeXts in the 3x3, ResNeSts in a pool."""
    if words["family"] == "resnest":
        return {"stride_at": "avd_first" if words["fast"] else "avd_last"}
    caffe = words["prefix"] == "se_" and words["family"] == "resnet" and int(words["layers"]) > 34
    return {"stride_at": "1x1" if caffe or words["msra"] else "3x3"}


def _attention(words: dict[str, str], block: str) -> Attention | None:
    prefix, basic = words["prefix"], block == "basic"
    if words["family"] == "resnest":
        radix = int(words["radix"] or 2)
        return Attention(kind="split", reduction=4, min_channels=32, radix=radix) if radix else None
    if prefix == "sk" and words["family"] == "resnext":
        return Attention(kind="sk", reduction=16, min_channels=32)
    if prefix == "sk":
        return Attention(kind="sk", reduction=8 if basic else 16, min_channels=16 if basic else 8, split_input=True)
    if prefix == "se_":  # basic blocks of Caffe's lineage exist in timm alone, which put a ReLU before their gate
        return Attention(kind="se", min_channels=1, rectified=basic)
    return Attention(kind="se") if prefix else None


_SLIM = ("1x64d", "2x40d", "4x24d", "8x14d", "32x4d")
_CIFAR_SLIM = ("1x64d", "2x64d", "4x64d", "8x64d", "16x64d", "32x4d", "8x14d", "1x128d", "1x192d", "1x256d")
_CIFAR_QUICK = ("1x8d", "1x16d", "2x16d", "4x16d")
_WSL = ("32x8d", "32x16d", "32x32d", "32x48d")
_FAST = ("1s1x64d", "2s1x64d", "4s1x64d", "1s2x40d", "2s2x40d", "4s2x40d", "1s4x24d")
_NAMES = (
    *(f"resnet{layers}" for layers in (18, 26, 34, 50, 101, 152, 200)),
    *(f"resnet{layers}d" for layers in (18, 26, 34, 50, 101, 152, 200)),
    *(f"resnet{layers}{variant}" for variant in "cs" for layers in (50, 101, 152)),
    "resnet50t",
    *(f"resnet{layers}_msra" for layers in (50, 101, 152)),
    *(f"resnet{layers}_cifar{end}" for layers in (20, 32, 44, 56, 110, 1202) for end in ("", "_end", "_b")),
    *("plain18", "plain34", *(f"plain{layers}_cifar" for layers in (20, 32, 44, 56, 110))),
    *(f"resnext50_{groups}" for groups in _SLIM),
    *(f"resnext101_{groups}" for groups in (*_SLIM, "1x100d", "2x64d", "64x4d", *_WSL)),
    *(f"resnext152_{groups}" for groups in ("32x4d", "64x4d")),
    "resnext50d_32x4d",
    *(f"resnext29_{groups}_cifar" for groups in (*_CIFAR_SLIM, *_CIFAR_QUICK)),
    *(f"resnext29_{groups}_cifar_preact" for groups in ("8x64d", "16x64d")),
    *(f"resnext20_{groups}_small" for groups in ("8x4d", "8x8d")),
    *(f"seresnet{layers}" for layers in (18, 34, 50, 101, 152)),
    *(f"se_resnet{layers}" for layers in (18, 34, 50, 101, 152)),
    "seresnext50_32x4d",
    *(f"seresnext101_{groups}" for groups in ("32x4d", "32x8d", "64x4d")),
    "seresnext152_64x4d",
    *(f"se_resnext{layers}_32x4d" for layers in (50, 101)),
    *(f"skresnet{layers}" for layers in ("18", "34", "50", "50d")),
    *(f"skresnext{layers}_32x4d" for layers in (50, 101)),
    *(f"resnest{layers}" for layers in (14, 26, 50, 101, 200, 269)),
    *(f"resnest50_fast_{groups}" for groups in _FAST),
)

ALIASES: dict[str, str] = {name: row.design for row in WEIGHTS for name in (row.name, *row.aliases) if "." not in name}
"""Other libraries' names of these designs, those of their weights included."""


def _table() -> dict[str, Design]:
    designs = {name: _parse(name) for name in _NAMES}
    for layers in (50, 101):
        designs[f"wide_resnet{layers}_2"] = replace(designs[f"resnet{layers}"], base_width=128)
    designs["senet154"] = Design(
        block="bottleneck",
        depths=_DEPTHS[152],
        cardinality=64,
        base_width=4,
        reduce_first=2,
        stem_widths=(64, 64, 128),
        stem_kernel=3,
        shortcut="conv3x3",
        attention=Attention(kind="se"),
        dropout=0.2,
    )
    designs["legacy_senet154"] = replace(designs["senet154"], stem_pool="ceil")
    return designs


DESIGNS: dict[str, Design] = _table()
"""Every design of the papers and of the libraries that publish weights, by our name."""
