"""How fast pictures become batches, beside the roads that others take, in turn on drawn JPEGs.

Three things are measured: pictures decoded, cropped and mirrored one by one, by the processor's seconds of one thread;
batches of crops from two worker processes, by the wall clock; and batches of tiny pictures, which we have packed and
others have in files.

    python -m bench.feeding

The exit code is 1 if what comes out is not the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from bench.record import of_rounds, write_record
from bench.training_docs import FEED_TARGETS
from tagwise.base import rng
from tagwise.base.views import IMAGENET_MEAN, IMAGENET_STD, View
from tagwise.pixels.augment import Augment, augmented, draw_numbers, normalised, picture_seed
from tagwise.pixels.batches import LabelledPictures, Request
from tagwise.pixels.crops import CropReader
from tagwise.pixels.feeding import AHEAD, FilePictures
from tagwise.pixels.place import Place

SEED = 0
WORKERS = 2
CROPS, CROP_BATCH = View(resolution=224, resize=256), 32
TINY, TINY_BATCH, TINY_PAD = View(resolution=64, resize=64), 128, 8
VARIED = Augment(smallest_area_fraction=0.08)
PADDED = Augment(smallest_area_fraction=1, aspect=1, pad=TINY_PAD)
MEAN_COLOUR = tuple(round(255 * value) for value in IMAGENET_MEAN)
SAME_MEAN = 0.05
"""By which the means of normalised pictures of two roads may differ; their crops are drawn apart."""

Cropped = Callable[[str, int], NDArray[np.uint8]]
"""A file and a number that varies the picture, to uint8 [side, side, 3]."""


def draw_photos(folder: Path, count: int, width: int, height: int) -> list[str]:
    """Noise of all scales and shapes before it, as JPEGs of quality 90 and halved colours; returns the files."""
    folder.mkdir(parents=True)
    draw = rng.stream(SEED, "photos", width, height)
    paths = [folder / f"{number:05d}.jpg" for number in range(count)]
    for path in paths:
        _photo(draw, width, height).save(path, quality=90, subsampling="4:2:0")
    return [str(path) for path in paths]


def _photo(draw: Generator, width: int, height: int) -> Image.Image:
    pixels_HWC = np.full((height, width, 3), 128, np.float32)
    side = 4
    while side <= max(width, height):
        noise = Image.fromarray(draw.integers(0, 256, (side, side, 3), np.uint8))
        octave = np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), np.float32)
        pixels_HWC += (octave - 128) * min(1.0, 4 / side) ** 0.4
        side *= 2
    image = Image.fromarray(pixels_HWC.clip(0, 255).astype(np.uint8))
    for _ in range(6):
        left, right = sorted(draw.integers(0, width, 2).tolist())
        top, bottom = sorted(draw.integers(0, height, 2).tolist())
        colour = tuple(draw.integers(0, 256, 3).tolist())
        ImageDraw.Draw(image).ellipse((left, top, right, bottom), outline=colour, width=max(1, width // 100))
    return image


def our_crop(path: str, number: int) -> NDArray[np.uint8]:
    """As worker processes of a training read a picture."""
    return _READER(Place(path), number)


_READER = CropReader(augment=VARIED, view=CROPS, seed=SEED)


def pillow_crop(path: str, number: int) -> NDArray[np.uint8]:
    """As torchvision's ImageFolder does with its usual transforms; the boxes are those of ``our_crop``."""
    torch.default_generator.manual_seed(picture_seed(SEED, number))  # torch.manual_seed takes a tenth of a millisecond
    with Image.open(path) as image:
        return np.asarray(_PILLOW(image.convert("RGB")))


_PILLOW = v2.Compose([v2.RandomResizedCrop(CROPS.resolution), v2.RandomHorizontalFlip()])


def timm_crop() -> Cropped:
    """As timm's loader does; its boxes come from Python's random numbers."""
    transform = _timm_transform()

    def crop(path: str, _: int) -> NDArray[np.uint8]:
        with Image.open(path) as image:
            return np.asarray(transform(image.convert("RGB"))).transpose(1, 2, 0)

    return crop


def _timm_transform() -> Any:
    from timm.data.transforms_factory import create_transform

    return create_transform(
        CROPS.resolution,
        is_training=True,
        use_prefetcher=True,
        color_jitter=None,  # type: ignore[arg-type]
        interpolation="bilinear",
    )


def measure_crops(paths: list[str], rounds: int) -> dict[str, Any]:
    """Pictures a second of one thread's processor time, and how far ours are from Pillow's."""
    roads: dict[str, Cropped] = {"ours": our_crop, "torchvision on Pillow": pillow_crop, "timm": timm_crop()}
    rates: dict[str, list[float]] = {name: [] for name in roads}
    for number in range(rounds + 1):
        for name, crop in roads.items():
            began = time.process_time()
            for at, path in enumerate(paths):
                crop(path, number * len(paths) + at)
            if number:  # the first fills caches
                rates[name].append(len(paths) / (time.process_time() - began))
    pairs = ((our_crop(path, at), pillow_crop(path, at)) for at, path in enumerate(paths))
    off = np.mean([np.abs(ours.astype(float) - theirs).mean() for ours, theirs in pairs])
    return {**_against(rates), "grey_levels_off": float(off)}


def our_crops(paths: list[str]) -> Iterator[Tensor]:
    """Batches from our worker processes, normalised here."""
    count = len(paths)
    places, classes = [Place(path) for path in paths], np.zeros(count, np.int32)
    pictures = FilePictures(
        places=places, ids=classes, offsets=np.arange(count + 1), read=_READER, side=CROPS.resolution, workers=WORKERS
    )
    for batch in pictures.batches(_requests(count, CROP_BATCH)):
        yield normalised(batch.images_BHWC.permute(0, 3, 1, 2).float(), CROPS)


