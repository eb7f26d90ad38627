"""The grammar of the residual family: a ``Design`` becomes a net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex, cast

import torch.nn.functional as F
from torch import Tensor, nn

from tagwise.base.errors import UsageError
from tagwise.nets.backbone import Backbone
from tagwise.nets.design import Design

__all__ = ["Design", "FeatureInfo", "FeatureNet", "ResidualNet", "build", "new_classifier"]


class ResidualNet(Backbone):
    """A net of the residual family; use ``build``.

    Attributes:
        fc: The classifier, a plain linear layer over the pooled vector; the identity of a net without classes.
        num_features: Length of the pooled vector.
    """

    def __init__(self, design: Design, num_classes: int, in_chans: int) -> None:
        super().__init__(design, in_chans)
        self.num_features = design.channels[-1]
        self.fc = new_classifier(self.num_features, num_classes)
        self._initialise()

    @property
    def num_classes(self) -> int:
        """Outputs of the classifier; 0 without one."""
        return int(getattr(self.fc, "out_features", 0))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, in_chans, H, W], H and W at least 32 pixels.

        A net without classes returns the pooled vectors [B, num_features].

        Raises:
            UsageError: One picture in training mode, where attention normalises over the batch.
        """
        return self.forward_head(self.forward_features(images_BCHW))

    def forward_features(self, images_BCHW: Tensor) -> Tensor:
        """The last maps, [B, channels[-1], H / strides[-1], W / strides[-1]] rounded up."""
        return self._maps(images_BCHW)[-1]

    def forward_head(self, maps_BCHW: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits of the last maps, or with ``pre_logits`` the pooled vectors [B, num_features]."""
        pooled_BD = maps_BCHW.mean((2, 3))
        if pre_logits:
            return pooled_BD
        logits_BC: Tensor = self.fc(F.dropout(pooled_BD, self.design.dropout, self.training))
        return logits_BC

    def embed(self, images_BCHW: Tensor) -> Tensor:
        """The pooled vectors [B, num_features] that the classifier reads."""
        return self.forward_head(self.forward_features(images_BCHW), pre_logits=True)

    def features(self, images_BCHW: Tensor) -> list[Tensor]:
        """The maps of every stage, [B, channels[s], H / strides[s], W / strides[s]] rounded up."""
        return self._maps(images_BCHW)[1:]

    def get_classifier(self) -> nn.Linear:
        """``fc``."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str = "avg") -> None:
        """Gives the net a fresh classifier, on the device and of the type of its filters; 0 classes take it away.

        Raises:
            UsageError: There are fewer than 0 classes, or a pool is asked for that is not the mean, ``"avg"``.
        """
        if global_pool != "avg":
            raise UsageError(f"Nets pool their last maps by the mean, 'avg', not {global_pool!r}; leave it away.")
        self.fc = new_classifier(self.num_features, num_classes).to(next(self.parameters()))


class FeatureInfo:
    """What a ``FeatureNet`` returns, asked as in timm.

    ``info[index]`` has ``num_chs``, ``reduction``, ``module`` and ``index`` of the stem (0) or of stage
    ``index``, whether the net returns its maps or not; ``len(info)`` counts them.

    Args:
        design: Of the net.
        out_indices: Of the maps that the net returns.
    """

    def __init__(self, design: Design, out_indices: Sequence[int]) -> None:
        self.out_indices = tuple(out_indices)
        self._levels = [
            {"num_chs": channels, "reduction": reduction, "module": module, "index": index}
            for index, (channels, reduction, module) in enumerate(
                zip(
                    (design.stem_widths[-1], *design.channels),
                    (design.stem_stride, *design.reductions[1:]),
                    _modules(design),
                    strict=True,
                )
            )
        ]

    def channels(self) -> list[int]:
        """Channels of each map."""
        return [self[index]["num_chs"] for index in self.out_indices]

    def reduction(self) -> list[int]:
        """Input pixels to a pixel of each map."""
        return [self[index]["reduction"] for index in self.out_indices]

    def module_name(self) -> list[str]:
        """The module whose output each map is."""
        return [self[index]["module"] for index in self.out_indices]

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._levels[index]

    def __len__(self) -> int:
        return len(self._levels)


class FeatureNet(Backbone):
    """A net without a classifier that returns maps, for detectors and the like.

    Args:
        design: What is built; stages beyond the last map are left away.
        in_chans: Channels of the images.
        out_indices: Which maps, in order: 0 the stem's, before its pool, s that of stage s, -1 the last;
            a single number n for the last n; None for all.

    Attributes:
        feature_info: Channels and reductions of the maps.

    Raises:
        UsageError: There is no such map.
    """

    def __init__(self, design: Design, in_chans: int = 3, out_indices: int | Sequence[int] | None = None) -> None:
        super().__init__(design, in_chans)
        stages = len(design.depths)
        wanted = _wanted(out_indices, stages + 1)
        self.feature_info = FeatureInfo(design, wanted)
        for number in range(max(wanted) + 1, stages + 1):
            delattr(self, f"layer{number}")
        if design.preactivation and max(wanted) < stages:
            del self.norm, self.act
        self._initialise()

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """The maps of ``feature_info``, of images [B, in_chans, H, W]."""
        maps = self._maps(images_BCHW)
        return [maps[index] for index in self.feature_info.out_indices]


def _modules(design: Design) -> list[str]:
    """The modules whose outputs are the maps of the stem and of each stage."""
    stages = [f"layer{number}" for number in range(1, len(design.depths) + 1)]
    return ["conv1", *stages[:-1], "act"] if design.preactivation else ["act1", *stages]


def _wanted(out_indices: int | Sequence[int] | None, levels: int) -> list[int]:
    """The indices counted from the stem on."""
    if out_indices is None:
        return list(range(levels))
    if isinstance(out_indices, int):
        wanted = list(range(levels - out_indices, levels))
    else:
        wanted = [index + levels if index < 0 else index for index in out_indices]
    if not wanted or any(index not in range(levels) for index in wanted):
        raise UsageError(
            f"out_indices are of 0 (the stem) to {levels - 1} (the last stage) or of -1 to {-levels} from the end, "
            f"or the number of last maps, 1 to {levels}; not {out_indices}."
        )
    return wanted


def build(design: Design, *, num_classes: int = 1000, in_chans: int = 3) -> ResidualNet:
    """A freshly initialised net, with 0 classes without a classifier; torch's current generator is drawn from.

    Raises:
        UsageError: There are fewer than 0 classes or no input channel.
    """
    return ResidualNet(design, num_classes, in_chans)


def new_classifier(features: int, num_classes: int) -> nn.Linear:
    """A fresh linear layer from pooled vectors [B, features] to logits [B, num_classes]; for 0 classes the identity.

    Raises:
        UsageError: There are fewer than 0 classes.
    """
    if not isinstance(num_classes, SupportsIndex) or num_classes < 0:
        raise UsageError(f"A net has 1 class or more, or 0 for none, not {num_classes!r}.")
    # Typed as what all nets with classes have; the identity has no weight and no out_features.
    return nn.Linear(features, num_classes) if num_classes else cast("nn.Linear", nn.Identity())
