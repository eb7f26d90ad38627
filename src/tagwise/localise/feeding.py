"""Annotated pictures while a training runs: threads decode and vary them a few batches ahead.

A step on pictures of this size takes far longer than they do to read, so threads suffice; small sets stay decoded.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tagwise.base.views import IMAGENET_MEAN, View
from tagwise.localise.annotations import IGNORE, AnnotatedPicture, Category, MappedPicture
from tagwise.localise.shown import Sample, grey_levels, shown
from tagwise.pixels.augment import normalised, picture_seed
from tagwise.pixels.batches import Request
from tagwise.pixels.decode import decode
from tagwise.pixels.feeding import leave_out
from tagwise.pixels.place import PictureRefused
from tagwise.training.heads import Sizing

AHEAD = 4
"""Pictures that each thread may be ahead of the batch that is wanted."""
CACHE_BYTES = 2**30
"""Of decoded pictures that stay in memory."""

_Opened = tuple[AnnotatedPicture | MappedPicture, NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True, eq=False)
class LocatedBatch:
    """Pictures as they are shown, without those that could not be read; there may be none left."""

    samples: list[Sample]
    rows: NDArray[np.int64]
    """Of the pictures."""

    @property
    def ids(self) -> Tensor:
        """The category of each object, from 0, or the classes of each picture's pixels: int64."""
        return torch.cat([torch.zeros(0, dtype=torch.int64), *(sample.ids for sample in self.samples)])


@dataclass(kw_only=True, eq=False)
class LocatedPictures:
    """Annotated pictures, decoded and varied as they are asked for.

    Batches are the same for any number of threads.

    Args:
        pictures: By row.
        sizing: What is varied of them, and how strongly.
        seed: The run's; None: pictures as they are, in their own sizes.
        workers: Threads.
        masks: Whether the objects' masks are wanted.
        keypoints: Whether their keypoints are wanted.
        categories: Of the objects.
        mean: RGB in 0..1 of what pictures are filled up with.
        cache_bytes: Of decoded pictures and maps that stay in memory; those beyond are decoded each time.
    """

    pictures: Sequence[AnnotatedPicture | MappedPicture]
    sizing: Sizing
    seed: int | None
    workers: int
    masks: bool = False
    keypoints: bool = False
    categories: Sequence[Category] = ()
    mean: tuple[float, float, float] = IMAGENET_MEAN
    cache_bytes: int = CACHE_BYTES
    left_out: set[int] = field(default_factory=set)
    """Rows that could not be read."""
    _cache: dict[int, _Opened] = field(default_factory=dict, init=False, repr=False)
    _cached_bytes: int = field(default=0, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def batches(self, requests: Iterable[Request]) -> Generator[LocatedBatch]:
        """The asked batches in order, without the pictures that cannot be read.

        Raises:
            DataRefused: Too many pictures cannot be read, or an object has no mask where one is wanted.
        """
        asked: deque[tuple[list[int], list[Future[Sample | PictureRefused]]]] = deque()
        threads = ThreadPoolExecutor(self.workers, thread_name_prefix="pictures")
        try:
            for request in requests:
                rows, numbers = request.rows.tolist(), request.numbers.tolist()
                asked.append((rows, list(map(threads.submit, repeat(self._sample), rows, numbers))))
                if (len(asked) - 1) * len(rows) >= AHEAD * self.workers:
                    yield self._batch(*asked.popleft())
            while asked:
                yield self._batch(*asked.popleft())
        finally:
            threads.shutdown(cancel_futures=True)

    def _batch(self, rows: list[int], samples: list[Future[Sample | PictureRefused]]) -> LocatedBatch:
        read: list[tuple[int, Sample]] = []
        for row, future in zip(rows, samples, strict=True):
            sample = future.result()
            if isinstance(sample, PictureRefused):
                places = [picture.place for picture in self.pictures]
                leave_out(row, sample.reason, places, self.left_out, "tagwise check says what is wrong with them")
            elif row not in self.left_out:
                read.append((row, sample))
        return LocatedBatch(
            samples=[sample for _, sample in read], rows=np.array([row for row, _ in read], dtype=np.int64)
        )

    def _sample(self, row: int, number: int) -> Sample | PictureRefused:
        """What a thread does."""
        try:
            picture, image_HWC = self._opened(row)
            return shown(
                picture,
                image_HWC,
                self.sizing,
                None if self.seed is None else picture_seed(self.seed, number),
                masks=self.masks,
                keypoints=self.keypoints,
                categories=self.categories,
                mean=self.mean,
            )
        except PictureRefused as refusal:
            return refusal

    def _opened(self, row: int) -> _Opened:
        """A picture with its pixels; a map, where it has one, is in memory then."""
        if row in self._cache:
            return self._cache[row]
        picture = self.pictures[row]
        image_HWC = decode(picture.place).pixels_HWC
        size = image_HWC.nbytes
        if isinstance(picture, MappedPicture):
            map_HW = picture.read_map()
            picture = replace(picture, read_map=lambda: map_HW)
            size += map_HW.nbytes
        with self._lock:
            if row not in self._cache and self._cached_bytes + size <= self.cache_bytes:
                self._cache[row] = picture, image_HWC
                self._cached_bytes += size
        return picture, image_HWC


def detection_inputs(batch: LocatedBatch, device: torch.device) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Pictures and targets as torchvision's detectors take them, which normalise by themselves.

    Returns:
        float32 [3, H, W] in 0..1 each, and with each of them boxes float32 [N, 4], labels int64 [N] from 1, and
        where they were asked for masks uint8 [N, H, W] and keypoints float32 [N, K, 3].
    """
    images = [sample.image_CHW.to(device, non_blocking=True).float() / 255 for sample in batch.samples]
    return images, [_target(sample, device) for sample in batch.samples]


def map_inputs(batch: LocatedBatch, device: torch.device, view: View) -> tuple[Tensor, Tensor]:
    """Pictures and maps as segmenters take them, filled up to the largest.

    Returns:
        float32 [B, 3, H, W], normalised by the view, and int64 [B, H, W] with ``IGNORE`` where they were filled up;
        both empty where no picture could be read.
    """
    sizes = [sample.image_CHW.shape[1:] for sample in batch.samples]
    height, width = (max((size[side] for size in sizes), default=0) for side in (0, 1))
    images_BHWC = grey_levels(view.mean).expand(len(sizes), height, width, 3).clone()
    maps_BHW = torch.full((len(sizes), height, width), IGNORE, dtype=torch.uint8)
    for sample, image_HWC, map_HW in zip(batch.samples, images_BHWC, maps_BHW, strict=True):
        assert sample.map_HW is not None
        down, across = sample.map_HW.shape
        image_HWC[:down, :across] = sample.image_CHW.permute(1, 2, 0)
        map_HW[:down, :across] = sample.map_HW
    images_BCHW = images_BHWC.to(device, non_blocking=True).permute(0, 3, 1, 2).float()
    return normalised(images_BCHW, view), maps_BHW.to(device, non_blocking=True).long()


def _target(sample: Sample, device: torch.device) -> dict[str, Tensor]:
    target = {"boxes": sample.boxes_N4, "labels": sample.labels_N}
    if sample.masks_NHW is not None:
        target["masks"] = sample.masks_NHW
    if sample.keypoints_NK3 is not None:
        target["keypoints"] = sample.keypoints_NK3
    return {name: values.to(device, non_blocking=True) for name, values in target.items()}
