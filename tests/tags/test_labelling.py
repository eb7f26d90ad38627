"""Every raw tag has one fate, and the label space depends on what was tagged, not on its order."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused, UsageError
from tagwise.tags.fates import DISCARDED, Labelling
from tagwise.tags.key import canonical_key
from tagwise.tags.labelling import build_label_space
from tagwise.tags.space import LabelOptions, LabelSpace
from tagwise.tags.table import TagTable, text_numbers
from tagwise.tags.ways import KEPT
from tests.references.sampling import golden_corpus


def table_of(pictures: list[list[str]], owners: list[int] | None = None) -> TagTable:
    """A table of pictures' tags; ``owners`` says who tagged each picture."""
    entries = [(row, tag) for row, tags in enumerate(pictures) for tag in tags]
    raw = list(dict.fromkeys(tag for _, tag in entries))
    rows = np.array([row for row, _ in entries], np.int64)
    return TagTable(
        pictures=len(pictures),
        rows=rows,
        raw_ids=np.array([raw.index(tag) for _, tag in entries], np.int64),
        raw=raw,
        owners=None if owners is None else np.array(owners, np.int64)[rows],
    )


def shuffled(table: TagTable, seed: int) -> TagTable:
    """The same entries in another order, the raw tags and the persons numbered otherwise."""
    generator = np.random.default_rng(seed)
    entries, names = generator.permutation(len(table.rows)), generator.permutation(len(table.raw))
    place, person = np.argsort(names), generator.permutation(3)
    return TagTable(
        pictures=table.pictures,
        rows=table.rows[entries],
        raw_ids=place[table.raw_ids[entries]],
        raw=[table.raw[index] for index in names],
        owners=None if table.owners is None else person[table.owners[entries]],
    )


def renumbered(table: TagTable, seed: int) -> TagTable:
    """The same pictures in another order, as a shuffled source gives them."""
    pictures = np.random.default_rng(seed).permutation(table.pictures)
    return replace(table, rows=pictures[table.rows])


def fate_of(labelling: Labelling) -> dict[str, str]:
    return dict(zip(labelling.fates.raw, labelling.fates.fates, strict=True))


def label_sets(labelling: Labelling) -> list[list[str]]:
    ids, offsets = labelling.assignment.ids, labelling.assignment.offsets
    return [
        [labelling.space.labels[label].key for label in ids[start:end]] for start, end in pairwise(offsets.tolist())
    ]


words = st.sampled_from(["cat", "Cat", "#cats", "dog", "dogs", "12", "x", "🐻", "éa", "e\u0301a", "kitty", "spam"])
tables = st.builds(
    lambda tagged: table_of([tags for tags, _ in tagged], [owner for _, owner in tagged]),
    st.lists(st.tuples(st.lists(words, max_size=4), st.integers(0, 2)), min_size=1, max_size=12),
)
option_sets = st.builds(
    LabelOptions,
    min_count=st.integers(1, 3),
    top=st.none() | st.integers(1, 3),
    min_length=st.integers(1, 3),
    min_owners=st.integers(1, 2),
    drop_numbers=st.booleans(),
    plurals=st.booleans(),
    aliases=st.sampled_from([{}, {"Kitty": "cat"}, {"kitty": "feline", "feline": "cat"}]),
    deny=st.sampled_from([(), ("Spam",), ("cat",)]),
)


@given(tables, option_sets)
def test_w4_each_raw_tag_has_one_fate_and_they_sum_to_the_tags_read(table: TagTable, options: LabelOptions) -> None:
    labelling = build_label_space(table, options)
    fates = labelling.fates
    assert fates.raw == tuple(sorted(table.raw))
    assert set(fates.fates) <= {*KEPT, *DISCARDED}
    assert [label >= 0 for label in fates.label_ids] == [fate in KEPT for fate in fates.fates]
    said = Counter(table.raw[index] for index in table.raw_ids)
    assert fates.occurrences.tolist() == [said[raw] for raw in fates.raw]
    assert sum(labelling.space.fates.values()) == len(table.rows) == labelling.space.tags


