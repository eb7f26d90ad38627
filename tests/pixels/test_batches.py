"""Batches: the rows asked for with their labels, as a loop would gather them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tagwise.pixels.batches import LabelledPictures
from tests.references.sampling import flat

pictures = st.lists(st.lists(st.integers(0, 9), max_size=4, unique=True), min_size=1, max_size=12)


@given(pictures, st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_a_batch_is_what_a_loop_gathers(labels: list[list[int]], asked: list[int]) -> None:
    """Rows in any order, some twice, some without labels."""
    ids, offsets = flat(labels)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4, 3), dtype=np.uint8)
    rows = np.array(asked) % len(labels)
    batch = LabelledPictures(images_NHWC=images, ids=ids, offsets=offsets).batch(rows)
    found = [
        batch.ids[first:last].tolist()
        for first, last in zip(batch.offsets[:-1].tolist(), batch.offsets[1:].tolist(), strict=True)
    ]
    assert found == [labels[row] for row in rows]
    assert np.array_equal(batch.images_BHWC.numpy(), images[rows])
    assert (batch.ids.dtype, batch.offsets.dtype, batch.images_BHWC.dtype) == (torch.int64, torch.int64, torch.uint8)


def test_packed_pictures_are_read_from_disk_and_never_written(tmp_path: Path) -> None:
    np.save(tmp_path / "pixels.npy", np.full((3, 2, 2, 3), 7, np.uint8))
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    batch = LabelledPictures.of_classes(mapped, np.array([2, 0, 1])).batch(np.array([1, 2]))
    batch.images_BHWC.add_(1)
    assert np.unique(batch.images_BHWC.numpy()).tolist() == [8]
    assert np.unique(np.load(tmp_path / "pixels.npy")).tolist() == [7]


def test_pictures_of_classes_hold_one_label_each() -> None:
    truth = np.array([3, 1, 2])
    batch = LabelledPictures.of_classes(np.zeros((3, 2, 2, 3), np.uint8), truth).batch(np.array([2, 0]))
    assert batch.ids.tolist() == [2, 3]
    assert batch.offsets.tolist() == [0, 1, 2]


def test_a_batch_moves_to_a_device_whole() -> None:
    moved = LabelledPictures.of_classes(np.zeros((3, 2, 2, 3), np.uint8), np.arange(3)).batch(np.arange(2))
    moved = moved.to(torch.device("meta"))
    assert {tensor.device.type for tensor in (moved.images_BHWC, moved.ids, moved.offsets)} == {"meta"}
