"""Files of tags beside the pictures: kohya, booru, one to a line, JSON; damage costs one picture its tags."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused, UsageError
from tagwise.corpus.readers import open_source
from tagwise.corpus.readers.sidecars import SidecarSource
from tagwise.corpus.readers.tables import Columns
from tagwise.pixels.place import Place
from tagwise.tags.key import split_tags

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tagwise.corpus.post import Post


def fill(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def beside(root: Path, suffix: str, *contents: str | bytes) -> Path:
    """Pictures 0.jpg, 1.jpg ... with one file of tags each."""
    for number, content in enumerate(contents):
        fill(root, {f"{number}.jpg": "", f"{number}{suffix}": content})
    return root


def opened(root: Path, **columns: Any) -> SidecarSource:
    source = open_source(root, Columns(**columns))
    assert isinstance(source, SidecarSource)
    return source


def tags(root: Path, **columns: Any) -> list[tuple[str, ...]]:
    return [post.tags for post in opened(root, **columns).posts()]


@pytest.mark.parametrize(
    ("texts", "separator", "read"),
    [
        (("1girl, brown_bear", "a river,b"), ",", [("1girl", "brown_bear"), ("a river", "b")]),
        (("x, y\nz, w\n", "q, r"), ",", [("x", "y", "z", "w"), ("q", "r")]),
        (("brown_bear river", "x"), " ", [("brown_bear", "river"), ("x",)]),
        (("#x #y", "#z"), " ", [("#x", "#y"), ("#z",)]),
        (("brown bear\nriver\n", "x\r\ny"), "lines", [("brown bear", "river"), ("x", "y")]),
        (("x;y", "z w;q"), ";", [("x", "y"), ("z w", "q")]),
        (("x", "brown_bear\n"), "none", [("x",), ("brown_bear",)]),
        (("\ufeffx, y", ""), ",", [("x", "y"), ()]),
    ],
)
def test_p6_the_separator_of_texts_is_guessed_and_told(
    tmp_path: Path, texts: tuple[str, ...], separator: str, read: list[tuple[str, ...]]
) -> None:
    source = opened(beside(tmp_path, ".txt", *texts))
    assert source.form()["separator"] == separator
    assert [post.tags for post in source.posts()] == read
    assert source.described()[1] == f"  0.jpg -> {' | '.join(read[0])}"


@pytest.mark.parametrize(
    "texts", [("x, y", "brown bear"), ("brown bear", "river bed"), ("a dog on a beach.",), ("x;y", "z|w")]
)
def test_p6_texts_that_may_be_two_things_are_refused_and_a_separator_settles_it(
    tmp_path: Path, texts: tuple[str, ...]
) -> None:
    beside(tmp_path, ".txt", *texts)
    with pytest.raises(UsageError, match="more than one way"):
        open_source(tmp_path)
    assert tags(tmp_path, separator="none") == [(text,) for text in texts]
    assert tags(tmp_path, separator=" ")[0] == tuple(texts[0].split())


def test_numbers_of_boxes_are_not_taken_for_tags(tmp_path: Path) -> None:
    beside(tmp_path, ".txt", "0 0.716 0.395 0.216 0.147\n0 0.1 0.2 0.3 0.4", "1 0.5 0.5 1 1")
    with pytest.raises(UsageError, match="numbers only, as those of boxes"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"tags": ["brown bear", 7, None]}, ("brown bear", "7")),
        ({"tags": "cat dog_house bird"}, ("cat", "dog_house", "bird")),
        ({"tag_string": "cat (x), dog"}, ("cat", "(x),", "dog")),
        ({"tag": "cat"}, ("cat",)),
        ({"keywords": ["a"], "caption": "no tag"}, ("a",)),
        ({"tags": [], "hashtags": ["#a#b"]}, ("#a", "#b")),
        ({"labels": 3}, ("3",)),
        (["x", "y"], ("x", "y")),
    ],
)
def test_json_of_gallery_dl_danbooru_and_others(tmp_path: Path, value: object, read: tuple[str, ...]) -> None:
    assert tags(beside(tmp_path, ".json", json.dumps(value))) == [read]


def test_json_says_owner_licence_and_wish_to_be_left_alone(tmp_path: Path) -> None:
    facts = {"tags": ["x"], "user": 12, "license": "CC0-1.0", "opt_out": True}
    beside(tmp_path, ".json", json.dumps(facts), json.dumps({"tags": ["x"], "owner": "ann", "opt_out": "no"}))
    first, second = opened(tmp_path).posts()
    assert (first.owner, first.licence, first.opted_out) == ("12", "CC0-1.0", True)
    assert (second.owner, second.licence, second.opted_out) == ("ann", None, False)


def test_json_without_tags_leaves_them_to_the_text(tmp_path: Path) -> None:
    fill(tmp_path, {"a.jpg": "", "a.txt": "x, y", "a.jpg.json": '{"owner": "ann"}'})
    [post] = opened(tmp_path).posts()
    assert (post.tags, post.owner) == (("x", "y"), "ann")


def test_captions_are_not_taken_for_tags(tmp_path: Path) -> None:
    fill(tmp_path, {"0.jpg": "", "0.txt": "a dog, a cat", "0.json": '{"caption": "a dog, a cat", "key": "0"}'})
    with pytest.raises(UsageError, match="has captions beside its pictures, as img2dataset"):
        open_source(tmp_path)


def test_files_without_tags_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hold no tags"):
        open_source(beside(tmp_path, ".json", '{"shapes": []}', "{}"))


def test_names_of_sidecars_and_of_folders(tmp_path: Path) -> None:
    files = {"a/1.jpg.txt": "x, y", "a/2.caption": "z, w", "b/3.txt": "v, u", "b/gone.txt": "t", "b/notes.md": "n"}
    fill(tmp_path, {**{f"{name}.jpg": "" for name in ("a/1", "a/2", "b/3", "b/4")}, **files})
    source = opened(tmp_path)
    assert [(post.key, post.tags) for post in source.posts()] == [
        ("a/1.jpg", ("x", "y")),
        ("a/2.jpg", ("z", "w")),
        ("b/3.jpg", ("v", "u")),
        ("b/4.jpg", ()),
    ]
    assert all(post.picture == Place(str(tmp_path / post.key)) for post in source.posts())
    told = source.described()
    assert "the folders' names are no tags" in told[0]
    assert told[4:] == [
        "  without tags: 1 pictures, such as b/4.jpg",
        "  not read: 1 without a picture, such as b/gone.txt",
    ]


def test_suffixes_of_sidecars_fold_case_as_in_tars(tmp_path: Path) -> None:
    """A camera's names; where both spellings are there, the small one is meant."""
    beside = {"IMG_1.TXT": "x, y", "IMG_2.JPG.Json": '{"tags": ["z"]}', "IMG_3.TXT": "no", "IMG_3.txt": "w, v"}
    fill(tmp_path, {**{f"IMG_{number}.JPG": "" for number in (1, 2, 3)}, **beside, "gone.TXT": "q"})
    source = opened(tmp_path)
    assert [post.tags for post in source.posts()] == [("x", "y"), ("z",), ("w", "v")]
    assert source.strays == ("IMG_3.TXT", "gone.TXT")


