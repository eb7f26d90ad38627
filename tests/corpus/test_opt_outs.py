"""Who wants to be left alone is, however the list or the source writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tagwise.corpus.gathering import posts_of
from tagwise.corpus.opt_outs import OptOuts, is_opt_out
from tagwise.corpus.post import Post

if TYPE_CHECKING:
    from collections.abc import Iterator

POSTS = (
    Post(key="photos/x.jpg", picture=None, tags=("x",), owner="ann"),
    Post(key="photos/Zoe\u0308.jpg", picture=None, tags=("x",), owner="bob"),
    Post(key="https://site//y.jpg", picture=None, tags=("x",)),
)


class Listed:
    """A source of these posts."""

    def posts(self) -> Iterator[Post]:
        yield from POSTS


def opted_out(sources: int, *lines: str) -> tuple[list[str], list[str]]:
    """Keys of the posts that are left alone, and the lines that named none."""
    listed: list[Any] = [Listed()] * sources
    opt_outs = OptOuts(lines)
    return [post.key for post in posts_of(listed, opt_outs) if post.opted_out], opt_outs.unmet()


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("ann", POSTS[0].key),
        ("photos/x.jpg", POSTS[0].key),
        ("./photos//x.jpg", POSTS[0].key),
        ("photos/Zo\u00eb.jpg", POSTS[1].key),
        ("bob", POSTS[1].key),
        ("https://site//y.jpg", POSTS[2].key),
    ],
)
def test_w22_a_line_names_an_owner_or_a_key_in_any_spelling(line: str, key: str) -> None:
    assert opted_out(1, line) == ([key], [])
    assert opted_out(2, line) == ([f"1/{key}", f"2/{key}"], [])


def test_w22_of_several_sources_one_can_be_named_by_its_number() -> None:
    assert opted_out(2, "2/photos/x.jpg", "3/photos/x.jpg") == (["2/photos/x.jpg"], ["3/photos/x.jpg"])


def test_w22_lines_that_name_nobody_are_known() -> None:
    assert opted_out(1, "ann", "./photos/x.jpg", "Ann", "eve") == (["photos/x.jpg"], ["Ann", "eve"])
    assert opted_out(1) == ([], [])


@pytest.mark.parametrize(
    ("value", "wish"), [("t", 1), ("f", 0), (None, 0), (" None ", 0), (False, 0), ("n", 0), (1, 1)]
)
def test_w22_every_source_reads_a_wish_alike(value: object, wish: int) -> None:
    assert is_opt_out(value) == bool(wish)
