"""A feature pyramid (Lin et al. 2017, "Feature Pyramid Networks") on the stages of any net of the family."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool, LastLevelP6P7

from tagwise.base.errors import UsageError
from tagwise.nets.design import Design
from tagwise.nets.grammar import FeatureNet, ResidualNet
from tagwise.nets.norms import FrozenNorm, SynchronisedNorm
from tagwise.training.heads import Detector, HeadNorm

_GROUPS = 32
"""Of group norm, as in its paper (Wu and He 2018)."""
NormLayer = Callable[[int], nn.Module]


class Pyramid(nn.Module):
    """Maps of one width at the strides of a net's stages and beyond: torchvision's backbone of a detector.

    Args:
        design: Of the net; its stages' strides double.
        detector: Width, norm and last levels of the pyramid.

    Attributes:
        body: The net without a classifier, under its own state-dict keys.
        fpn: The pyramid.
        out_channels: Of all maps.
        strides: Picture pixels to a pixel of each map.
        stages: How many of the maps are of stages of the net; regions are pooled from these.

    Raises:
        UsageError: The design dilates its stages or has too few, or the norm does not fit the width.
    """

    def __init__(self, design: Design, detector: Detector) -> None:
        super().__init__()
        stages = _stages(design, detector)
        channels = [design.channels[stage - 1] for stage in stages]
        self.body = FeatureNet(design, out_indices=stages)
        self.out_channels, width = detector.channels, detector.channels
        retina = detector.kind == "retina"
        top = LastLevelP6P7(channels[-1] if detector.top_from_stage else width, width) if retina else LastLevelMaxPool()
        if retina:
            # Of equal widths torchvision's module cannot tell which map it is meant to see.
            top.use_P5 = not detector.top_from_stage
        norm = None if retina else norm_layer(detector.norm, width)
        self.fpn = FeaturePyramidNetwork(channels, width, top, norm)
        self.stages = len(stages)
        self.strides = level_strides(design, detector)

    def forward(self, images_BCHW: Tensor) -> OrderedDict[str, Tensor]:
        """Maps [B, out_channels, H / stride, W / stride] by name: ``0``, ``1``, ..., ``pool`` or ``p6`` and ``p7``."""
        maps = {str(level): map_BCHW for level, map_BCHW in enumerate(self.body(images_BCHW))}
        # Torchvision lays anchors out in the maps' type, and half precision cannot hold their places.
        return OrderedDict((name, map_BCHW.float()) for name, map_BCHW in self.fpn(OrderedDict(maps)).items())

    def load_backbone(self, net: ResidualNet) -> None:
        """Takes over a net's weights and statistics, whatever its classifier is."""
        own = self.body.state_dict().keys()
        beyond = tuple(f"layer{number}." for number in range(len(self.body.stages()) + 1, len(net.stages()) + 1))
        state = {key: tensor for key, tensor in net.state_dict().items() if not key.startswith(("fc.", *beyond))}
        assert own == state.keys()
        self.body.load_state_dict(state)


def level_strides(design: Design, detector: Detector) -> tuple[int, ...]:
    """Picture pixels to a pixel of each level of the pyramid, finest first.

    Raises:
        UsageError: The design dilates its stages or has too few.
    """
    strides = [design.reductions[stage] for stage in _stages(design, detector)]
    more = 2 if detector.kind == "retina" else 1
    return (*strides, *(strides[-1] * 2**step for step in range(1, more + 1)))


def norm_layer(norm: HeadNorm, channels: int) -> NormLayer | None:
    """What makes the norm behind a convolution, of its number of channels; None where there is none.

    Raises:
        UsageError: The channels do not divide into groups.
    """
    if norm == "group":
        if channels % _GROUPS:
            raise UsageError(f"Group norm needs a multiple of {_GROUPS} channels, not {channels}.")
        return partial(nn.GroupNorm, _GROUPS)
    kinds: dict[HeadNorm, NormLayer] = {
        "batch": nn.BatchNorm2d,
        "synchronised": SynchronisedNorm,
        "frozen": FrozenNorm,
    }
    return kinds.get(norm)


def _stages(design: Design, detector: Detector) -> list[int]:
    """The stages whose maps are used, counted from 1: a RetinaNet leaves the first away, as it has too many anchors."""
    first = 2 if detector.kind == "retina" else 1
    stages = list(range(first, len(design.depths) + 1))
    strides = [design.reductions[stage] for stage in stages]
    if len(stages) < 2:
        raise UsageError(f"A pyramid needs 2 stages or more, and {len(stages)} of this design can be used.")
    if any(after != 2 * before for before, after in pairwise(strides)):
        raise UsageError(
            f"A pyramid's stages halve the maps each, and this design's have strides {', '.join(map(str, strides))}; "
            "give a design without output_stride."
        )
    return stages