def _requests(count: int, batch: int) -> Iterator[Request]:
    order = rng.stream(SEED, "order").permutation(count)
    for first in range(0, count, batch):
        rows = order[first : first + batch]
        yield Request(rows=rows, numbers=rows)


def torchvision_batches(folder: Path, batch: int, first: v2.Transform) -> Iterator[Tensor]:
    """As torchvision's references feed a training: files through Pillow, item by item in workers."""
    to_tensor = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    dataset = ImageFolder(str(folder), v2.Compose([first, v2.RandomHorizontalFlip(), *to_tensor]))
    return (images for images, _ in DataLoader(dataset, batch, shuffle=True, num_workers=WORKERS))


def timm_crops(folder: Path) -> Iterator[Tensor]:
    """timm's loader, without its prefetching to a GPU."""
    from timm.data.loader import create_loader

    loader = create_loader(
        ImageFolder(str(folder)),
        (3, CROPS.resolution, CROPS.resolution),
        CROP_BATCH,
        is_training=True,
        use_prefetcher=False,
        color_jitter=None,  # type: ignore[arg-type]
        interpolation="bilinear",
        num_workers=WORKERS,
        persistent_workers=False,
        pin_memory=False,
    )
    return (images for images, _ in loader)


def our_tiny(packed_NHWC: NDArray[np.uint8]) -> Iterator[Tensor]:
    """Batches of packed pictures, varied whole in this process."""
    pictures = LabelledPictures.of_classes(packed_NHWC, np.zeros(len(packed_NHWC), np.int64))
    for step, request in enumerate(_requests(len(packed_NHWC), TINY_BATCH)):
        batch = pictures.batch(request.rows)
        numbers = draw_numbers(SEED, step, len(request.rows))
        yield augmented(batch.images_BHWC, numbers, PADDED, TINY)


def measure_batches(roads: dict[str, Callable[[], Iterator[Tensor]]], rounds: int) -> dict[str, Any]:
    """Pictures a second by the wall clock, behind the batches that workers have ready at first.

    Taking a picture's mean is the net's part in it: what workers do meanwhile is not for nothing.
    """
    rates: dict[str, list[float]] = {name: [] for name in roads}
    means: dict[str, float] = {}
    for _ in range(rounds):
        for name, open_road in roads.items():
            rate, means[name] = _drained(open_road())
            rates[name].append(rate)
    return {**_against(rates), "means": means}


def _drained(batches: Iterator[Tensor]) -> tuple[float, float]:
    for _ in range(AHEAD * WORKERS):
        next(batches)
    seconds, pictures, total = 0.0, 0, 0.0
    began = time.perf_counter()
    for images_BCHW in batches:
        pictures += len(images_BCHW)
        total += float(images_BCHW.mean()) * len(images_BCHW)
        seconds = time.perf_counter() - began  # up to the last batch: workers take their time to go
    return pictures / seconds, total / pictures


def _against(rates: dict[str, list[float]]) -> dict[str, Any]:
    """The rates, and by round how many times as fast the first road is as each other."""
    ours, *others = rates
    return {
        "pictures_per_second": {name: of_rounds(values) for name, values in rates.items()},
        "speed_over": {
            name: of_rounds([own / other for own, other in zip(rates[ours], rates[name], strict=True)])
            for name in others
        },
    }


def main() -> None:
    """Draws, measures and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--photos", type=int, default=768, help="of 500 x 375 pixels")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        results = {"rounds": arguments.rounds, **measure(Path(name), arguments.rounds, arguments.photos)}
    print(
        write_record("feeding", results, packages=("tagwise", "torch", "torchvision", "timm", "pillow", "simplejpeg"))
    )
    unlike = unlike_rows(results)
    for row in unlike:
        print(f"{row}: what comes out is not the same")
    sys.exit(bool(unlike))


def unlike_rows(results: dict[str, Any]) -> list[str]:
    """The rows whose roads do not give the same pictures."""

    def unlike(row: str, most_levels: float | None) -> bool:
        if most_levels is not None:
            return bool(results[row]["grey_levels_off"] > most_levels)
        means = results[row]["means"].values()
        return bool(max(means) - min(means) > SAME_MEAN)

    return [row for row, (_, most_levels) in FEED_TARGETS.items() if unlike(row, most_levels)]


def measure(folder: Path, rounds: int, photos: int) -> dict[str, Any]:
    """Every row, by its name."""
    middle = draw_photos(folder / "middle" / "one", photos, 500, 375)
    large = draw_photos(folder / "large" / "one", max(4, photos // 48), 2048, 1536)
    tiny = draw_photos(folder / "tiny" / "one", 8 * photos, TINY.resize, TINY.resize)
    packed_NHWC = np.stack([np.asarray(Image.open(path)) for path in tiny])
    padded = v2.RandomCrop(TINY.resolution, padding=TINY_PAD, fill=MEAN_COLOUR)
    return {
        "decode + crop, 500 x 375": measure_crops(middle[:96], rounds),
        "decode + crop, 2048 x 1536": measure_crops(large, rounds),
        "batches of crops": measure_batches(
            {
                "ours": partial(our_crops, middle),
                "torchvision": partial(
                    torchvision_batches, folder / "middle", CROP_BATCH, v2.RandomResizedCrop(CROPS.resolution)
                ),
                "timm": partial(timm_crops, folder / "middle"),
            },
            rounds,
        ),
        "batches of tiny pictures": measure_batches(
            {
                "ours": partial(our_tiny, packed_NHWC),
                "torchvision": partial(torchvision_batches, folder / "tiny", TINY_BATCH, padded),
            },
            rounds,
        ),
    }


if __name__ == "__main__":
    main()
