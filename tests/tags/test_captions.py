"""Captions: the words that a person would find, and none that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import UsageError
from tagwise.tags.captions import read_lexicon, words_in
from tagwise.tags.key import canonical_key

WORDS = ("brown bear", "bear", "T-shirt", "door", "sunglasses", "sunglass", "Dog", "city", "table cloth")
LEXICON = {canonical_key(word): word for word in WORDS}


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("A brown bear by a bear", ["brown bear", "bear"]),
        ("#brownbear", ["brown bear"]),
        ("two Brown-Bears!", ["brown bear"]),
        ("t-shirt, tshirt and t shirt", ["T-shirt"] * 3),
        ("do or die", []),
        ("a table. Cloth, and a table, cloth", []),
        ("a tablecloth, a table cloth and table-cloths", ["table cloth"] * 3),
        ("a dog's bed", ["Dog"]),
        ("DOGS in cities", ["Dog", "city"]),
        ("her sunglasses", ["sunglasses"]),
        ("dog dog", ["Dog", "Dog"]),
        ("\U0001f43b ... !", []),
        ("", []),
    ],
)
def test_words_of_the_lexicon_are_found_in_its_own_spelling(caption: str, found: list[str]) -> None:
    assert words_in(caption, LEXICON) == found


def test_a_plural_of_two_known_singulars_is_none_of_them() -> None:
    """``axes``: of ``ax`` and of ``axe``."""
    lexicon = {"xax": "xax", "xaxe": "xaxe"}
    assert words_in("xaxes", lexicon) == []
    assert words_in("xaxes", {"xaxe": "xaxe"}) == ["xaxe"]


def test_phrases_of_four_words_are_the_longest() -> None:
    lexicon = {"jackinthebox": "jack-in-the-box", "box": "box"}
    assert words_in("a jack in the box", lexicon) == ["jack-in-the-box"]


@given(caption=st.text(), words=st.lists(st.sampled_from(WORDS)))
def test_any_text_is_read_and_only_the_lexicon_comes_out(caption: str, words: list[str]) -> None:
    assert set(words_in(caption, LEXICON)) <= set(WORDS)
    assert words_in(" , ".join(words), LEXICON) == [LEXICON[canonical_key(word)] for word in words]


def test_a_lexicon_keeps_the_spelling_of_most_words(tmp_path: Path) -> None:
    """With ``tree frog`` known as two words, both ways of writing it are found."""
    (tmp_path / "words.txt").write_text("\ufefftreefrog\r\n\r\n tree frog \nTree-Frog\nbear\n", "utf-8")
    assert read_lexicon(tmp_path / "words.txt") == {"treefrog": "tree frog", "bear": "bear"}


@pytest.mark.parametrize(
    ("content", "said"), [(b"bear\n!!\n", "line 2"), (b"\n", "empty"), (b"\xff", "cannot be read")]
)
def test_a_lexicon_that_cannot_serve_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        read_lexicon(tmp_path / "words.txt")
