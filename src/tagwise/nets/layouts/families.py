"""How others name the tensors of these nets, and for which designs their names stand.

Canonical names are torchvision's where torchvision has the net, else timm's. The sources are
pretrained-models.pytorch (Cadene), pytorch_resnet_cifar10 (akamaster), mmpretrain, detectron2 and
its ResNeSt wrapper, ResNeSt (zhanghang1989).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from tagwise.base.errors import TagwiseError
from tagwise.nets.design import Design
from tagwise.nets.layouts.torch7_nets import PREFIX

State = Mapping[str, Tensor]
Names = Collection[str]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A library's names for the tensors of residual nets."""

    name: str
    """Whose names they are."""
    evidence: str
    """A pattern for the beginning of names that only this layout has, of those after it in ``LAYOUTS``."""
    renames: Callable[[Names], tuple[tuple[str, str], ...]] = lambda _names: ()
    """Patterns with their replacements, from this layout to the canonical names."""
    biases: bool = False
    """Whether convolutions may have biases, which the norm after them takes over."""
    objection: Callable[[Names, Design], str | None] = lambda _names, _design: None
    """Why the same tensors would compute something else in a design; None if they would not."""

    def canonical(self, names: Names, where: str = "These weights") -> dict[str, str]:
        """The canonical name of each name; what no pattern knows keeps its own.

        Raises:
            TagwiseError: Two names become one.
        """
        patterns = [(re.compile(pattern), replacement) for pattern, replacement in self.renames(names)]
        renamed: dict[str, str] = {}
        for name in names:
            found = (pattern.sub(new, name) for pattern, new in patterns if pattern.fullmatch(name))
            renamed[name] = next(found, name)
        by_new: dict[str, str] = {}
        for name, new in renamed.items():
            if new in by_new:
                raise TagwiseError(f"{where} have {new} twice, as {by_new[new]} and as {name}.")
            by_new[new] = name
        return renamed


def recognise(state: State, where: str = "These weights") -> Layout:
    """The layout of a state dict without wrappers. timm's plain nets have torchvision's names.

    Args:
        state: As ``read_state`` gives it.
        where: What it is, for the messages.

    Raises:
        TagwiseError: The names are of no layout here, or of a net that no design here can hold.
    """
    for evidence, reason in _UNMAPPABLE:
        if found := next((name for name in state if re.fullmatch(evidence, name)), None):
            raise TagwiseError(f"{where} cannot be taken over: {reason} (the tensor {found}).")
    for layout in LAYOUTS:
        if any(re.match(layout.evidence, name) for name in state):
            return layout
    first = ", ".join(list(state)[:5])
    raise TagwiseError(
        f"{where} have names of no layout known here ({', '.join(one.name for one in LAYOUTS)}): {first}."
    )


_UNMAPPABLE = (
    (r".*\.(gamma|beta)", "they have MXNet's (Gluon's) names; take the authors' or timm's file of the same net"),
    (r".*(conv2_offset|conv_offset)\.\w+", "deformable convolutions are in no design here"),
    (r"stages\.\d+\.blocks\.\d+\.norm1\.\w+", "a ResNetV2 of timm is pre-activated in a form of its own"),
)


def _usual(design: Design) -> str | None:
    """Nets of Torch7 and PyTorch have shortcuts, stride in the 3x3 convolution and pad the pool."""
    if design.shortcut == "none":
        return "they have shortcuts and the design has none"
    if design.stride_at == "1x1":
        return "they stride in the 3x3 convolution and the design in the first 1x1"
    if design.stem_pool == "ceil":
        return "they belong behind a padded pool and the design's is not"
    return None


def _cadene_excited(_names: Names, design: Design) -> str | None:
    """SENets of Caffe: an unpadded pool that rounds up, and the stride where Caffe had it."""
    if design.stem_pool != "ceil":
        return "they belong behind Caffe's pool (unpadded, rounding up) and the design's is padded"
    if (design.block == "basic") != (design.attention is not None and design.attention.rectified):
        return "timm's legacy nets have a ReLU before the gate where blocks are basic and none in bottlenecks"
    if design.block == "basic":
        return None
    stride = "1x1" if design.cardinality == 1 else "3x3"
    if design.stride_at != stride:
        return f"they stride in the {stride} convolution and the design does not"
    return None


def _cadene_plain(names: Names, design: Design) -> str | None:
    if "conv1.bias" not in names and {"layer3.22.conv3.weight", "last_linear.weight"} <= set(names):
        return (
            "Cadene's cafferesnet101 has these names, and wants BGR pixels of 0 to 255 behind a stride in the 1x1; "
            "if they are torchvision's, rename last_linear to fc"
        )
    return _usual(design)


def _torch7(_names: Names, design: Design) -> str | None:
    if design.shortcut == "pad_center":
        return "fb.resnet.torch appends the shortcut's zeros and the design puts them on both sides"
    return _usual(design)


def _akamaster(_names: Names, design: Design) -> str | None:
    if design.shortcut == "pad_end":
        return "akamaster puts the shortcut's zeros on both sides and the design appends them"
    return _usual(design)


def excited_stem(deep: bool) -> dict[str, str]:
    """Cadene's names of what stands in ``layer0``, with ours; the last norm of a deep stem is the net's bn1."""
    if not deep:
        return {"conv1": "conv1", "bn1": "bn1"}
    places = {"conv1": "conv1.0", "bn1": "conv1.1", "conv2": "conv1.3", "bn2": "conv1.4", "conv3": "conv1.6"}
    return {**places, "bn3": "bn1"}


