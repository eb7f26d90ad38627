"""Maps of classes beside their pictures, and a first look at what each file holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tagwise.base.progress import progress
from tagwise.corpus.pool import map_in_order
from tagwise.localise.annotations import Annotations
from tagwise.localise.pictures import Finder
from tagwise.localise.readers.maps import PICTURE_FOLDERS, key_of
from tagwise.localise.readers.values import read_values
from tagwise.pixels.decode import SUFFIXES
from tagwise.pixels.place import PictureRefused


@dataclass(frozen=True)
class Pair:
    """A map and its picture, either of which may be missing."""

    name: str
    map: Path | None
    picture: Path | None


@dataclass(frozen=True)
class Look:
    """What a map's file holds."""

    counts: Mapping[int, int]
    size: tuple[int, int]
    """Width and height."""
    mode: str
    refusal: str = ""
    digest: str = ""
    """Of the values."""


def pair_beside(folder: Path, files: dict[str, list[Path]], images: Path | None) -> dict[str, list[Pair]]:
    """Pictures below the known folders, at the same place in the tree, else with the only same stem."""
    places = [images] if images else [at / name for at in (folder, folder.parent) for name in PICTURE_FOLDERS]
    root = next((place for place in places if place.is_dir()), None)
    finder = Finder(folder, images)
    by_key: dict[str, list[Path]] = {}
    for picture in sorted(root.rglob("*")) if root else ():
        if picture.suffix.lower() in SUFFIXES:
            by_key.setdefault(key_of(picture), []).append(picture)

    def pair(file: Path) -> Pair:
        there = by_key.get(key_of(file), [])
        inside = file.relative_to(folder).parent
        near = [picture for picture in there if root and picture.relative_to(root).parent == inside] or there
        other = finder.find(f"{key_of(file)}.jpg") if not near else None
        return Pair(file.name, file, near[0] if len(near) == 1 else None if other == file else other)

    return {part: [pair(file) for file in group] for part, group in files.items()}


def pair_listed(files: dict[str, list[Path]], listing: Mapping[str, Annotations]) -> dict[str, list[Pair]]:
    """The listed pictures, by part, with the only map of their stem."""
    by_key: dict[str, list[Path]] = {}
    for file in (file for group in files.values() for file in group):
        by_key.setdefault(key_of(file), []).append(file)
    return {
        part: [
            Pair(picture.name, there[0] if len(there) == 1 else None, Path(picture.place.path))
            for picture in annotations.pictures
            for there in [by_key.get(key_of(Path(picture.name)), [])]
        ]
        for part, annotations in listing.items()
    }


def look_at_all(pairs: list[Pair]) -> list[Look]:
    """What the maps' files hold, in the order of the pairs."""
    looks = []
    with progress("looking at the maps' values", len(pairs), "maps") as ticker:
        for look in map_in_order(lambda pair: _look_at(pair.map), pairs):
            looks.append(look)
            ticker.advance()
    return looks


def _look_at(path: Path | None) -> Look:
    if path is None:
        return Look({}, (0, 0), "")
    try:
        found = read_values(path)
    except PictureRefused as refusal:
        return Look({}, (0, 0), "", refusal.reason)
    values, counts = np.unique(found.values, return_counts=True)
    height, width = found.values.shape
    return Look(
        counts=dict(zip(values.tolist(), counts.tolist(), strict=True)),
        size=(width, height),
        mode=found.mode,
        digest=hashlib.sha256(found.values.tobytes()).hexdigest(),
    )
