"""What a net of the residual family is, said in data; ``grammar.build`` makes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import accumulate, pairwise
from operator import mul
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tagwise.base.errors import UsageError

_MOST_BLOCKS = 1000
"""Of a stage; ResNet-1202 has 200."""
_MOST_CHANNELS = 2**16
"""Of any layer; ResNeXt-101 32x48d has 12,288."""


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Which channel attention a block has and how narrow its hidden layer is."""

    kind: Literal["se", "sk", "split"]
    """``se`` scales what the block adds; ``sk`` and ``split`` replace its spatial convolution."""
    reduction: int = 16
    """The hidden layer has ``channels * radix // reduction`` channels."""
    min_channels: int = 8
    """The hidden layer has at least so many channels."""
    radix: int = 1
    """Splits of each group; above 1 only for split attention."""
    split_input: bool = False
    """Selective kernels: each kernel sees its own half of the input channels (timm's thrift)."""
    rectified: bool = False
    """``se``: a ReLU before the gate, as in timm's legacy nets of basic blocks."""

    def hidden(self, channels: int) -> int:
        """Channels of the hidden layer of attention over ``channels``."""
        return max(channels * self.radix // self.reduction, self.min_channels)


@dataclass(frozen=True, kw_only=True)
class Design:
    """The architecture of a residual net, from its first convolution to its pooled vector.

    The defaults are the ImageNet form of He et al. 2016: 7x7 stem, four stages, projections
    where the shape changes, stride in the 3x3 convolution (torchvision's, not Caffe's).

    Raises:
        UsageError: The settings contradict each other.
    """

    block: Literal["basic", "bottleneck"]
    """Two 3x3 convolutions, or 1x1, 3x3, 1x1 with four times the planes going out."""
    depths: tuple[int, ...]
    """Blocks of each stage."""
    planes: tuple[int, ...] = (64, 128, 256, 512)
    """Each stage's size: its output channels, before the bottleneck's factor of four."""
    strides: tuple[int, ...] = (1, 2, 2, 2)
    """Stride of each stage's first block."""
    cardinality: int = 1
    """Groups of the 3x3 convolution."""
    base_width: int = 64
    """Channels a group in the first stage; they grow with ``planes``, rounded down."""
    reduce_first: int = 1
    """The first 1x1 gives the 3x3 only a part, ``1 / reduce_first``, of its width (2 in SENet-154)."""
    preactivation: bool = False
    """Norm and ReLU stand before each convolution, and once more before pooling."""
    stem_widths: tuple[int, ...] = (64,)
    """Channels of the stem's convolutions; three of them make the deep stem."""
    stem_kernel: int = 7
    """Side of the stem's kernels, odd."""
    stem_stride: int = 2
    """Stride of the stem's first convolution."""
    stem_pool: Literal["padded", "ceil"] | None = "padded"
    """The 3x3 stride-2 maximum pool after the stem: padded by 1, Caffe's (unpadded, rounding up), or none."""
    shortcut: Literal["conv", "conv_all", "conv3x3", "avg", "pad_end", "pad_center", "none"] = "conv"
    """Where the shape changes: 1x1 convolution (B), the same in every block (C), 3x3 where there is a
    stride, average pool then 1x1 (ResNet-D), or zeros for the new channels (A), behind or on both sides.
    With ``none`` no block has a shortcut: the plain nets of He et al. 2016."""
    stride_at: Literal["3x3", "1x1", "avd_first", "avd_last"] = "3x3"
    """What strides in a bottleneck: its 3x3, its first 1x1 (Caffe), or an average pool before or after the 3x3."""
    output_stride: int | None = None
    """Input pixels to a pixel of the last maps; stages that would go beyond dilate instead of striding."""
    dilation_rule: Literal["authors", "timm", "detectron2"] = "authors"
    """What a dilated stage keeps of its pools. The ResNeSt authors: none in the shortcut, the average beside
    the 3x3 at stride 1; timm: 2x2 at stride 1 in the shortcut, no other; detectron2: none, and the
    stage's first 3x3 is dilated like the rest. Nets without such pools are alike by the first two rules."""
    attention: Attention | None = None
    """Channel attention."""
    attention_norm: Literal["batch", "frozen"] = "batch"
    """How selective kernels and split attention norm pooled vectors while training: by the batch, as
    published, or by running statistics that stay as they are, so that one picture can train."""
    zero_init_last: bool = False
    """Starts each block as its shortcut. Short trainings of small nets need False: else they see colour only."""
    stochastic_depth: float = 0.0
    """Probability that the last block's branch is dropped; it grows linearly from 0 at the first block."""
    drop_block: float = 0.0
    """DropBlock's probability in the last two stages; a training raises it from 0 to this."""
    dropout: float = 0.0
    """Probability that a pooled feature is dropped before the classifier."""

    def __post_init__(self) -> None:
        for fault in _faults(self):
            raise UsageError(f"This design cannot be built: {fault}.")

    @property
    def channels(self) -> tuple[int, ...]:
        """Output channels of each stage."""
        return tuple(planes * (4 if self.block == "bottleneck" else 1) for planes in self.planes)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage's 3x3 convolutions; the group's width is rounded down, then multiplied."""
        if self.block == "basic":
            return self.planes
        return tuple(self.base_width * planes // self.planes[0] * self.cardinality for planes in self.planes)

    @property
    def reductions(self) -> tuple[int, ...]:
        """Input pixels to a pixel of the maps of the stem and of each stage."""
        return tuple(min(total, self.output_stride or total) for total in _totals(self))

    @property
    def dilations(self) -> tuple[int, ...]:
        """Dilation of the 3x3 convolutions of the stem, always 1, and of each stage."""
        return tuple(total // kept for total, kept in zip(_totals(self), self.reductions, strict=True))


def _totals(design: Design) -> tuple[int, ...]:
    """What ``reductions`` would be without dilation."""
    stem = design.stem_stride * (1 if design.stem_pool is None else 2)
    return tuple(accumulate((stem, *design.strides), mul))


def _faults(design: Design) -> Iterator[str]:
    yield from _type_faults(design)
    yield from _size_faults(design)
    if design.block == "basic":
        yield from _basic_faults(design)
    if design.attention is not None:
        yield from _type_faults(design.attention, "attention.")
        yield from _attention_faults(design, design.attention)
    if design.preactivation and design.stride_at.startswith("avd"):
        yield "pre-activation blocks stride in a convolution, so stride_at is 3x3 or 1x1"
    if design.preactivation and design.drop_block:
        yield "DropBlock stands behind norms, so drop_block is 0 in pre-activation nets"
    yield from _shortcut_faults(design)
    yield from _dilation_faults(design)


def _type_faults(settings: Design | Attention, place: str = "") -> Iterator[str]:
    """Files are checked when they are read; a word mistyped in Python would build another net unnoticed."""
    kinds = _KINDS[type(settings)]
    for field in fields(settings):
        value = getattr(settings, field.name)
        if not _is_of(value, kinds[field.name]):
            yield f"{place}{field.name} is {str(field.type).replace('Literal', 'one of ')}, not {value!r}"


_KINDS = {kind: get_type_hints(kind) for kind in (Design, Attention)}


def _is_of(value: object, kind: Any) -> bool:
    choices = get_args(kind)
    if get_origin(kind) is Literal:
        return value in choices
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_is_of(each, choices[0]) for each in value)
    if choices:
        return any(_is_of(value, choice) for choice in choices)
    return type(value) in ((int, float) if kind is float else (kind,))


def _shortcut_faults(design: Design) -> Iterator[str]:
    sizes = (design.stem_widths[-1], *design.channels)
    if design.shortcut.startswith("pad") and any(after < before for before, after in pairwise(sizes)):
        yield "a padded shortcut can only add channels, so the stages may not get narrower"
    if design.shortcut == "none" and (design.zero_init_last or design.stochastic_depth):
        yield "without shortcuts a silent block passes nothing on, so zero_init_last is False and stochastic_depth 0"


def _dilation_faults(design: Design) -> Iterator[str]:
    possible = sorted(set(_totals(design)))
    if design.output_stride is not None and design.output_stride not in possible:
        yield f"output_stride is one of {', '.join(map(str, possible))}, not {design.output_stride}"
    if design.dilation_rule == "detectron2" and design.dilations[-2] > 1:
        yield f"detectron2's rule dilates the last stage alone, so output_stride is at least {possible[-2]}"


def _size_faults(design: Design) -> Iterator[str]:
    stages = len(design.depths)
    if stages == 0 or {len(design.planes), len(design.strides)} != {stages}:
        yield f"depths, planes and strides name {stages}, {len(design.planes)} and {len(design.strides)} stages"
    sizes = (*design.depths, *design.planes, *design.strides, *design.stem_widths, design.stem_stride)
    if not design.stem_widths or min(*sizes, design.cardinality, design.reduce_first) < 1:
        yield "every count, width and stride is at least 1"
    if max(design.depths) > _MOST_BLOCKS:
        yield f"a stage has at most {_MOST_BLOCKS:,} blocks, not {max(design.depths):,}"
    if max(*sizes, design.stem_kernel, *design.channels, *design.widths) > _MOST_CHANNELS:
        yield f"no width, kernel or stride is above {_MOST_CHANNELS:,}"
    if design.stem_kernel % 2 == 0:
        yield f"stem_kernel is odd, not {design.stem_kernel}"
    if min(design.widths) < design.cardinality:
        yield f"{design.base_width} channels a group leave a stage without channels"
    if any(width // design.reduce_first % design.cardinality for width in design.widths):
        yield f"reduce_first {design.reduce_first} leaves widths that do not divide into {design.cardinality} groups"
    if not (0 <= design.stochastic_depth <= 1 and 0 <= design.dropout < 1 and 0 <= design.drop_block < 1):
        yield "stochastic_depth is 0 to 1, dropout and drop_block 0 to below 1"


def _basic_faults(design: Design) -> Iterator[str]:
    if (design.cardinality, design.base_width, design.reduce_first) != (1, 64, 1):
        yield "basic blocks have no groups, so cardinality, base_width and reduce_first keep their defaults"
    if design.stride_at != "3x3":
        yield "basic blocks stride in their first 3x3, so stride_at keeps its default"
    if design.attention is not None and design.attention.kind == "split":
        yield "split attention stands in bottlenecks"


def _attention_faults(design: Design, attention: Attention) -> Iterator[str]:
    if min(attention.reduction, attention.min_channels) < 1:
        yield "the attention's reduction and min_channels are at least 1"
    if design.preactivation and attention.kind != "se":
        yield "pre-activation blocks take squeeze-and-excitation or no attention"
    if attention.kind == "split":
        yield from _split_faults(design, attention)
    elif attention.radix != 1:
        yield "radix above 1 belongs to split attention"
    if attention.rectified and attention.kind != "se":
        yield "a ReLU before the gate belongs to squeeze-and-excitation"
    if attention.split_input and any(width % (2 * design.cardinality) for width in _attended(design)):
        yield f"halves of the input do not divide into {design.cardinality} groups"


def _attended(design: Design) -> tuple[int, ...]:
    """Channels that come into the spatial convolutions."""
    if design.block == "basic":
        return design.stem_widths[-1], *design.planes
    return tuple(width // design.reduce_first for width in design.widths)


def _split_faults(design: Design, attention: Attention) -> Iterator[str]:
    groups = design.cardinality
    if attention.radix < 1:
        yield "split attention has a radix of at least 1; without attention leave it away"
    for width in design.widths:
        if width % (groups * attention.radix):
            yield f"{width} channels do not divide into {groups} groups of {attention.radix} splits"
        if attention.hidden(width) % groups:
            yield f"{attention.hidden(width)} hidden channels of the attention do not divide into {groups} groups"
