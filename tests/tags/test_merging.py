"""Aliases end somewhere; plurals join a singular that is there, and no other word does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagwise.base.errors import UsageError
from tagwise.tags.merging import fold_plurals, read_aliases, resolve_aliases


def test_alias_file_is_keyed(tmp_path: Path) -> None:
    path = tmp_path / "aliases.tsv"
    path.write_text("#Ursus_Arctos\tBrown Bear\n\nnews\tnews\n", "utf-8")
    assert read_aliases(path) == {"ursusarctos": "brownbear", "news": "news"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("one word\n", "line 1.*no alias<TAB>canonical"),
        ("a\tb\n!\tb\n", "line 2.*no alias<TAB>canonical"),
        ("a\tb\nA\tc\n", "line 2: 'a' is 'c' here and 'b' above"),
    ],
)
def test_alias_file_errors_name_the_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "aliases.tsv"
    path.write_text(content, "utf-8")
    with pytest.raises(UsageError, match=message):
        read_aliases(path)


def test_missing_alias_file_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        read_aliases(tmp_path / "nowhere.tsv")


def test_chains_are_followed_to_their_end() -> None:
    assert resolve_aliases({"B": "c", "a": "b"}) == {"a": "c", "b": "c"}


def test_cycles_are_errors_that_name_the_cycle() -> None:
    with pytest.raises(UsageError, match="b -> c -> b"):
        resolve_aliases({"a": "b", "b": "c", "c": "b"})


@pytest.mark.parametrize("aliases", [{"!": "cat"}, {"cat": "#"}, {"Kitty": "cat", "kitty": "dog"}])
def test_empty_and_double_meanings_are_errors(aliases: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="keep one"):
        resolve_aliases(aliases)


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("circles", "circle"),
        ("glasses", "glass"),
        ("foxes", "fox"),
        ("waltzes", "waltz"),
        ("beaches", "beach"),
        ("bushes", "bush"),
        ("berries", "berry"),
        ("women", "woman"),
    ],
)
def test_each_ending_joins_its_singular(plural: str, singular: str) -> None:
    assert fold_plurals({plural: 3, singular: 3}) == {plural: singular}
    assert fold_plurals({plural: 4, singular: 3}) == {}, "a plural that is more frequent is a word of its own"


@pytest.mark.parametrize(
    "pictures",
    [
        {"albatross": 9, "albatros": 1},
        {"sunglasses": 9, "sunglass": 2},
        {"albatross": 9, "bass": 3, "bus": 9, "bu": 20, "iris": 3},
        {"axes": 1, "axe": 5, "ax": 5, "axs": 5, "bases": 1, "base": 5, "bas": 5},
    ],
)
def test_w3_traps_stay_apart(pictures: dict[str, int]) -> None:
    """A rarer stem, a stem of two letters, or two possible singulars: nothing is guessed."""
    folds = fold_plurals(pictures)
    assert not {"albatross", "sunglasses", "bass", "bus", "bases"} & folds.keys()


def test_w3_unknown_plural_of_a_known_word_joins_it() -> None:
    assert fold_plurals({"albatross": 9, "albatrosses": 2}) == {"albatrosses": "albatross"}


def test_plural_of_a_plural_goes_all_the_way() -> None:
    assert fold_plurals({"circless": 1, "circles": 2, "circle": 3}) == {"circless": "circle", "circles": "circle"}


def test_protected_keys_stay() -> None:
    assert fold_plurals({"news": 1, "new": 9}, protected=["news"]) == {}
