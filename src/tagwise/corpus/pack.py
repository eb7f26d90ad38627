"""Pictures decoded and fitted once, packed into one array on disk.

Fetching whole batches from it is 10 to 25 times faster than files through a DataLoader.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tagwise.base.errors import DataRefused
from tagwise.base.files import open_atomically, read_json, remove_abandoned, write_json
from tagwise.base.progress import progress
from tagwise.base.settings import digest as settings_digest
from tagwise.corpus.pool import map_in_order
from tagwise.pixels.arrays import write_header
from tagwise.pixels.decode import decode, fit
from tagwise.pixels.place import PictureRefused, Place
from tagwise.pixels.quiet import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tagwise.base.views import View


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedPictures:
    """Pictures as one array; a refused one is black and not ``ok``."""

    images_NHWC: NDArray[np.uint8]
    """RGB, 0..255, [pictures, resize, resize, 3], read-only and memory-mapped."""
    ok: NDArray[np.bool_]
    """Whether each picture could be read."""
    reasons: dict[int, str]
    """Why not, by position."""


def pack(pictures: Sequence[Place], view: View, folder: Path, *, workers: int | None = None) -> PackedPictures:
    """Decodes and fits pictures, or takes what an earlier call with the same pictures and view left.

    Args:
        pictures: In the order of the array. Another place, size or time of change packs anew.
        view: Only what decides the square counts: ``resize``, ``fit``, ``crop_fraction``, ``interpolation``,
            ``background``, and how its crop rounds.
        folder: Where the array is kept; it is made when it is not there.
        workers: Threads; by default one for each processor.

    Raises:
        DataRefused: There are no pictures.
        TagwiseError: The disk is full or the folder cannot be written.
    """
    if not pictures:
        raise DataRefused("There are no pictures to pack.")
    name = f"pixels-{_digest(pictures, view)}"
    array, facts = folder / f"{name}.npy", folder / f"{name}.json"
    if not (array.is_file() and facts.is_file()):
        remove_abandoned(folder)
        refused = _write(pictures, view, array, workers)
        write_json(facts, {"pictures": len(pictures), "refused": refused})
    reasons = {int(position): str(reason) for position, reason in read_json(facts)["refused"].items()}
    ok = np.ones(len(pictures), np.bool_)
    ok[list(reasons)] = False
    return PackedPictures(images_NHWC=np.load(array, mmap_mode="r"), ok=ok, reasons=reasons)


def fitted(picture: Place, view: View) -> NDArray[np.uint8] | str:
    """A picture as the view's square, RGB 0..255 [resize, resize, 3], or why it cannot be read."""
    try:
        return fit(decode(picture, background=view.background).pixels_HWC, view)
    except PictureRefused as refusal:
        return refusal.reason


def _write(pictures: Sequence[Place], view: View, array: Path, workers: int | None) -> dict[int, str]:
    shape = (view.resize, view.resize, 3)
    refused: dict[int, str] = {}
    with quiet_libraries(), open_atomically(array) as handle, progress("packing", len(pictures)) as ticker:
        write_header(handle, len(pictures), *shape)
        for position, result in enumerate(map_in_order(lambda picture: fitted(picture, view), pictures, workers)):
            if isinstance(result, str):
                refused[position] = result
                result = np.zeros(shape, np.uint8)
            handle.write(result.tobytes())
            ticker.advance()
    return refused


def _digest(pictures: Sequence[Place], view: View) -> str:
    """Of every picture's place, size and time of change, and of the view as far as it decides the square."""
    rounding = (view.resize - view.resolution) % 4  # halves are rounded to even, so margins four apart round alike
    square = replace(view, resolution=view.resize - rounding, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), origin="")
    digest = hashlib.sha256(settings_digest(square).encode())
    for picture in pictures:
        digest.update(f"{picture}\0{picture.stamp()}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]
