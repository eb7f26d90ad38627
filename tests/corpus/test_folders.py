"""Class folders: each level is a tag, and nothing of a stranger's tree is lost without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tagwise.base.errors import UsageError
from tagwise.corpus.readers import open_source
from tagwise.corpus.readers.folders import FolderSource
from tagwise.corpus.readers.tables import Columns
from tagwise.pixels.place import Place

if TYPE_CHECKING:
    from pathlib import Path


def tree(root: Path, *names: str) -> FolderSource:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not opened by a reader")
    source = open_source(root)
    assert isinstance(source, FolderSource)
    return source


def test_each_folder_below_the_root_is_a_tag(tmp_path: Path) -> None:
    source = tree(tmp_path, "dog/1.jpg", "dog/brown bear/2.PNG", "3.jpg")
    assert {post.key: post.tags for post in source.posts()} == {
        "dog/1.jpg": ("dog",),
        "dog/brown bear/2.PNG": ("dog", "brown bear"),
        "3.jpg": (),
    }


def test_posts_come_in_one_order_and_point_at_their_files(tmp_path: Path) -> None:
    posts = list(tree(tmp_path, *(f"{folder}/{number}.jpg" for folder in "cab" for number in (2, 1))).posts())
    assert [post.key for post in posts] == ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg", "c/1.jpg", "c/2.jpg"]
    assert all(post.picture == Place(str(tmp_path / post.key)) for post in posts)


def test_files_without_suffix_are_taken_and_other_files_are_named(tmp_path: Path) -> None:
    source = tree(
        tmp_path, "a/1.jpg", "a/no_suffix", "a/notes.txt", "a/.DS_Store", "a/Thumbs.db", ".git/a.png", "b/x.HEIC"
    )
    assert source.pictures == ("a/1.jpg", "a/no_suffix", "b/x.HEIC")
    assert source.other_files == ("a/notes.txt",)
    assert "1 other files, such as a/notes.txt" in source.described()[-1]


def test_p6_a_table_at_the_root_makes_a_folder_ambiguous(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds the table products\.csv"):
        tree(tmp_path, "images/1.jpg", "products.csv")


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no pictures"):
        tree(tmp_path, "a/notes.txt")


def test_a_folder_of_shards_says_how_to_give_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"its shards as '.*/\*\.tar'"):
        tree(tmp_path, "000.tar", "000.parquet_stats")


def test_pictures_that_nothing_is_said_about_are_refused_with_the_three_ways(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"folders named after the tags, or lay a \.txt or \.json .* or give a table"):
        tree(tmp_path, "1.jpg", "2.jpg", "readme.txt")


def test_a_folder_has_no_columns(tmp_path: Path) -> None:
    tree(tmp_path, "a/1.jpg")
    with pytest.raises(UsageError, match="leave out what was said of picture, separator"):
        open_source(tmp_path, Columns(picture="file", separator=","))


def test_linked_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert tree(tmp_path, "a/1.jpg").pictures == ("a/1.jpg",)