@pytest.mark.parametrize(("having", "form"), [(0, "folders"), (1, "folders"), (2, None), (19, None), (20, "sidecars")])
def test_p6_class_folders_with_some_sidecars_are_ambiguous(tmp_path: Path, having: int, form: str | None) -> None:
    fill(tmp_path, {f"dog/{number}.jpg": "" for number in range(40)})
    fill(tmp_path, {f"dog/{number}.txt": "x, y" for number in range(having)})
    if form is None:
        with pytest.raises(UsageError, match=rf"{having} of 40 pictures have one"):
            open_source(tmp_path)
    else:
        assert open_source(tmp_path).form()["form"] == form


DAMAGED = [b"\xff\xfe\x00x", b"x\0y, z", b"x, y, \xe9", b"x, y" + b" " * 2**20]
DAMAGED_JSON = [b"{", b'{"tags": [["x"]]}', b'{"tags": {"general": []}}', b'"x"', b"[" * 100_000, b"\xff{}"]


@pytest.mark.parametrize(
    ("suffix", "content"),
    [(".txt", content) for content in DAMAGED] + [(".json", content) for content in DAMAGED_JSON],
)
def test_a_damaged_sidecar_costs_one_picture_its_tags_and_many_are_refused(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    good = b'{"tags": ["x", "y"]}' if suffix == ".json" else b"x, y"
    beside(tmp_path, suffix, *[good] * 19, content)
    damaged = [post for post in opened(tmp_path).posts() if post.tags != ("x", "y")]
    assert [(post.key, post.damage[:22]) for post in damaged] == [("19.jpg", "its tags are damaged: ")]
    beside(tmp_path, suffix, content)
    posts: list[Post] = []
    with pytest.raises(DataRefused, match=r"tags of 2 of 20 pictures are damaged \(first 0\.jpg: "):
        posts.extend(opened(tmp_path).posts())
    assert len(posts) == 20


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    beside(tmp_path, ".txt", *["x, y"] * 30)
    (tmp_path / "7.txt").unlink()
    os.mkfifo(tmp_path / "7.txt")
    assert tags(tmp_path).count(()) == 1


def test_long_texts_and_many_tags_are_kept(tmp_path: Path) -> None:
    many = [f"t{number}" for number in range(100_000)]
    assert tags(beside(tmp_path, ".txt", ",".join(many), "x, " + "y" * 10_000)) == [tuple(many), ("x", "y" * 10_000)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(min_size=1), min_size=1))
def test_any_unicode_tag_survives_a_json_sidecar(tmp_path: Path, written: list[str]) -> None:
    beside(tmp_path, ".json", json.dumps({"tags": [*written, "x"]}), json.dumps([*written, "x"], ensure_ascii=True))
    assert tags(tmp_path) == [tuple(split_tags([*written, "x"]))] * 2
