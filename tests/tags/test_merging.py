"""Aliases end somewhere; plurals join a singular that is there, and no other word does."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import UsageError
from tagwise.tags.key import canonical_key
from tagwise.tags.labelling import build_label_space
from tagwise.tags.merging import fold_plurals, read_aliases, resolve_aliases
from tagwise.tags.space import LabelOptions
from tagwise.tags.table import TagTable


def test_alias_file_is_keyed(tmp_path: Path) -> None:
    path = tmp_path / "aliases.tsv"
    path.write_text("#Ursus_Arctos\tBrown Bear\n\nnews\tnews\n", "utf-8")
    assert read_aliases(path) == {"ursusarctos": "brownbear", "news": "news"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("one word\n", "line 1.*no alias<TAB>tag; write two tags .*or a CSV table"),
        ("a\tb\n!\tb\n", "line 2.*no alias<TAB>tag"),
        ("a\tb\nA\tc\n", "line 2: 'a' is 'c' here and 'b' above"),
    ],
)
def test_alias_file_errors_name_the_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "aliases.tsv"
    path.write_text(content, "utf-8")
    with pytest.raises(UsageError, match=message):
        read_aliases(path)


TABLE = """tag,category,count,aliases
brown_bear,5,900,"bruin,Ursus Arctos,brown-bear"
fox,5,800,
cat,5,700,"feline, kitty"
"""


def write(folder: Path, content: str) -> Path:
    path = folder / "tags.csv"
    path.write_text(content, "utf-8")
    return path


def test_p8_a_table_of_tags_with_their_aliases_is_an_alias_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merges = {"bruin": "brownbear", "ursusarctos": "brownbear", "feline": "cat", "kitty": "cat"}
    assert read_aliases(write(tmp_path, TABLE)) == merges, "brown-bear has the key of its tag already"
    excel = "\ufeff" + TABLE.replace("tag,cat", '"Tag",cat').replace("\n", "\r\n")
    assert read_aliases(write(tmp_path, excel)) == merges
    assert read_aliases(write(tmp_path, "aliases,tag\nbruin,bear\n,fox\n")) == {"bruin": "bear"}
    assert capsys.readouterr().err == "", "nothing was doubtful"


def test_a_table_that_has_plural_and_singular_keeps_them_apart(tmp_path: Path) -> None:
    aliases = read_aliases(write(tmp_path, "tag,aliases\nglasses,spectacles\nglass,\ncircle,disk\n"))
    assert aliases == {"spectacles": "glasses", "glasses": "glasses", "disk": "circle"}
    folds = fold_plurals({"glasses": 2, "glass": 9, "circles": 2, "circle": 9}, protected=aliases.values())
    assert folds == {"circles": "circle"}


def test_what_is_doubtful_in_a_table_of_aliases_is_left_apart_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No merge is guessed: a wrong one cannot be seen in the label space, a missing one can."""
    rows = 'canine,"k9,:)"\nk-9,\nninetales,nine tails\n9tails,"ninetails,dog"\n>_<,ouch\n'
    assert read_aliases(write(tmp_path, f"tag,aliases\n{rows}")) == {"dog": "9tails"}
    path, told = tmp_path / "tags.csv", "they merge nothing until their rows are corrected."
    assert capsys.readouterr().err.splitlines() == [
        f"{path}: 2 aliases hold no letter or number, or their tag holds none (:) -> canine, ouch -> >_<); {told}",
        f"{path}: 1 aliases are the tag of another row too (k9 -> canine); {told}",
        f"{path}: 2 aliases stand at several tags (nine tails -> ninetales, ninetails -> 9tails); {told}",
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('cat,feline\nfeline,"cat,kitty"\n', "cat -> feline -> cat"),
        ("a,b\nc,d\nd,e\ne,c\n", "c -> e -> d -> c"),
        ('cat,"feline\n', "line 2: unexpected end of data; write it as a CSV table"),
        ("cat,feline,kitty\n", "line 2: 3 cells under a header of 2; put aliases .* in quotes"),
    ],
)
def test_a_table_of_aliases_in_a_cycle_or_of_wrong_rows_is_wrong_use(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_aliases(write(tmp_path, f"tag,aliases\n{rows}"))


def test_p8_merges_of_people_are_found_by_key_by_plurals_and_by_their_table(real_data: Path) -> None:
    """Of 9,565 aliases that people of an art site wrote down; each stands once, each tag twice."""
    path = real_data / "hashtags" / "artwork_tags_with_aliases.csv"
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    pairs = [(alias, row["tag"]) for row in rows for alias in row["aliases"].split(",") if alias]
    tags = [row["tag"] for row in rows]
    raw = [alias for alias, _ in pairs] + tags
    numbers = np.arange(len(raw))
    entries = np.concatenate([numbers, numbers[len(pairs) :]])
    table = TagTable(pictures=len(entries), rows=np.arange(len(entries)), raw_ids=entries, raw=raw, owners=None)

    def merged(plurals: bool, aliases: dict[str, str] | None = None) -> tuple[int, int]:
        """Aliases that became the label of their tag, and tags that lost a label of their own."""
        space = build_label_space(table, LabelOptions(plurals=plurals), aliases=aliases).space
        own = {space.encode(tag) for tag in tags} - {None}
        found = sum(space.encode(alias) == space.encode(tag) is not None for alias, tag in pairs)
        return found, len({canonical_key(tag) for tag in tags} - {""}) - len(own)

    assert len(pairs) == 9565
    assert merged(plurals=False) == (741, 0)
    assert merged(plurals=True) == (1237, 16), "without a lexicon short joins shorts, and glasses join glass"
    assert merged(plurals=True, aliases=read_aliases(path)) == (9565 - 31 - 3 - 11, 0), "all but the doubtful ones"


def test_missing_alias_file_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        read_aliases(tmp_path / "nowhere.tsv")


def test_chains_are_followed_to_their_end() -> None:
    assert resolve_aliases({"B": "c", "a": "b"}) == {"a": "c", "b": "c"}


def test_a_long_chain_is_followed_once() -> None:
    count = 20_000  # followed anew from each of its links, it would take minutes
    chain = {f"k{number}": f"k{number + 1}" for number in range(count)}
    assert resolve_aliases(chain) == dict.fromkeys(sorted(chain), f"k{count}")


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")))
def test_aliases_end_where_following_them_one_by_one_ends(aliases: dict[str, str]) -> None:
    ends = {}
    for alias in sorted(aliases):
        ends[alias] = alias
        for _ in aliases:
            ends[alias] = aliases.get(ends[alias], ends[alias])
    if any(aliases.get(end, end) != end for end in ends.values()):
        with pytest.raises(UsageError, match="in a cycle"):
            resolve_aliases(aliases)
    else:
        assert resolve_aliases(aliases) == ends


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