def _excited_renames(names: Names) -> tuple[tuple[str, str], ...]:
    deep = any(re.match(r"layer0\.(conv|bn)[23]\.", name) for name in names)
    return (
        *((rf"layer0\.{theirs}\.(\w+)", rf"{ours}.\1") for theirs, ours in excited_stem(deep).items()),
        (r"(layer.*)\.se_module\.(.*)", r"\1.se.\2"),
        *_LAST_LINEAR,
    )


_LAST_LINEAR = ((r"last_linear\.(\w+)", r"fc.\1"),)


def _features_renames(_names: Names) -> tuple[tuple[str, str], ...]:
    """Positions in nested Sequentials; stage s stands at s + 3."""
    branch = {"0.0.0": "conv1", "0.0.1": "bn1", "0.0.3": "conv2", "0.0.4": "bn2", "0.1": "conv3", "0.2": "bn3"}
    places = {**{f"0.{old}": new for old, new in branch.items()}, "0.1.0": "downsample.0", "0.1.1": "downsample.1"}
    blocks = [
        (rf"features\.{stage + 3}\.(\d+)\.{re.escape(old)}\.(\w+)", rf"layer{stage}.\1.{new}.\2")
        for stage in range(1, 5)
        for old, new in places.items()
    ]
    return ((r"features\.0\.(\w+)", r"conv1.\1"), (r"features\.1\.(\w+)", r"bn1.\1"), *blocks, *_LAST_LINEAR)


def _mmdet_renames(names: Names) -> tuple[tuple[str, str], ...]:
    # mmdet always appends the shortcut's pool, mmpretrain only where it strides; then indices are one lower.
    pooled = any(re.fullmatch(r"layer\d\.0\.downsample\.2\.weight", name) for name in names)
    low = {match[1] for name in names if (match := re.fullmatch(r"(layer\d\.0)\.downsample\.0\.weight", name))}
    shifts = [
        (rf"{re.escape(block)}\.downsample\.{old}\.(\w+)", rf"{block}.downsample.{old + 1}.\1")
        for block in (low if pooled else ())
        for old in (0, 1)
    ]
    stem = ((r"stem\.7\.(\w+)", r"bn1.\1"), (r"stem\.([0-6])\.(\w+)", r"conv1.\1.\2"))
    return (*stem, *shifts, (r"head\.fc\.(\w+)", r"fc.\1"))


def _detectron2_renames(names: Names) -> tuple[tuple[str, str], ...]:
    split = any(name.endswith(".conv2.bn0.weight") for name in names)
    first = 1 if split else 0  # the wrapper's ResNeSts pool in the shortcut, which takes the first place
    stages = [
        pattern
        for stage in range(1, 5)
        for pattern in (
            (rf"res{stage + 1}\.(\d+)\.shortcut\.norm\.(\w+)", rf"layer{stage}.\1.downsample.{first + 1}.\2"),
            (rf"res{stage + 1}\.(\d+)\.shortcut\.(\w+)", rf"layer{stage}.\1.downsample.{first}.\2"),
            (rf"res{stage + 1}\.(\d+)\.conv(\d)\.norm\.(\w+)", rf"layer{stage}.\1.bn\2.\3"),
            (rf"res{stage + 1}\.(.+)", rf"layer{stage}.\1"),
        )
    ]
    return (
        (r"stem\.conv1\.norm\.(\w+)", r"bn1.\1"),
        (r"stem\.conv1_3\.norm\.(\w+)", r"bn1.\1"),
        *((rf"stem\.conv1_{n}\.norm\.(\w+)", rf"conv1.{3 * n - 2}.\1") for n in (1, 2)),
        *((rf"stem\.conv1_{n}\.(\w+)", rf"conv1.{3 * n - 3}.\1") for n in (1, 2, 3)),
        (r"stem\.conv1\.(\w+)", r"conv1.\1"),
        *stages,
        (r"linear\.(\w+)", r"fc.\1"),
    )


LAYOUTS = (
    Layout(
        name="torch7",
        evidence=re.escape(PREFIX),
        renames=lambda _names: ((rf"{re.escape(PREFIX)}(.+)", r"\1"),),
        biases=True,
        objection=_torch7,
    ),
    Layout(
        name="cadene",
        evidence=r"layer0\.|.*\.se_module\.",
        renames=_excited_renames,
        objection=_cadene_excited,
    ),
    Layout(
        name="cadene_resnext",
        evidence=r"features\.\d",
        renames=_features_renames,
        objection=lambda _names, design: _usual(design),
    ),
    Layout(
        name="cadene_plain",
        evidence=r"last_linear\.",
        renames=lambda _names: _LAST_LINEAR,
        biases=True,
        objection=_cadene_plain,
    ),
    Layout(name="detectron2", evidence=r"res[2-5]\.|stem\.conv1", renames=_detectron2_renames),
    Layout(name="mmdet", evidence=r"stem\.\d|head\.fc\.", renames=_mmdet_renames),
    Layout(
        name="akamaster",
        evidence=r"linear\.",
        renames=lambda _names: ((r"linear\.(\w+)", r"fc.\1"), (r"(layer.*)\.shortcut\.(.*)", r"\1.downsample.\2")),
        objection=_akamaster,
    ),
    Layout(name="resnest", evidence=r".*\.conv2\.bn0\."),
    Layout(name="timm", evidence=r"conv1\.0\.|.*\.se\.fc1\.|.*\.attn\.fc_reduce\."),
    Layout(name="torchvision", evidence=r"layer\d\."),
)
"""In the order in which they are tried; the last two need no renaming."""
