"""The drawn corpus: one seed, one set of bytes; Zipf's law; many spellings; no tag names a class of the target."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import cache
from itertools import combinations, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagwise.base import rng
from tagwise.corpus.drawn.files import write_aliases, write_corpus, write_new, write_target
from tagwise.corpus.drawn.pictures import SIDE, draw_pictures
from tagwise.corpus.drawn.scenes import COLOURS, TEXTURES, Scenes, draw_scenes, draw_target, target_classes
from tagwise.corpus.drawn.shapes import SHAPES
from tagwise.corpus.drawn.tags import MOODS, SPELLINGS, TAG_FRACTIONS, write_tags
from tagwise.corpus.readers import open_source
from tagwise.pixels.place import Place
from tagwise.tags.key import canonical_key
from tagwise.tags.merging import read_aliases, resolve_aliases

COUNT = 6000
CONCEPT_OF_KEY = {canonical_key(spelling): concept for concept, written in SPELLINGS.items() for spelling in written}


@cache
def drawn() -> tuple[Scenes, list[list[str]]]:
    generator = np.random.default_rng(11)
    scenes = draw_scenes(COUNT, generator)
    return scenes, write_tags(scenes, generator)


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def scenes_of(*shapes: int, texture: int = 0) -> Scenes:
    same = np.zeros(len(shapes), np.int64)
    return Scenes(shapes=np.array(shapes), colours=same, textures=same + texture, backgrounds=same + 1)


def mask(shape: str) -> NDArray[np.bool_]:
    y, x = np.mgrid[-1.3:1.3:80j, -1.3:1.3:80j].astype(np.float32)
    return np.asarray(SHAPES[shape](x, y) < 0)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("first", 3), ("second", 3), ("other", 4)):
        write_corpus(tmp_path / name, pictures=30, seed=seed)
        write_target(tmp_path / name / "target", train_per_class=1, test_per_class=2, seed=seed)
    first, second, other = (hashes(tmp_path / name) for name in ("first", "second", "other"))
    assert first == second
    assert first.keys() == other.keys()
    assert not set(first.values()) & set(other.values())


def test_train_test_corpus_and_new_pictures_share_no_picture(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", pictures=60, seed=0)
    write_target(tmp_path / "target", train_per_class=3, test_per_class=3, seed=0)
    write_new(tmp_path / "new", count=5, seed=0)
    found = hashes(tmp_path)
    assert len(found) == 60 + 1 + 60 + 5
    assert len(set(found.values())) == len(found)


def test_the_target_is_balanced_and_every_class_has_a_folder(tmp_path: Path) -> None:
    write_target(tmp_path, train_per_class=2, test_per_class=5, seed=0)
    names = {f"{texture} {shape}" for shape, texture in target_classes()}
    assert len(names) == 10
    for part, pictures in (("train", 2), ("test", 5)):
        assert {folder.name: len(list(folder.iterdir())) for folder in (tmp_path / part).iterdir()} == dict.fromkeys(
            names, pictures
        )
    scenes, classes = draw_target(40, np.random.default_rng(0))
    assert np.bincount(classes).tolist() == [40] * 10
    shown = [
        (list(SHAPES)[shape], TEXTURES[texture]) for shape, texture in zip(scenes.shapes, scenes.textures, strict=True)
    ]
    assert shown == [target_classes()[kind] for kind in classes]
    assert len(set(scenes.colours.tolist())) == len(COLOURS), "colours are free"


def test_classes_lie_among_the_rarer_shapes_and_use_every_texture() -> None:
    assert {shape for shape, _ in target_classes()} == set(list(SHAPES)[2:])
    assert {texture for _, texture in target_classes()} == set(TEXTURES)


def test_shapes_and_colours_follow_zipfs_law_and_textures_are_even() -> None:
    """Each share within four standard errors of 1/(rank) over the sum, or of a quarter."""
    scenes, _ = drawn()
    for column, size, zipf in ((scenes.shapes, 12, True), (scenes.colours, 8, True), (scenes.textures, 4, False)):
        weights = 1 / np.arange(1, size + 1) if zipf else np.ones(size)
        expected = weights / weights.sum()
        errors = np.sqrt(expected * (1 - expected) / COUNT)
        assert (np.abs(np.bincount(column, minlength=size) / COUNT - expected) < 4 * errors).all()


def test_no_tag_names_a_class_of_the_target() -> None:
    """Nobody writes shape and texture in one tag, in any spelling or order."""
    forbidden = {
        canonical_key(first + second)
        for shape, texture in target_classes()
        for spellings in (product(SPELLINGS[shape], SPELLINGS[texture]), product(SPELLINGS[texture], SPELLINGS[shape]))
        for first, second in spellings
    }
    written = {canonical_key(tag) for tags in drawn()[1] for tag in tags}
    assert len(written) > 150
    assert not written & forbidden


def test_tags_come_in_several_spellings_the_first_the_commonest() -> None:
    keys = Counter(canonical_key(tag) for tags in drawn()[1] for tag in tags)
    for shape in ("circle", "star", "bolt"):
        counts = [keys[canonical_key(spelling)] for spelling in SPELLINGS[shape]]
        assert min(counts) > 0
        assert counts[0] == max(counts)
    written = {tag for tags in drawn()[1] for tag in tags if canonical_key(tag) == "star"}
    assert {"star", "#star", "#Star"} <= written


def test_tags_are_missing_wrong_or_absent_as_often_as_said() -> None:
    """As many pictures name their shape and colour as TAG_FRACTIONS says; slips of the finger and luck aside."""
    scenes, tags = drawn()
    concepts = [{CONCEPT_OF_KEY.get(canonical_key(tag)) for tag in written} for written in tags]
    own = np.mean([list(SHAPES)[shape] in found for shape, found in zip(scenes.shapes, concepts, strict=True)])
    wrong = np.mean(
        [
            bool((found & set(SHAPES)) - {list(SHAPES)[shape]})
            for shape, found in zip(scenes.shapes, concepts, strict=True)
        ]
    )
    colour = np.mean([list(COLOURS)[kind] in found for kind, found in zip(scenes.colours, concepts, strict=True)])
    assert abs(own - TAG_FRACTIONS["shape"]) < 0.05
    assert abs(colour - TAG_FRACTIONS["colour"]) < 0.04
    assert 0.05 < wrong < 0.11
    assert 0.002 < np.mean([not written for written in tags]) < 0.03
    moods = {canonical_key(mood) for mood in MOODS}
    assert 0.1 < np.mean([any(canonical_key(tag) in moods for tag in written) for written in tags]) < 0.2


def test_the_table_reads_back_as_it_was_written(tmp_path: Path) -> None:
    table = write_corpus(tmp_path, pictures=80, seed=1)
    posts = list(open_source(table).posts())
    generator = rng.stream(1, "drawn", "corpus")
    assert [list(post.tags) for post in posts] == write_tags(draw_scenes(80, generator), generator)
    assert all(isinstance(post.picture, Place) and post.picture.stamp() for post in posts)
    assert all(str(post.owner).startswith("user") for post in posts)


def test_aliases_merge_every_spelling_and_nothing_else(tmp_path: Path) -> None:
    aliases = resolve_aliases(read_aliases(write_aliases(tmp_path / "aliases.tsv")))
    for concept, spellings in SPELLINGS.items():
        keys = {canonical_key(spelling) for spelling in spellings}
        assert {aliases.get(key, key) for key in keys} == {canonical_key(concept)}
    assert sum(len(spellings) for spellings in SPELLINGS.values()) == len(CONCEPT_OF_KEY), "no word means two things"


def test_no_two_shapes_look_alike() -> None:
    """Masks of one size overlap by less than nine tenths, and none is a speck."""
    masks = [mask(shape) for shape in SHAPES]
    assert all((one & other).sum() < 0.9 * (one | other).sum() for one, other in combinations(masks, 2))
    assert min(one.mean() for one in masks) > 0.1


def test_the_texture_is_inside_the_shape_and_the_background_outside() -> None:
    """Of two pictures that differ in texture alone, pixels differ by texture, not all over."""
    plain, striped = (
        draw_pictures(scenes_of(1, 1, 1, texture=texture), np.random.default_rng(2)).astype(int) for texture in (0, 1)
    )
    changed = (np.abs(plain - striped).sum(-1) > 30).mean(axis=(1, 2))
    assert plain.shape == (3, SIDE, SIDE, 3)
    assert (changed > 0.04).all()
    assert (changed < 0.45).all()


def test_a_picture_of_nothing_is_never_drawn() -> None:
    """Every shape stands out against what is drawn without it."""
    one_each = draw_pictures(scenes_of(*range(12)), np.random.default_rng(4)).astype(int)
    others = draw_pictures(scenes_of(*np.roll(np.arange(12), 1)), np.random.default_rng(4)).astype(int)
    assert ((np.abs(one_each - others).sum(-1) > 60).mean(axis=(1, 2)) > 0.01).all()
