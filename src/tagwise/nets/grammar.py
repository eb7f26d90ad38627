"""The grammar of the residual family: a ``Design`` becomes a net."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from tagwise.base.errors import UsageError
from tagwise.nets.backbone import Backbone
from tagwise.nets.design import Design

__all__ = ["Design", "FeatureInfo", "FeatureNet", "ResidualNet", "build", "new_classifier"]


class ResidualNet(Backbone):
    """A net of the residual family; use ``build``.

    Attributes:
        fc: The classifier, a plain linear layer over the pooled vector.
    """

    def __init__(self, design: Design, num_classes: int, in_chans: int) -> None:
        super().__init__(design, in_chans)
        self.fc = new_classifier(design.channels[-1], num_classes)
        self._initialise()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, in_chans, H, W], H and W at least 32 pixels.

        Raises:
            UsageError: One picture in training mode, where attention normalises over the batch.
        """
        return self.forward_head(self.forward_features(images_BCHW))

    def forward_features(self, images_BCHW: Tensor) -> Tensor:
        """The last maps, [B, channels[-1], H / strides[-1], W / strides[-1]] rounded up."""
        return self._maps(images_BCHW)[-1]

    def forward_head(self, maps_BCHW: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits of the last maps, or with ``pre_logits`` the pooled vectors [B, channels[-1]]."""
        pooled_BD = maps_BCHW.mean((2, 3))
        if pre_logits:
            return pooled_BD
        logits_BC: Tensor = self.fc(F.dropout(pooled_BD, self.design.dropout, self.training))
        return logits_BC

    def embed(self, images_BCHW: Tensor) -> Tensor:
        """The pooled vectors [B, channels[-1]] that the classifier reads."""
        return self.forward_head(self.forward_features(images_BCHW), pre_logits=True)

    def features(self, images_BCHW: Tensor) -> list[Tensor]:
        """The maps of every stage, [B, channels[s], H / strides[s], W / strides[s]] rounded up."""
        return self._maps(images_BCHW)[1:]

    def get_classifier(self) -> nn.Linear:
        """``fc``."""
        return self.fc

    def reset_classifier(self, num_classes: int) -> None:
        """Gives the net a fresh classifier, on the device and of the type of the old one."""
        self.fc = new_classifier(self.channels[-1], num_classes).to(self.fc.weight)


class FeatureInfo:
    """What a ``FeatureNet`` returns, asked as in timm.

    Args:
        design: Of the net.
        out_indices: 0 for the stem, s for stage s.
    """

    def __init__(self, design: Design, out_indices: Sequence[int]) -> None:
        self.out_indices = tuple(out_indices)
        self._channels = (design.stem_widths[-1], *design.channels)
        self._reductions = (design.stem_stride, *design.reductions[1:])

    def channels(self) -> list[int]:
        """Channels of each map."""
        return [self._channels[index] for index in self.out_indices]

    def reduction(self) -> list[int]:
        """Input pixels to a pixel of each map."""
        return [self._reductions[index] for index in self.out_indices]


class FeatureNet(Backbone):
    """A net without a classifier that returns maps, for detectors and the like.

    Args:
        design: What is built; stages beyond the last map are left away.
        in_chans: Channels of the images.
        out_indices: Which maps, in order: 0 the stem's, before its pool, s that of stage s; None: all.

    Attributes:
        feature_info: Channels and reductions of the maps.

    Raises:
        UsageError: There is no such map.
    """

    def __init__(self, design: Design, in_chans: int = 3, out_indices: Sequence[int] | None = None) -> None:
        super().__init__(design, in_chans)
        stages = len(design.depths)
        wanted = range(stages + 1) if out_indices is None else out_indices
        if not wanted or any(index not in range(stages + 1) for index in wanted):
            raise UsageError(f"out_indices are of 0 (the stem) to {stages} (the last stage), not {tuple(wanted)}.")
        self.feature_info = FeatureInfo(design, wanted)
        for number in range(max(wanted) + 1, stages + 1):
            delattr(self, f"layer{number}")
        if design.preactivation and max(wanted) < stages:
            del self.norm
        self._initialise()

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """The maps of ``feature_info``, of images [B, in_chans, H, W]."""
        maps = self._maps(images_BCHW)
        return [maps[index] for index in self.feature_info.out_indices]


def build(design: Design, *, num_classes: int = 1000, in_chans: int = 3) -> ResidualNet:
    """A freshly initialised net; random numbers come from torch's current generator.

    Raises:
        UsageError: There is no class or no input channel.
    """
    return ResidualNet(design, num_classes, in_chans)


def new_classifier(features: int, num_classes: int) -> nn.Linear:
    """A fresh linear layer from pooled vectors [B, features] to logits [B, num_classes].

    Raises:
        UsageError: There is no class.
    """
    if num_classes < 1:
        raise UsageError(f"A net has at least 1 class, not {num_classes}; its method embed needs no class.")
    return nn.Linear(features, num_classes)
