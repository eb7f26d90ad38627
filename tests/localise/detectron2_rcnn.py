"""A Cascade Mask R-CNN under detectron2's names, written as its files in detectron2/modeling say it computes.

``backbone/fpn.py``, ``proposal_generator/rpn.py``, ``roi_heads/{box_head,fast_rcnn,mask_head,cascade_rcnn}.py`` of
zhanghang1989/detectron2-ResNeSt; a convolution holds its norm as ``norm`` (``layers/wrappers.py``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv(nn.Conv2d):
    """A convolution with a norm inside, without a bias then."""

    def __init__(self, in_channels: int, channels: int, kernel: int, *, norm: bool) -> None:
        super().__init__(in_channels, channels, kernel, padding=kernel // 2, bias=not norm)
        self.norm = nn.BatchNorm2d(channels) if norm else None

    def forward(self, maps: Tensor) -> Tensor:
        maps = super().forward(maps)
        return maps if self.norm is None else self.norm(maps)


class FPN(nn.Module):
    def __init__(self, channels: list[int], width: int, norm: bool) -> None:
        super().__init__()
        self.levels = range(2, 2 + len(channels))
        for level, into in zip(self.levels, channels, strict=True):
            self.add_module(f"fpn_lateral{level}", Conv(into, width, 1, norm=norm))
            self.add_module(f"fpn_output{level}", Conv(width, width, 3, norm=norm))

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        results: list[Tensor] = []
        above = None
        for level, stage in zip(reversed(self.levels), reversed(stages), strict=True):
            lateral = self.get_submodule(f"fpn_lateral{level}")(stage)
            above = lateral if above is None else lateral + F.interpolate(above, scale_factor=2, mode="nearest")
            results.insert(0, self.get_submodule(f"fpn_output{level}")(above))
        return [*results, F.max_pool2d(results[-1], 1, 2)]


class RPNHead(nn.Module):
    def __init__(self, width: int, anchors: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.objectness_logits = nn.Conv2d(width, anchors, 1)
        self.anchor_deltas = nn.Conv2d(width, 4 * anchors, 1)

    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        hidden = F.relu(self.conv(level))
        return self.objectness_logits(hidden), self.anchor_deltas(hidden)


class BoxHead(nn.Module):
    def __init__(self, width: int, convs: int, out: int, norm: bool) -> None:
        super().__init__()
        self.convs, self.layers, features = convs, 1 if convs else 2, width * 49
        for number in range(1, convs + 1):
            self.add_module(f"conv{number}", Conv(width, width, 3, norm=norm))
        for number in range(1, self.layers + 1):
            self.add_module(f"fc{number}", nn.Linear(features, out))
            features = out

    def forward(self, pooled: Tensor) -> Tensor:
        for number in range(1, self.convs + 1):
            pooled = F.relu(self.get_submodule(f"conv{number}")(pooled))
        pooled = pooled.flatten(1)
        for number in range(1, self.layers + 1):
            pooled = F.relu(self.get_submodule(f"fc{number}")(pooled))
        return pooled


class BoxPredictor(nn.Module):
    """The background is the last class, and has no box."""

    def __init__(self, features: int, classes: int, agnostic: bool) -> None:
        super().__init__()
        self.cls_score = nn.Linear(features, classes + 1)
        self.bbox_pred = nn.Linear(features, 4 if agnostic else 4 * classes)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        return self.cls_score(vectors), self.bbox_pred(vectors)


class MaskHead(nn.Module):
    def __init__(self, width: int, convs: int, classes: int, norm: bool) -> None:
        super().__init__()
        self.convs = convs
        for number in range(1, convs + 1):
            self.add_module(f"mask_fcn{number}", Conv(width, width, 3, norm=norm))
        self.deconv = nn.ConvTranspose2d(width, width, 2, 2)
        self.predictor = nn.Conv2d(width, classes, 1)

    def forward(self, pooled: Tensor) -> Tensor:
        for number in range(1, self.convs + 1):
            pooled = F.relu(self.get_submodule(f"mask_fcn{number}")(pooled))
        return self.predictor(F.relu(self.deconv(pooled)))


class RCNN(nn.Module):
    """All but the backbone's bottom-up net, whose state is given."""

    def __init__(
        self,
        channels: list[int],
        *,
        width: int,
        out: int,
        classes: int,
        convs: int,
        masks: int,
        stages: int,
        norm: bool,
    ) -> None:
        super().__init__()
        self.backbone = FPN(channels, width, norm)
        self.proposal_generator = nn.Module()
        self.proposal_generator.rpn_head = RPNHead(width, 3)
        self.roi_heads = nn.Module()
        heads = [BoxHead(width, convs, out, norm) for _ in range(stages)]
        predictors = [BoxPredictor(out, classes, agnostic=stages > 1) for _ in range(stages)]
        self.roi_heads.box_head = nn.ModuleList(heads) if stages > 1 else heads[0]
        self.roi_heads.box_predictor = nn.ModuleList(predictors) if stages > 1 else predictors[0]
        self.roi_heads.mask_head = MaskHead(width, masks, classes, norm)
        self.boxes = list(zip(heads, predictors, strict=True))

    def anchors(self, sizes: list[float]) -> dict[str, Tensor]:
        """``anchor_generator.py``: sides are not rounded."""
        cells = {}
        for level, size in enumerate(sizes):
            sides = [((size**2 / ratio) ** 0.5, ratio * (size**2 / ratio) ** 0.5) for ratio in (0.5, 1.0, 2.0)]
            cells[f"proposal_generator.anchor_generator.cell_anchors.{level}"] = torch.tensor(
                [[-w / 2, -h / 2, w / 2, h / 2] for w, h in sides]
            )
        return cells
