"""Annotated pictures read by threads: the same as shown one by one, for any number of threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tagwise.base.errors import DataRefused
from tagwise.base.views import View
from tagwise.localise.annotations import IGNORE, AnnotatedPicture, MappedPicture
from tagwise.localise.feeding import LocatedBatch, LocatedPictures, detection_inputs, map_inputs
from tagwise.localise.shown import Sample, shown
from tagwise.pixels.augment import picture_seed
from tagwise.pixels.batches import Request
from tagwise.pixels.place import Place
from tagwise.training.heads import Sizing
from tests.localise.discs import CATEGORIES, annotated, mapped, write

SIZING = Sizing(shorter=(30, 60), drawn="range", longest=90)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[AnnotatedPicture]:
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.Generator(np.random.PCG64(0))
    made = []
    for number in range(12):
        picture, image_HWC = annotated(random, height=48 + number, width=64, count=number % 4)
        made.append(replace(picture, place=Place(write(image_HWC, folder / f"{number}.png"))))
    return made


@pytest.fixture
def maps(tmp_path: Path) -> list[MappedPicture]:
    random = np.random.Generator(np.random.PCG64(0))
    made = []
    for number in range(6):
        picture, image_HWC = mapped(random.integers(0, 3, (40, 50 + number), np.uint8))
        made.append(replace(picture, place=Place(write(image_HWC, tmp_path / f"{number}.png"))))
    return made


def fed(pictures: list[AnnotatedPicture] | list[MappedPicture], **settings: object) -> LocatedPictures:
    usual = {"pictures": pictures, "sizing": SIZING, "seed": 3, "workers": 2, "categories": CATEGORIES}
    return LocatedPictures(**{**usual, **settings})  # type: ignore[arg-type]


def requests(batches: int, batch: int = 4, count: int = 12) -> list[Request]:
    rows = np.random.Generator(np.random.PCG64(1)).integers(0, count, (batches, batch))
    return [Request(rows=row, numbers=batch * step + np.arange(batch)) for step, row in enumerate(rows)]


def assert_same(first: Sample, second: Sample) -> None:
    assert torch.equal(first.image_CHW, second.image_CHW)
    assert torch.equal(first.boxes_N4, second.boxes_N4)
    assert torch.equal(first.labels_N, second.labels_N)
    for one, other in (
        (first.masks_NHW, second.masks_NHW),
        (first.keypoints_NK3, second.keypoints_NK3),
        (first.map_HW, second.map_HW),
    ):
        assert (one is None and other is None) or (one is not None and other is not None and torch.equal(one, other))


@pytest.mark.parametrize(("workers", "cache_bytes"), [(1, 0), (3, 0), (3, 2**30), (2, 30_000)])
def test_l15_batches_are_the_same_for_any_number_of_threads(
    pictures: list[AnnotatedPicture], workers: int, cache_bytes: int
) -> None:
    located = fed(pictures, workers=workers, cache_bytes=cache_bytes, masks=True, keypoints=True)
    wanted = requests(9)
    found = list(located.batches(wanted))
    assert len(found) == 9
    for request, batch in zip(wanted, found, strict=True):
        assert batch.rows.tolist() == request.rows.tolist()
        for row, number, sample in zip(request.rows, request.numbers, batch.samples, strict=True):
            pixels_HWC = np.array(Image.open(pictures[row].place.path))
            seed = picture_seed(3, int(number))
            expected = shown(pictures[row], pixels_HWC, SIZING, seed, masks=True, keypoints=True, categories=CATEGORIES)
            assert_same(sample, expected)


def test_a_run_that_goes_on_in_the_middle_gets_the_same_batches(pictures: list[AnnotatedPicture]) -> None:
    wanted = requests(6)
    whole, rest = list(fed(pictures).batches(wanted)), list(fed(pictures).batches(wanted[4:]))
    for one, other in zip(whole[4:], rest, strict=True):
        for first, second in zip(one.samples, other.samples, strict=True):
            assert_same(first, second)


def test_ids_count_objects_and_classes(pictures: list[AnnotatedPicture], maps: list[MappedPicture]) -> None:
    (batch,) = fed(pictures, seed=None).batches([Request(rows=np.array([1, 0, 3]), numbers=np.arange(3))])
    assert batch.ids.tolist() == [*pictures[1].categories_N, *pictures[3].categories_N]
    (of_maps,) = fed(maps, seed=None).batches([Request(rows=np.array([0, 1]), numbers=np.arange(2))])
    assert of_maps.ids.tolist() == [0, 1, 2, 0, 1, 2]


def test_decoded_pictures_stay_in_memory_up_to_a_limit(maps: list[MappedPicture]) -> None:
    calls: list[int] = []

    def counted(number: int) -> MappedPicture:
        def read_map() -> NDArray[np.uint8]:
            calls.append(number)
            return maps[number].read_map()

        return replace(maps[number], read_map=read_map)

    watched = [counted(number) for number in range(len(maps))]
    everything = [Request(rows=np.arange(6), numbers=np.arange(6))]
    small, large = fed(watched, cache_bytes=4 * 40 * (50 + 51)), fed(watched)
    for located, times in ((small, 2 + 2 * 4), (large, 6)):
        calls.clear()
        located.workers = 1
        for _ in range(2):
            list(located.batches(everything))
        assert len(calls) == times


def test_a_picture_that_cannot_be_read_is_left_out_and_named(
    pictures: list[AnnotatedPicture], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = [*pictures]
    broken[2] = replace(pictures[2], place=Place("nowhere/gone.png"))
    located = fed(broken)
    asked = [Request(rows=np.array([1, 2, 3]), numbers=np.arange(3)), Request(rows=np.array([2]), numbers=np.arange(1))]
    first, second = located.batches(asked)
    assert first.rows.tolist() == [1, 3]
    assert len(first.samples) == 2
    assert second.rows.tolist() == second.samples == second.ids.tolist() == []
    assert located.left_out == {2}
    assert capsys.readouterr().err == "nowhere/gone.png is left out of the training: there is no such file.\n"


def test_a_picture_that_was_exchanged_for_one_of_another_size_is_left_out(
    pictures: list[AnnotatedPicture], capsys: pytest.CaptureFixture[str]
) -> None:
    exchanged = [replace(pictures[0], place=pictures[1].place), *pictures[1:]]
    (batch,) = fed(exchanged).batches([Request(rows=np.array([0, 1]), numbers=np.arange(2))])
    assert batch.rows.tolist() == [1]
    assert "it has 64 x 49 pixels, and what is known of it is for 64 x 48" in capsys.readouterr().err


def test_too_many_pictures_that_cannot_be_read_stop_the_training(pictures: list[AnnotatedPicture]) -> None:
    gone = [replace(picture, place=Place(f"gone/{number}.png")) for number, picture in enumerate(pictures)]
    with pytest.raises(DataRefused, match="2 of 12 pictures can no longer be read; tagwise check says"):
        list(fed(gone).batches(requests(3)))
    assert_no_threads()


def test_no_thread_is_left_when_the_training_stops_early(pictures: list[AnnotatedPicture]) -> None:
    endless: Iterator[Request] = (request for request in repeat(requests(1)[0]))
    with closing(fed(pictures).batches(endless)) as batches:
        next(batches)
    assert_no_threads()


def assert_no_threads() -> None:
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("pictures")] == []


def test_an_object_without_a_mask_stops_a_training_on_masks(pictures: list[AnnotatedPicture]) -> None:
    bare = [replace(picture, masks=(None,) * len(picture.masks)) for picture in pictures]
    with pytest.raises(DataRefused, match="has a box and no mask"):
        list(fed(bare, masks=True, seed=None).batches(requests(3)))


def test_detectors_get_pictures_and_targets_in_torchvisions_form(pictures: list[AnnotatedPicture]) -> None:
    (batch,) = fed(pictures, masks=True, keypoints=True, seed=None).batches(
        [Request(rows=np.array([2, 0]), numbers=np.arange(2))]
    )
    images, targets = detection_inputs(batch, CPU)
    assert torch.equal(images[0], batch.samples[0].image_CHW / 255)
    assert [image.dtype for image in images] == [torch.float32] * 2
    told = [{name: (values.dtype, tuple(values.shape)) for name, values in target.items()} for target in targets]
    for target, picture in zip(told, (pictures[2], pictures[0]), strict=True):
        count = len(picture.ids)
        assert target == {
            "boxes": (torch.float32, (count, 4)),
            "labels": (torch.int64, (count,)),
            "masks": (torch.uint8, (count, picture.height, picture.width)),
            "keypoints": (torch.float32, (count, 3, 3)),
        }


def test_segmenters_get_normalised_pictures_filled_up_to_the_largest(maps: list[MappedPicture]) -> None:
    view = View(resolution=32, resize=32, mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.5))
    (batch,) = fed(maps, seed=None).batches([Request(rows=np.array([0, 3]), numbers=np.arange(2))])
    images_BCHW, maps_BHW = map_inputs(batch, CPU, view)
    assert images_BCHW.shape == (2, 3, 40, 53)
    assert maps_BHW.dtype == torch.int64
    assert maps_BHW[0, :, :50].tolist() == maps[0].read_map().tolist()
    assert (maps_BHW[0, :, 50:] == IGNORE).all()
    assert maps_BHW[1].tolist() == maps[3].read_map().tolist()
    mean, std = torch.tensor(view.mean).view(3, 1, 1), torch.tensor(view.std).view(3, 1, 1)
    torch.testing.assert_close(images_BCHW[1], (batch.samples[1].image_CHW / 255 - mean) / std, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(images_BCHW[0, :, :, 50:], torch.zeros(3, 40, 3), rtol=0, atol=1e-5)
    empty = LocatedBatch(samples=[], rows=np.zeros(0, np.int64))
    assert [tuple(values.shape) for values in map_inputs(empty, CPU, view)] == [(0, 3, 0, 0), (0, 0, 0)]
