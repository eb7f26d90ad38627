"""The drawn corpus and target as files, as a person's export would look."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagwise.base import files, rng
from tagwise.base.progress import progress
from tagwise.corpus.drawn.pictures import draw_pictures
from tagwise.corpus.drawn.scenes import draw_scenes, draw_target, target_classes
from tagwise.corpus.drawn.tags import SPELLINGS, write_tags


def write_corpus(folder: Path, *, pictures: int, seed: int) -> Path:
    """Draws ``pictures`` tagged pictures into ``folder`` as a person's export would look.

    Returns:
        The table ``folder/pictures.csv`` with the columns picture, tags, owner.
    """
    generator = rng.stream(seed, "drawn", "corpus")
    scenes = draw_scenes(pictures, generator)
    tags = write_tags(scenes, generator)
    owners = generator.zipf(1.6, pictures) % 997
    names = [f"pictures/{index // 1000:03d}/{index:06d}.jpg" for index in range(pictures)]
    _save([folder / name for name in names], draw_pictures(scenes, generator), "drawing the tagged pictures")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["picture", "tags", "owner"])
    for name, written, owner in zip(names, tags, owners, strict=True):
        writer.writerow([name, "; ".join(written), f"user{owner}"])
    files.write_text(folder / "pictures.csv", text.getvalue())
    return folder / "pictures.csv"


def write_target(folder: Path, *, train_per_class: int, test_per_class: int, seed: int) -> Path:
    """Draws the labelled target as class folders below ``train`` and ``test``.

    Returns:
        ``folder``.
    """
    for split, per_class in (("train", train_per_class), ("test", test_per_class)):
        generator = rng.stream(seed, "drawn", "target", split)
        scenes, classes = draw_target(per_class, generator)
        names = [f"{texture} {shape}" for shape, texture in target_classes()]
        paths = [folder / split / names[kind] / f"{index:05d}.jpg" for index, kind in enumerate(classes)]
        _save(paths, draw_pictures(scenes, generator), f"drawing the target's {split} pictures")
    return folder


def write_aliases(path: Path) -> Path:
    """The merges that a person would write down after a look at the list of tags."""
    lines = [f"{other}\t{first}" for first, *others in SPELLINGS.values() for other in others]
    files.write_text(path, "".join(f"{line}\n" for line in lines))
    return path


def _save(paths: list[Path], pictures: NDArray[np.uint8], what: str) -> None:
    from PIL import Image

    for folder in {path.parent for path in paths}:
        folder.mkdir(parents=True, exist_ok=True)
    with progress(what, len(paths)) as ticker:
        for path, picture in zip(paths, pictures, strict=True):
            Image.fromarray(picture).save(path, quality=92)
            ticker.advance()


def write_new(folder: Path, *, count: int, seed: int) -> list[Path]:
    """Draws pictures that are in no corpus and no target, for the tagger."""
    generator = rng.stream(seed, "drawn", "new")
    paths = [folder / f"new{index}.jpg" for index in range(count)]
    _save(paths, draw_pictures(draw_scenes(count, generator), generator), "drawing new pictures")
    return paths
