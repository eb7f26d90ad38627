"""Weights of our nets under the names of torchvision and timm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from torch import Tensor

from tagwise.base.errors import UsageError, unknown
from tagwise.nets.design import Design
from tagwise.nets.layouts.families import excited_stem
from tagwise.nets.layouts.fitting import to_canonical


def from_canonical(
    state: Mapping[str, Tensor], design: Design, layout: Literal["torchvision", "timm"]
) -> dict[str, Tensor]:
    """The state dict as the same net of another library loads it strictly, with equal logits.

    Nets of Caffe's lineage go to timm's ``legacy_`` models.

    Raises:
        UsageError: There is no such library here, or it has no such net.
        TagwiseError: The state dict is not the design's.
    """
    lacks = {"torchvision": _torchvision_lacks, "timm": _timm_lacks}
    if layout not in lacks:
        raise unknown("library", layout, lacks)
    if reason := lacks[layout](design):
        raise UsageError(f"{layout} cannot hold this net: it has no {reason}.")
    canonical = to_canonical(state, design)
    if layout == "timm" and design.stem_pool == "ceil":
        return {_legacy(name, len(design.stem_widths) > 1): tensor for name, tensor in canonical.items()}
    return canonical


def _torchvision_lacks(design: Design) -> str | None:
    """What of a design torchvision's ResNet has no setting for."""
    if design.attention is not None:
        return "channel attention"
    if len(design.stem_widths) > 1:
        return "deep stem"
    return _both_lack(design, shortcuts=("conv",))


def _timm_lacks(design: Design) -> str | None:
    """What of a design timm's ResNet, or its legacy SENet, has no setting for."""
    attention = design.attention
    if design.stem_pool == "ceil":
        return _legacy_lacks(design)
    if attention is not None and attention.rectified:
        return "ReLU before the gate"
    if attention is not None and any(attention.hidden(width) % 8 for width in _gated(design)):
        return "attention with a hidden layer that is no multiple of 8"
    if attention is not None and attention.kind == "split":
        design = replace(design, stride_at="3x3")
    return _both_lack(design, shortcuts=("conv", "avg", "conv3x3"))


def _legacy_lacks(design: Design) -> str | None:
    attention, basic = design.attention, design.block == "basic"
    if attention is None or attention.kind != "se":
        return "unpadded pool without squeeze-and-excitation"
    if attention.rectified != basic:
        return f"unpadded pool {'without' if basic else 'with'} a ReLU before the gate of {design.block} blocks"
    if any(attention.hidden(channels) != channels // 16 for channels in design.channels):
        return "unpadded pool with a gate whose hidden layer is not a sixteenth"
    if design.stride_at != ("3x3" if basic or design.cardinality > 1 else "1x1"):
        return f"such net with its stride at {design.stride_at}"
    return _both_lack(replace(design, stride_at="3x3", stem_pool="padded"), shortcuts=("conv", "conv3x3"))


def _both_lack(design: Design, shortcuts: tuple[str, ...]) -> str | None:
    usual = Design(block=design.block, depths=design.depths) if len(design.depths) == 4 else None
    same = ("planes", "strides", "stem_stride", "stem_pool", "stride_at", "preactivation")
    for name in same:
        if usual is None or getattr(design, name) != getattr(usual, name):
            return f"setting for {name}={getattr(design, name)}"
    if design.stem_kernel != (3 if len(design.stem_widths) > 1 else 7):
        return f"{design.stem_kernel}x{design.stem_kernel} stem"
    return None if design.shortcut in shortcuts else f"shortcut of the kind {design.shortcut}"


def _gated(design: Design) -> tuple[int, ...]:
    """Channels that the attention weighs."""
    excited = design.attention is not None and design.attention.kind == "se"
    return design.channels if excited or design.block == "basic" else design.widths


def _legacy(name: str, deep: bool) -> str:
    stem, _, rest = name.rpartition(".")
    places = {ours: theirs for theirs, ours in excited_stem(deep).items()}
    if stem in places:
        return f"layer0.{places[stem]}.{rest}"
    return re.sub(r"\.se\.", ".se_module.", re.sub(r"^fc\.", "last_linear.", name))
