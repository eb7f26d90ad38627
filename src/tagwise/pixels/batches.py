"""Plain arrays in, tensors out: whole batches at once, never picture by picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Pictures and the labels that they hold."""

    images_BHWC: Tensor
    """uint8, RGB."""
    ids: Tensor
    """int64: label ids of all pictures, one after the other."""
    offsets: Tensor
    """int64 [B + 1]: picture b holds ``ids[offsets[b]:offsets[b + 1]]``."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(
            images_BHWC=self.images_BHWC.to(device, non_blocking=True),
            ids=self.ids.to(device, non_blocking=True),
            offsets=self.offsets.to(device, non_blocking=True),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledPictures:
    """Packed pictures with any number of labels each."""

    images_NHWC: NDArray[np.uint8]
    """RGB; may be memory-mapped."""
    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @classmethod
    def of_classes(cls, images_NHWC: NDArray[np.uint8], truth: NDArray[np.integer]) -> LabelledPictures:
        """Pictures with exactly one class each."""
        return cls(images_NHWC=images_NHWC, ids=truth.astype(np.int32), offsets=np.arange(len(truth) + 1))

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """The pictures at ``rows``, in that order; a row may come twice."""
        sizes = self.offsets[rows + 1] - self.offsets[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
        ids = self.ids[np.repeat(self.offsets[rows], sizes) + within]
        return Batch(
            images_BHWC=torch.from_numpy(self.images_NHWC[rows]),
            ids=torch.from_numpy(ids.astype(np.int64)),
            offsets=torch.from_numpy(offsets),
        )