def test_a_distinct_tag_takes_a_few_hundred_bytes() -> None:
    """20,000 tags of which each is on one picture, so that none is a label."""
    tags = 20_000
    raw = [f"tag{number:07}" for number in range(tags)]
    table = TagTable(pictures=tags, rows=np.arange(tags), raw_ids=np.arange(tags), raw=raw)
    build_label_space(table, LabelOptions(min_count=2))
    tracemalloc.start()
    labelling = build_label_space(table, LabelOptions(min_count=2))
    held, peak = (measured / tags for measured in tracemalloc.get_traced_memory())
    tracemalloc.stop()
    assert not labelling.space.labels
    assert held < 160
    assert peak < 350


def test_text_numbers_are_a_hash_of_each_and_need_no_list() -> None:
    texts = ["", "cat", "\ud800", "🐻"]
    digests = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts)
    assert text_numbers(iter(texts)).tolist() == [int.from_bytes(digest[:8], "little") for digest in digests]
    tracemalloc.start()
    text_numbers(map(str, range(50_000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 25 * 50_000, "8 bytes each, and what an array needs to grow"


@given(tables, option_sets, st.integers(0, 9))
def test_w4_shuffled_input_gives_the_same_space_and_assignment(
    table: TagTable, options: LabelOptions, seed: int
) -> None:
    first, second = build_label_space(table, options), build_label_space(shuffled(table, seed), options)
    assert first.space == second.space == build_label_space(renumbered(table, seed), options).space
    assert first.space.digest == second.space.digest
    assert first.assignment.ids.tolist() == second.assignment.ids.tolist()
    assert first.assignment.offsets.tolist() == second.assignment.offsets.tolist()
    assert fate_of(first) == fate_of(second)


@given(tables, option_sets)
def test_counts_are_pictures_and_the_rarest_label_is_last(table: TagTable, options: LabelOptions) -> None:
    labelling = build_label_space(table, options)
    ids, offsets = labelling.assignment.ids, labelling.assignment.offsets
    counts = labelling.space.counts
    assert len(offsets) == table.pictures + 1
    assert np.bincount(ids, minlength=len(counts)).tolist() == counts.tolist()
    assert (np.diff(counts) <= 0).all()
    for start, end in pairwise(offsets.tolist()):
        assert (np.diff(ids[start:end]) > 0).all()
    ranked = [(-label.pictures, label.key) for label in labelling.space.labels]
    assert ranked == sorted(ranked)


@given(tables, option_sets)
def test_space_says_of_its_own_corpus_what_was_built(table: TagTable, options: LabelOptions) -> None:
    labelling = build_label_space(table, options)
    again = labelling.space.encode_table(table)
    assert again.ids.tolist() == labelling.assignment.ids.tolist()
    assert again.offsets.tolist() == labelling.assignment.offsets.tolist()
    for raw, label in zip(labelling.fates.raw, labelling.fates.label_ids.tolist(), strict=True):
        assert labelling.space.encode(raw) == (None if label < 0 else label)


@given(tables, option_sets)
def test_plain_reference_counts_the_same(table: TagTable, options: LabelOptions) -> None:
    """Keys, aliases, deny list, numbers, length, counts and top with sets instead of arrays."""
    options = LabelOptions(**{**vars(options), "plurals": False})
    labelling = build_label_space(table, options)
    assert table.owners is not None
    held, said_by = defaultdict(set), defaultdict(set)
    aliases = labelling.space.options.aliases
    denied = {canonical_key(tag) for tag in options.deny}
    for row, raw_id, owner in zip(table.rows.tolist(), table.raw_ids.tolist(), table.owners.tolist(), strict=True):
        key = canonical_key(table.raw[raw_id])
        target = aliases.get(key, key)
        number = options.drop_numbers and target.isnumeric()
        if target and not {key, target} & denied and not number and len(target) >= (options.min_length or 1):
            held[target].add(row)
            said_by[target].add(owner)
    kept = [
        key
        for key in sorted(held, key=lambda key: (-len(held[key]), key))
        if len(held[key]) >= options.min_count and len(said_by[key]) >= options.min_owners
    ]
    assert [label.key for label in labelling.space.labels] == kept[: options.top]
    assert labelling.space.counts.tolist() == [len(held[key]) for key in kept[: options.top]]


def test_w5_frequency_counts_pictures_and_not_occurrences() -> None:
    corpus = golden_corpus("C")
    labelling = build_label_space(table_of(corpus["images_raw"]))
    assert {label.key: label.pictures for label in labelling.space.labels} == corpus["frequency"]
    assert [sorted(labels) for labels in label_sets(labelling) if labels] == corpus["images"]


def test_each_reason_is_told() -> None:
    pictures = [
        ["cat", "kitty", "cats", "#", "spam", "7", "x", "lone"],
        ["cat", "pair"],
        ["cat", "pair", "third"],
        ["third"],
    ]
    options = LabelOptions(min_count=2, min_owners=2, min_length=2, drop_numbers=True, top=2)
    labelling = build_label_space(
        table_of(pictures, owners=[0, 1, 1, 2]), options, aliases={"kitty": "cat"}, deny=["SPAM"]
    )
    assert fate_of(labelling) == {
        "cat": "label",
        "cats": "plural",
        "kitty": "alias",
        "#": "empty",
        "spam": "denied",
        "7": "number",
        "x": "too short",
        "lone": "too few owners",
        "pair": "too few owners",
        "third": "label",
    }
    space = labelling.space
    assert space.labels[0].members == ("cat", "cats", "kitty")
    assert labelling.explain("#Cats") == "'#Cats', key 'cats', plural of 'cat': label 0, 'cat', in 3 pictures."
    assert labelling.explain("Kitty") == "'Kitty', key 'kitty', alias of 'cat': label 0, 'cat', in 3 pictures."
    assert "deny list" in labelling.explain("Spam")
    assert "a number" in labelling.explain("7")
    assert "fewer than 2" in labelling.explain("x")
    assert "'lone' was said by fewer people than --min-owners 2, so it is no label" in labelling.explain("lone")
    assert "no letter or number" in labelling.explain("#")


def test_few_pictures_and_top_are_told() -> None:
    labelling = build_label_space(table_of([["a", "b", "c"], ["a", "b"]]), LabelOptions(min_count=2, top=1))
    assert fate_of(labelling) == {"a": "label", "b": "below the top", "c": "too few pictures"}


def test_how_far_a_tag_is_from_a_label_is_told() -> None:
    """The count of what it is counted as; a slip's nearest neighbours, labels or not."""
    pictures = [["sea", "blue"]] * 3 + [["blues", "navy"], ["blue"]]
    labelling = build_label_space(table_of(pictures), LabelOptions(min_count=6), aliases={"azure": "navy"})
    assert len(labelling.space) == 0
    for tag, told in {
        "Blue": "'Blue', key 'blue': 'blue' is on 5 pictures, below --min-count 6, so it is no label.",
        "blues": "'blues', key 'blues', plural of 'blue': 'blue' is on 5 pictures, below --min-count 6",
        "azure": "'azure', key 'azure', alias of 'navy': 'navy' is on 1 picture, below --min-count 6",
        "bleu": "'bleu', key 'bleu': nobody said it; the nearest is 'blue', so it is no label.",
        "xyz": "'xyz', key 'xyz': nobody said it, so it is no label.",
    }.items():
        assert labelling.explain(tag).startswith(told)
    ranked = build_label_space(table_of(pictures), LabelOptions(top=1))
    assert ranked.explain("sea") == "'sea', key 'sea': 'sea' is on 3 pictures, below the --top 1, so it is no label."


def test_spelling_is_the_most_frequent_one() -> None:
    labelling = build_label_space(table_of([["brown bear"], ["Brown_Bear"], ["brown bear"], ["#brownbear"]]))
    assert [(label.key, label.spelling) for label in labelling.space.labels] == [("brownbear", "brown bear")]


def test_one_persons_thousand_tags_are_one_opinion() -> None:
    pictures = [["advert"]] * 10 + [["sea"]] * 2
    labelling = build_label_space(table_of(pictures, owners=[1] * 10 + [2, 3]), LabelOptions(min_owners=2))
    assert [label.key for label in labelling.space.labels] == ["sea"]


def test_owners_cannot_be_counted_where_none_are_named() -> None:
    with pytest.raises(UsageError, match="min_owners=2 needs an owner"):
        build_label_space(table_of([["a"]]), LabelOptions(min_owners=2))


def test_an_alias_of_itself_keeps_a_word_out_of_the_plurals() -> None:
    pictures = [["new"], ["new"], ["news"]]
    assert fate_of(build_label_space(table_of(pictures)))["news"] == "plural"
    assert fate_of(build_label_space(table_of(pictures), aliases={"news": "news"}))["news"] == "label"


def test_options_out_of_range_are_wrong_use() -> None:
    with pytest.raises(UsageError, match="min_count=0"):
        LabelOptions(min_count=0)


def test_corpus_without_tags_has_an_empty_space() -> None:
    labelling = build_label_space(table_of([[], []]))
    assert len(labelling.space) == 0
    assert labelling.assignment.offsets.tolist() == [0, 0, 0]


@given(tables, option_sets)
@settings(max_examples=25, deadline=None)
def test_saved_space_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, table: TagTable, options: LabelOptions
) -> None:
    path = tmp_path_factory.mktemp("space") / "space.json"
    space = build_label_space(table, options).space
    space.save(path)
    loaded = LabelSpace.load(path)
    assert loaded == space == LabelSpace.from_json(space.to_json(), "text")
    before = path.read_bytes()
    loaded.save(path)
    assert path.read_bytes() == before


def test_strange_spellings_can_be_saved(tmp_path: Path) -> None:
    """Half a surrogate pair comes out of JSON now and then, and no file can hold it."""
    space = build_label_space(table_of([["bear\ud83d"]])).space
    space.save(tmp_path / "space.json")
    assert LabelSpace.load(tmp_path / "space.json").labels[0].spelling == "bear?"


def test_file_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text('{"lables": []}', "utf-8")
    with pytest.raises(UsageError, match="labels"):
        LabelSpace.load(path)
    with pytest.raises(UsageError, match="cannot be read"):
        LabelSpace.load(tmp_path / "nowhere.json")
    with pytest.raises(UsageError, match="is no JSON"):
        LabelSpace.from_json("{", "model.safetensors")
    with pytest.raises(UsageError, match="is no JSON"):
        LabelSpace.from_json("[" * 100_000, "model.safetensors")
    with pytest.raises(UsageError, match="does not fit"):
        LabelSpace.from_json("[]", "model.safetensors")


def test_tables_that_point_outside_are_refused() -> None:
    rows = np.array([0, 2], np.int64)
    with pytest.raises(DataRefused, match="row 0 or 2; there are 2"):
        TagTable(pictures=2, rows=rows, raw_ids=np.array([0, 0]), raw=["a"])
    with pytest.raises(DataRefused, match="differ in length"):
        TagTable(pictures=3, rows=rows, raw_ids=np.array([0]), raw=["a"])


def test_digest_tells_other_tables_apart() -> None:
    digests = {
        build_label_space(table).space.table_digest
        for table in (
            table_of([["a"], ["b"]]),
            table_of([["a", "b"], []]),
            table_of([["a", "a"], ["b"]]),
            table_of([["a"], ["b"], []]),
            table_of([["A"], ["b"]]),
            table_of([["a"], ["b"]], owners=[0, 1]),
            table_of([["a"], ["b"]], owners=[0, 0]),
        )
    }
    assert len(digests) == 7
