"""ImageNet as ILSVRC 2012 handed it out: class folders to learn from, and a flat folder whose classes a list names.

The lists that people have, by their file names; the first that is found is read:

- Kaggle's ``LOC_val_solution.csv``: the first word of a picture's boxes is its synset.
- Caffe's ``val.txt``: a picture's file and its class, counted from 0 over the sorted synsets.
- The devkit's ``ILSVRC2012_validation_ground_truth.txt``: a number for each picture in turn. The numbers are the
  devkit's own (ILSVRC2012_ID, from 1) and follow no order of the synsets; only its ``meta.mat``, or the
  ``map_clsloc.txt`` of later devkits, says what they mean.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable, say
from tagwise.nets.label_sets import synsets
from tagwise.pixels.decode import SUFFIXES
from tagwise.pixels.place import Place

_KAGGLE, _CAFFE = "LOC_val_solution.csv", "val.txt"
_DEVKIT = "ILSVRC2012_validation_ground_truth.txt"
_PREFIX = "ILSVRC2012_val_"
_UNPACKED = Path("ILSVRC", "Data", "CLS-LOC")
"""Where Kaggle's archive has ``train`` and ``val``; its list lies beside ``ILSVRC``."""
_NEAR = ("", "meta", "devkit", "devkit/data", "ILSVRC2012_devkit_t12/data")
"""Where a list may lie, in the folder that holds ``val``."""


def unpacked(path: Path) -> Path:
    """The folder of ``train`` and ``val`` where ``path`` is what Kaggle's archive unpacks to, else ``path``."""
    return path / _UNPACKED if (path / _UNPACKED).is_dir() else path


def find_list(folder: Path) -> Path | None:
    """The list that names the classes of a flat folder of pictures; None for any other folder.

    Raises:
        UsageError: They are ImageNet's validation pictures, and no list is near them.
    """
    pictures = _pictures(folder) if folder.is_dir() else []
    if not pictures:
        return None
    parent = folder.absolute().parent
    near = [folder, *(parent / name for name in _NEAR)]
    if parent.parts[-3:] == _UNPACKED.parts:
        near.append(parent.parents[2])
    found = (place / name for name in (_KAGGLE, _CAFFE, _DEVKIT) for place in near if (place / name).is_file())
    listing = next(found, None)
    if listing is None and pictures[0].startswith(_PREFIX):
        raise UsageError(
            f"{folder} holds validation pictures of ImageNet, and no list near it names their classes; lay Caffe's "
            f"{_CAFFE}, Kaggle's {_KAGGLE}, or the devkit's {_DEVKIT} and meta.mat beside it."
        )
    return listing


def read_listed(folder: Path, listing: Path) -> list[tuple[Place, str]]:
    """The pictures of a flat folder with their classes.

    The classes are those of the folder ``train`` beside it, or ImageNet's 1,000 where there is none.

    Args:
        folder: It holds pictures and no folders.
        listing: From ``find_list``.

    Raises:
        UsageError: Nothing says what the devkit's numbers mean.
        DataRefused: A line names no class, or pictures and lines do not match one by one.
    """
    train = folder.absolute().parent / "train"
    classes = sorted(entry.name for entry in train.iterdir() if entry.is_dir()) if train.is_dir() else sorted(synsets())
    whose = f"classes of {train}" if train.is_dir() else "synsets of ImageNet"
    lines, pictures = _lines(listing), _pictures(folder)
    meaning, how = _meaning(listing, classes)
    times, known = Counter(name for name, _ in lines), set(classes)
    stems = {Path(picture).stem for picture in pictures}
    for strays, what in (
        (
            [f"{word} of {name}" for name, word in lines if meaning.get(word) not in known],
            f"of {len(lines):,} lines of {listing} name none of the {len(known):,} {whose}{how}",
        ),
        ([name for name, count in times.items() if count > 1], f"pictures stand more than once in {listing}"),
        (sorted(stems - times.keys()), f"of {len(pictures):,} pictures of {folder} stand in no line of {listing}"),
        (sorted(times.keys() - stems), f"of {len(lines):,} lines of {listing} name no picture of {folder}"),
    ):
        if strays:
            raise DataRefused(
                f"{len(strays):,} {what}, such as {printable(strays[0])}; give pictures and the list that is theirs."
            )
    say(f"{printable(str(folder))}: the classes of its {len(pictures):,} pictures are those of {listing.name}.")
    class_of = {name: meaning[word] for name, word in lines}
    return [(Place(str(folder / picture)), class_of[Path(picture).stem]) for picture in pictures]


def _pictures(folder: Path) -> list[str]:
    """Names of a flat folder's pictures, sorted; none where folders are in it."""
    with os.scandir(folder) as entries:
        seen = [entry for entry in entries if not entry.name.startswith(".")]
    if any(entry.is_dir() for entry in seen):
        return []
    return sorted(entry.name for entry in seen if Path(entry.name).suffix.lower() in SUFFIXES)


def _lines(listing: Path) -> list[tuple[str, str]]:
    """Each picture's name without its ending, and its class as the list writes it."""
    rows = _text(listing).strip().splitlines()
    if listing.name == _DEVKIT:
        return [(f"{_PREFIX}{number:08d}", row.strip()) for number, row in enumerate(rows, start=1)]
    if listing.name == _KAGGLE:
        cells = [row.replace('"', "").partition(",") for row in rows if row and not row.startswith("ImageId,")]
        return [(name.strip(), boxes.strip().partition(" ")[0]) for name, _, boxes in cells]
    words = [row.split() for row in rows if row.strip()]
    return [(Path(" ".join(row[:-1])).stem, row[-1]) for row in words]


def _meaning(listing: Path, classes: list[str]) -> tuple[dict[str, str], str]:
    """The class that a word of the list stands for, and by what, in words."""
    if listing.name == _KAGGLE:
        return {name: name for name in classes}, ""
    if listing.name == _CAFFE:
        return {str(number): name for number, name in enumerate(classes)}, ", counted from 0"
    meta, table = listing.with_name("meta.mat"), listing.with_name("map_clsloc.txt")
    if meta.is_file():
        return _read_meta(meta), f", numbered as in {meta}"
    if table.is_file():
        rows = [row.split() for row in _text(table).splitlines()]
        return {row[1]: row[0] for row in rows if len(row) > 1}, f", numbered as in {table}"
    raise UsageError(
        f"{listing} has the devkit's own numbers, which follow no order of the synsets, not that of synsets.txt or "
        f"LOC_synset_mapping.txt either; lay the devkit's meta.mat or map_clsloc.txt beside it, or Caffe's {_CAFFE} "
        f"or Kaggle's {_KAGGLE} beside the pictures."
    )


def _read_meta(path: Path) -> dict[str, str]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise UsageError(
            f"{path} needs another package: pip install 'tagwise[imagenet]'; or lay the map_clsloc.txt of a later "
            "devkit beside it."
        ) from error
    try:
        table = loadmat(path, squeeze_me=True)["synsets"]
        return {str(int(number)): str(name) for number, name in zip(table["ILSVRC2012_ID"], table["WNID"], strict=True)}
    except Exception as error:  # of many kinds, with a damaged file
        raise DataRefused(f"{path} cannot be read as a table of synsets: {error}; unpack it anew.") from error


def _text(path: Path) -> str:
    """What is no UTF-8 in it will match no picture and no class."""
    return path.read_text("utf-8-sig", errors="replace")
