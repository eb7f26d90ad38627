"""Two spellings of one word have one key, and nothing else has."""

from __future__ import annotations

import json
import random
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused
from tagwise.tags.key import canonical_key, is_number, split_tags

SPELLED = {
    "#BrownBear": "brownbear",
    "\uff03\uff22rown_Bear": "brownbear",
    "brown-bear": "brownbear",
    "Brown  bear": "brownbear",
    "Straße": "strasse",
    "jack-o'-lantern": "jackolantern",
    "\ufb01re\ufb02y": "firefly",
    "#100": "100",
    "\U0001f43b": "",
    "#\U0001f43bbear": "bear",
    "\uff2e\uff4f\uff0e\uff11": "no1",
    "東京タワー": "東京タワー",
    "caf\u00e9": "caf\u00e9",
    "cafe\u0301": "caf\u00e9",
    "\u0130stanbul": "i\u0307stanbul",
}


@pytest.mark.parametrize("tag", SPELLED)
def test_w1_published_examples_have_their_keys(tag: str) -> None:
    assert canonical_key(tag) == SPELLED[tag]


def test_w1_key_of_a_key_is_itself_for_every_character_and_100_000_random_strings() -> None:
    generator = random.Random(7)
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    marks = [character for character in characters if unicodedata.category(character)[0] == "M"]
    strings = (
        "".join(generator.choice(generator.choice((characters, marks))) for _ in range(generator.randint(1, 12)))
        for _ in range(100_000)
    )
    keys = {canonical_key(text) for texts in (characters, strings) for text in texts}
    assert len(keys) > 90_000
    assert all(canonical_key(key) == key for key in keys)


def test_last_normalisation_is_needed() -> None:
    """A sign between a letter and its accent keeps them apart until it is taken away."""
    assert canonical_key("e\u200d\u0301") == "\u00e9"


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_short_cut_says_what_the_tables_say(tag: str) -> None:
    kept = [character for character in tag.casefold() if unicodedata.category(character)[0] in "LNM"]
    assert canonical_key(tag) == "".join(kept)


@given(st.text(st.sampled_from("aBcß éÉ1_#-")), st.data())
def test_case_and_signs_never_make_a_second_key(tag: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(tag)))
    signed = (
        tag[:place] + data.draw(st.sampled_from(["", " ", "_", "-", "'", ".", "\u200d", "\U0001f43b"])) + tag[place:]
    )
    assert canonical_key(signed.swapcase()) == canonical_key(tag)


def test_numbers_of_any_script_are_numbers() -> None:
    assert is_number("100")
    assert is_number("१२")
    assert not is_number("no1")


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        (None, []),
        ("", []),
        ("  ", []),
        ("cat dog  cat", ["cat", "dog", "cat"]),
        ("brown bear, sea ,, sky", ["brown bear", "sea", "sky"]),
        ("#a#b", ["#a", "#b"]),
        ("\uff03a\uff03b", ["\uff03a", "\uff03b"]),
        ("#a #b, #c", ["#a", "#b", "#c"]),
        ("c# c#minor", ["c#", "c#minor"]),
        (["brown bear", "#a#b", None, 7], ["brown bear", "#a", "#b", "7"]),
        ('["brown bear", "a,b"]', ["brown bear", "a,b"]),
        ("[sic] bear", ["[sic]", "bear"]),
        ("\U0001f43b bear", ["\U0001f43b", "bear"]),
    ],
)
def test_cells_of_every_form(cell: list[object] | str | None, tags: list[str]) -> None:
    assert split_tags(cell) == tags


def test_named_separator_is_the_only_one() -> None:
    assert split_tags("brown bear, big|sea", separator="|") == ["brown bear, big", "sea"]


def test_tags_in_tags_are_refused() -> None:
    with pytest.raises(DataRefused, match="flat list"):
        split_tags([["a"], ["b"]])


def test_what_is_nested_too_deep_is_refused_and_exhausts_no_stack() -> None:
    with pytest.raises(DataRefused, match="nested too deep"):
        split_tags("[" * 100_000)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(DataRefused, match="flat list"):
        split_tags(deep)
    while deep:  # or Python takes it apart recursively
        deep = deep[0]  # type: ignore[assignment]


@given(st.text(st.sampled_from("ab#, \t\uff03é")))
def test_nothing_but_separators_is_lost(cell: str) -> None:
    separators = str.maketrans("", "", ", \t")
    assert "".join(split_tags(cell)).translate(separators) == cell.translate(separators)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="#\uff03"), min_size=1)))
def test_lists_and_their_json_say_the_same(tags: list[str]) -> None:
    assert split_tags(json.dumps(tags)) == split_tags(tags) == [tag.strip() for tag in tags if tag.strip()]
