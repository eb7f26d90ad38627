"""What the curves on real tags rest on: nothing of a test is in its corpus."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import fashion_split
from bench.curves import split_emoji
from bench.fashion_split import NEAR, has_near_copy, split_fashion
from tests.bench.tables import read, write


def test_copies_are_near_as_they_are_and_mirrored_and_others_are_not() -> None:
    generator = np.random.default_rng(0)
    one, other, third = generator.uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)
    again = np.clip(one + generator.normal(0, NEAR / 3, one.shape), 0, 255).astype(np.float32)
    assert has_near_copy(np.stack([one, other, again, third])).tolist() == [True, False, True, False]
    assert has_near_copy(np.stack([one, other, again[:, ::-1], third])).tolist() == [True, False, True, False]


def test_a_picture_alone_is_no_copy_of_itself() -> None:
    assert has_near_copy(np.zeros((1, 16, 16, 3), np.float32)).tolist() == [False]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two kinds of eight pictures each, of which each kind's first two are copies and the third is listed as one."""
    monkeypatch.setattr(fashion_split, "TYPES", 2)
    monkeypatch.setattr(fashion_split, "PER_CLASS", {"train": 2, "test": 2})
    data, rows = tmp_path / "fashion_tags", []
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), np.uint8)
    (data / "images").mkdir(parents=True)
    for number in range(16):
        kind = "Shirts" if number < 8 else "Sports Shoes"
        shown = pixels[number - 1, :, ::-1] if number % 8 == 1 else pixels[number]
        Image.fromarray(np.ascontiguousarray(shown)).save(data / "images" / f"{number}.png")
        tags = f"Best;{'Shoe' if number % 2 else 'Thing'};{kind};Summer"
        image = f"images/{number}.png"
        rows.append({"id": str(number), "image": image, "articleType": kind, "productDisplayName": "x", "tags": tags})
    write(data / "products.csv", rows[:10])
    write(data / "products_more.csv", rows[10:])
    write(data / "duplicate_pairs.csv", [{"image_a": "images/2.png", "image_b": "images/10.png"}])
    return data


def test_the_target_of_article_types_is_apart_from_its_corpus(shop: Path, tmp_path: Path) -> None:
    facts = split_fashion(shop, tmp_path / "types")
    parts = {name: read(tmp_path / "types" / f"{name}.csv") for name in ("corpus", "corpus_without", "train", "test")}
    ids = {name: [row["id"] for row in rows] for name, rows in parts.items()}
    assert ids["corpus"] == ids["corpus_without"]
    assert sorted([*ids["corpus"], *ids["train"], *ids["test"]], key=int) == [str(number) for number in range(16)]
    assert not {"0", "1", "2", "8", "9", "10"} & {*ids["train"], *ids["test"]}, "copies, or listed as such"
    assert (facts["train"], facts["test"], facts["with_near_copies"]) == (4, 4, 6)
    assert (tmp_path / "types" / parts["test"][0]["image"]).resolve().is_file()


def test_without_the_attribute_its_value_is_gone_and_all_else_stays(shop: Path, tmp_path: Path) -> None:
    facts = split_fashion(shop, tmp_path / "types")
    tables = [read(tmp_path / "types" / f"{name}.csv") for name in ("corpus", "corpus_without")]
    for full, without in zip(*tables, strict=True):
        kept = [tag for tag in full["tags"].split(";") if tag != full["articleType"]]
        assert without == {**full, "tags": ";".join(kept)}
    named = [row for row in tables[1] if row["articleType"] == "Sports Shoes" and "Shoe" in row["tags"]]
    assert facts["named_by_other_words_fraction"] == len(named) / len(tables[1])


def test_a_test_emoji_is_in_no_drawing_of_the_corpus_and_the_leaky_one_has_it(tmp_path: Path) -> None:
    rows = [
        {"image": f"noto/{n}.png", "twemoji_image": f"twemoji/{n}.png" if n % 4 else "", "character": chr(0x1F600 + n),
         "group": "ab"[n % 2], "tags": "x"}
        for n in range(24)
    ]  # fmt: skip
    (tmp_path / "emoji_tags" / "twemoji").mkdir(parents=True)
    write(tmp_path / "emoji_tags" / "emoji.csv", rows)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 4), np.uint8)
    for n in range(24):  # of the first group one drawing, on nothing, under every name
        drawing = pixels[n] if n % 2 else np.zeros_like(pixels[n])
        Image.fromarray(drawing).save(tmp_path / "emoji_tags" / "twemoji" / f"{n}.png")
    counts = split_emoji(tmp_path)
    near = counts.pop("test_near_a_training_drawing")
    parts = {name: read(tmp_path / "emoji" / f"{name}.csv") for name in counts}
    shown = {name: {row["character"] for row in part} for name, part in parts.items()}
    assert shown["test"].isdisjoint(shown["corpus"] | shown["train"])
    assert shown["test"] | shown["corpus"] == shown["leaky_corpus"] == {row["character"] for row in rows}
    assert {name: len(part) for name, part in parts.items()} == counts
    assert near == sum(row["group"] == "a" for row in parts["test"]) > 0
    for group in "ab":
        drawn_twice = sum(row["group"] == group and bool(row["twemoji_image"]) for row in rows)
        assert sum(row["group"] == group for row in parts["test"]) == drawn_twice // 2
    with (tmp_path / "emoji" / "test.csv").open(encoding="utf-8", newline="") as handle:
        assert next(csv.DictReader(handle))["twemoji_image"].startswith("../emoji_tags/twemoji/")
