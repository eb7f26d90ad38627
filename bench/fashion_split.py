"""Shop photos that were never seen: a target of articleType apart from the corpus, near copies left out.

The same product is photographed and sold twice, often under other words. A picture belongs to the target only if no
other of the 20,000 is near it, mirrored or not. Siblings of a series, other things under one name, stay; their share is
counted.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tagwise.base import rng

TYPES = 20
"""The commonest values of articleType, near copies aside, are the classes."""
PER_CLASS = {"train": 50, "test": 50}
SIDE = 16
NEAR = 12.0
"""Root mean square of the difference at 16 x 16 pixels, of 255, below which two pictures count as near."""

Row = dict[str, str]


def split_fashion(data: Path, folder: Path) -> dict[str, Any]:
    """Writes ``corpus.csv``, ``corpus_without.csv`` (articleType not among the tags), ``train.csv`` and ``test.csv``.

    Args:
        data: ``fashion_tags``, unpacked.
        folder: Where the tables go.

    Returns:
        Counts, and how many of the pairs that are listed as duplicates the search for near copies found.
    """
    rows = [row for table in ("products", "products_more") for row in _read(data / f"{table}.csv")]
    thumbnails = np.stack([thumbnail(data / row["image"]) for row in rows])
    pairs = _pairs(data, rows)
    alone = ~has_near_copy(thumbnails)
    alone[pairs.ravel()] = False
    free = [row for row, apart in zip(rows, alone, strict=True) if apart]
    kinds = [kind for kind, _ in Counter(row["articleType"] for row in free).most_common(TYPES)]
    parts: dict[str, list[Row]] = {"train": [], "test": []}
    for kind in kinds:
        members = [row for row in free if row["articleType"] == kind]
        order = rng.stream(0, "articleType", kinds.index(kind)).permutation(len(members)).tolist()
        for part, count in PER_CLASS.items():
            parts[part] += [members[order.pop()] for _ in range(count)]
    taken = {row["id"] for part in parts.values() for row in part}
    corpus = [row for row in rows if row["id"] not in taken]
    without = [row | {"tags": _left(row)} for row in corpus]
    for name, table in {**parts, "corpus": corpus, "corpus_without": without}.items():
        _write(folder / f"{name}.csv", [row | {"image": f"../{data.name}/{row['image']}"} for row in table])
    of_classes = [row for row in without if row["articleType"] in kinds]
    names = {row["productDisplayName"] for row in corpus}
    return {
        "pictures": len(rows),
        "with_near_copies": int((~alone).sum()),
        "listed_duplicates_found_fraction": _found(thumbnails, pairs),
        "test_names_in_corpus_fraction": sum(row["productDisplayName"] in names for row in parts["test"])
        / len(parts["test"]),
        "corpus": len(corpus),
        "named_by_other_words_fraction": sum(map(_named, of_classes)) / len(of_classes),
    } | {part: len(table) for part, table in parts.items()}


def has_near_copy(thumbnails_NHWC: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which pictures have another within ``NEAR`` of them, as it is or mirrored."""
    flat = thumbnails_NHWC.reshape(len(thumbnails_NHWC), -1)
    mirrored = thumbnails_NHWC[:, :, ::-1].reshape(len(thumbnails_NHWC), -1)
    norms = (flat**2).sum(1)
    near = np.zeros(len(flat), np.bool_)
    for first in range(0, len(flat), 1000):
        block = slice(first, first + 1000)
        for others in (flat, mirrored):
            squares = norms[block, None] + norms - 2 * flat[block] @ others.T
            squares[np.arange(len(squares)), np.arange(first, first + len(squares))] = np.inf
            near[block] |= (squares < NEAR**2 * flat.shape[1]).any(1)
    return near


def thumbnail(path: Path) -> NDArray[np.float32]:
    """A picture on white at 16 x 16 pixels, grey levels 0..255 [16, 16, 3]."""
    with Image.open(path) as picture:
        shown = picture.convert("RGBA")
    white = Image.new("RGBA", shown.size, "white")
    whole = Image.alpha_composite(white, shown).convert("RGB")
    return np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)


def _pairs(data: Path, rows: list[Row]) -> NDArray[np.int64]:
    """The pairs that are listed as duplicates, which others looked for in a quarter of the pictures, [N, 2]."""
    position = {row["image"]: number for number, row in enumerate(rows)}
    listed = _read(data / "duplicate_pairs.csv")
    return np.array([[position[pair[side]] for side in ("image_a", "image_b")] for pair in listed], np.int64)


def _found(thumbnails: NDArray[np.float32], pairs: NDArray[np.int64]) -> float:
    """Share of the pairs that are near by this measure."""
    one, other = thumbnails[pairs[:, 0]], thumbnails[pairs[:, 1]]
    return float((np.sqrt(((one - other) ** 2).mean((1, 2, 3))) < NEAR).mean())


def _left(row: Row) -> str:
    return ";".join(tag for tag in row["tags"].split(";") if tag != row["articleType"])


def _named(row: Row) -> bool:
    """Whether a tag that is left still names the type, in the singular or another case."""
    names = {word.casefold().rstrip("s") for word in row["articleType"].split()}
    return not names.isdisjoint(tag.casefold().rstrip("s") for tag in row["tags"].split(";"))


def _read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
