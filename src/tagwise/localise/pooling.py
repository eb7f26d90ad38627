"""Regions of a pyramid's maps, each brought to one size (RoIAlign; He et al. 2017, "Mask R-CNN", section 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torchvision
from torch import Tensor, nn
from torchvision.ops import roi_align

from tagwise.base.errors import Diverged

_CANONICAL_SIDE, _CANONICAL_LEVEL = 224, 4
"""A region of the size of ImageNet's pictures belongs to stride 2**4 (Lin et al. 2017, equation 1)."""
_EPSILON = 1e-6
"""Torchvision's, so that a region of just that size goes the same way."""
_SAMPLES = 2
"""Bilinear samples of an output pixel, in each direction."""


class RegionPooling(nn.Module):
    """Pools each region from the level that suits its size.

    Args:
        side: Of the pooled maps.
        strides: Picture pixels to a pixel of the first levels of the pyramid, powers of 2.
        aligned: Sample half a pixel to the upper left, where pixels' centres are (detectron2's ROIAlignV2);
            else as torchvision's ``MultiScaleRoIAlign`` does.
    """

    def __init__(self, side: int, strides: Sequence[int], *, aligned: bool) -> None:
        super().__init__()
        self.side = side
        self.strides = tuple(strides)
        self.aligned = aligned

    def forward(self, maps: Mapping[str, Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Pooled maps [R, C, side, side] of the boxes of all pictures, in their order.

        Args:
            maps: Levels [B, C, H, W], finest first; those beyond the strides are not used.
            boxes: [N, 4] of each picture, x1, y1, x2, y2 in pixels of the padded batch.

        Raises:
            Diverged: A box is not finite, on which torchvision's operator could end the process.
        """
        regions_R5 = _with_pictures(boxes)
        levels_R = self.levels(regions_R5[:, 1:])
        parts, places = [], []
        for level, (stride, map_BCHW) in enumerate(zip(self.strides, maps.values(), strict=False)):
            place = torch.where(levels_R == level)[0]
            # Maps of half precision are widened; coordinates would not survive the contrary.
            kind = torch.promote_types(map_BCHW.dtype, regions_R5.dtype)
            parts.append(
                roi_align(
                    map_BCHW.to(kind),
                    regions_R5[place].to(kind),
                    (self.side, self.side),
                    spatial_scale=1 / stride,
                    sampling_ratio=_SAMPLES,
                    aligned=self.aligned,
                )
            )
            places.append(place)
        # Put together and sorted back, instead of written into place, it can be traced for an export.
        return torch.cat(parts)[torch.cat(places).argsort()]

    def levels(self, boxes_R4: Tensor) -> Tensor:
        """The place of each box's level in ``strides``, [R]."""
        widths, heights = (boxes_R4[:, 2:] - boxes_R4[:, :2]).unbind(1)
        doublings = torch.log2((widths * heights).sqrt() / _CANONICAL_SIDE)
        finest, coarsest = (int(math.log2(stride)) for stride in (self.strides[0], self.strides[-1]))
        levels_R = (_CANONICAL_LEVEL + doublings + _EPSILON).nan_to_num().floor().clamp(finest, coarsest)
        return levels_R.long() - finest


def _with_pictures(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes [R, 5] of all pictures, the number of the picture first."""
    boxes_R4 = torch.cat(list(boxes))
    # Asking a GPU would make it wait, and there the operator only gives what is not finite.
    exported = torchvision._is_tracing() or torch.compiler.is_compiling()
    if boxes_R4.device.type == "cpu" and not exported and not boxes_R4.isfinite().all():
        raise Diverged("A box is no longer finite: the training has diverged; lower --lr, or look for broken weights.")
    pictures = [torch.full_like(found[:, :1], number) for number, found in enumerate(boxes)]
    return torch.cat([torch.cat(pictures), boxes_R4], 1)
