"""Plain arrays in, tensors out: whole batches at once, never picture by picture."""

from __future__ import annotations

from collections.abc import Generator, Iterable
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
class Request:
    """Which pictures a step wants."""

    rows: NDArray[np.int64]
    """A row may come twice."""
    numbers: NDArray[np.int64]
    """What varies each of them: its position in the endless order of pictures."""


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
        return label_batch(torch.from_numpy(self.images_NHWC[rows]), self.ids, self.offsets, rows)

    def batches(self, requests: Iterable[Request]) -> Generator[Batch]:
        """The asked batches, one after the other."""
        return (self.batch(request.rows) for request in requests)


def label_batch(
    images_BHWC: Tensor, ids: NDArray[np.int32], offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> Batch:
    """Pictures with the labels of their rows.

    Args:
        images_BHWC: uint8, a picture for each of the rows.
        ids: Label ids of all pictures of the corpus, one after the other.
        offsets: Where each picture's ids begin; one more than pictures.
        rows: The pictures' rows.
    """
    sizes = offsets[rows + 1] - offsets[rows]
    ends = np.concatenate([[0], np.cumsum(sizes)])
    within = np.arange(ends[-1]) - np.repeat(ends[:-1], sizes)
    found = ids[np.repeat(offsets[rows], sizes) + within]
    return Batch(images_BHWC=images_BHWC, ids=torch.from_numpy(found.astype(np.int64)), offsets=torch.from_numpy(ends))
