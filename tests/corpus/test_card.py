"""The data card says what is in the tables, counted again here by hand."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagwise.base.settings import from_plain, to_plain
from tagwise.corpus.card import Card, card_facts
from tagwise.corpus.intake import Verdict
from tagwise.corpus.post import Post
from tagwise.corpus.table import Corpus
from tagwise.corpus.writer import commit_corpus, write_corpus
from tagwise.pixels.place import Place
from tagwise.tags.key import canonical_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

USED = Verdict(bucket="used", bytes=1000, width=40, height=30, sha256="ab")


def post(number: int, *tags: str, owner: str | None = None, licence: str | None = None) -> Post:
    return Post(key=f"{number}.png", picture=Place(f"{number}.png"), tags=tags, owner=owner, licence=licence)


def gathered(folder: Path, judged: Sequence[tuple[Post, Verdict]]) -> Corpus:
    with write_corpus(folder) as writer:
        for one, verdict in judged:
            writer.add(one, verdict)
    forms = [{"source": "pictures.csv", "form": "csv"}]
    return commit_corpus(folder, writer.record(forms=forms, rules={"licences": "all"}, source_digest="s"))


def card_of(folder: Path, posts: Sequence[Post]) -> Card:
    return card_facts(gathered(folder, [(one, USED) for one in posts]))


def test_w22_every_bucket_is_counted_with_its_share_and_opt_outs_and_licences_are_buckets(tmp_path: Path) -> None:
    ends = ["used"] * 5 + ["opted out"] * 2 + ["licence"] * 2 + ["damaged"]
    judged = [(post(number, "x"), USED if end == "used" else Verdict(bucket=end)) for number, end in enumerate(ends)]
    corpus = gathered(tmp_path, judged)
    card = card_facts(corpus)
    assert {part.name: part.items for part in card.buckets} == corpus.record.buckets
    found = {part.name: (part.items, part.items_fraction) for part in card.buckets if part.items}
    assert found == {"used": (5, 0.5), "damaged": (1, 0.1), "opted out": (2, 0.2), "licence": (2, 0.2)}
    assert (card.read, card.used, card.skipped_list) == (10, 5, "skipped.csv")
    assert (tmp_path / card.skipped_list).is_file()


def test_a_bucket_of_another_day_is_counted_as_it_comes(tmp_path: Path) -> None:
    corpus = gathered(tmp_path, [(post(0, "x"), USED)])
    record = replace(corpus.record, read=4, buckets={"used": 1, "lost at sea": 3})
    buckets = card_facts(replace(corpus, record=record)).buckets
    assert [(part.name, part.items_fraction) for part in buckets] == [("used", 0.25), ("lost at sea", 0.75)]


def test_pictures_are_measured(tmp_path: Path) -> None:
    sizes = [
        replace(USED, width=10 * number, height=5 * number, bytes=number, notes=("tiny",) * (number < 3))
        for number in range(1, 101)
    ]
    facts = card_facts(gathered(tmp_path, [(post(number, "x"), size) for number, size in enumerate(sizes)])).pictures
    assert facts is not None
    assert facts.bytes == 5050
    assert to_plain(facts.width) == {"low": 50, "median": 500, "high": 950}
    assert to_plain(facts.height) == {"low": 25, "median": 250, "high": 475}
    assert to_plain(facts.notes) == [{"name": "tiny", "items": 2, "items_fraction": 0.02}]


def test_a_table_of_tags_alone_has_a_card_without_pictures(tmp_path: Path) -> None:
    judged = [(replace(post(number, "x"), picture=None), Verdict(bucket="used")) for number in range(3)]
    card = card_facts(gathered(tmp_path, judged))
    assert card.pictures is None
    assert card.tags.entries == 3
    assert [example.key for example in card.sample] == ["0.png", "1.png", "2.png"]


WORDS = st.sampled_from(["cat", "Cat", "#cat", "dog", "Dog!", "2019", "🐶", "!?", "кот", "a", "b", "c"])
POSTS = st.lists(
    st.tuples(st.lists(WORDS, min_size=1, max_size=6), st.sampled_from(["ann", "bob", "eve", None])),
    min_size=1,
    max_size=40,
)


@given(POSTS)
@settings(max_examples=40)
def test_tags_and_owners_are_counted_as_by_hand(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[list[str], str | None]]
) -> None:
    posts = [post(number, *tags, owner=owner) for number, (tags, owner) in enumerate(drawn)]
    card = card_of(tmp_path_factory.mktemp("corpus"), posts)
    uses = Counter(tag for tags, _ in drawn for tag in tags)
    held = Counter(key for tags, _ in drawn for key in {canonical_key(tag) for tag in tags} - {""})
    facts = card.tags
    assert (facts.entries, facts.spellings, facts.keys) == (uses.total(), len(uses), len(held))
    assert facts.keyless_spellings == len({"🐶", "!?"} & set(uses))
    assert facts.once_fraction == sum(count == 1 for count in uses.values()) / len(uses)
    assert {tag.key: tag.pictures for tag in facts.head} == dict(held)
    assert [tag.pictures for tag in facts.head] == sorted(held.values(), reverse=True)
    for tag in facts.head:
        assert uses[tag.spelling] == max(uses[raw] for raw in uses if canonical_key(raw) == tag.key)
    assert sum(part.items for part in facts.tail) == len(held)
    assert facts.tail[0].items == sum(count == 1 for count in held.values())
    assert [count for _, count in facts.pictures_by_rank] == sorted(held.values(), reverse=True)
    rare = [tags for tags, _ in drawn if all(held[canonical_key(tag)] < 10 for tag in tags)]
    assert facts.rare_fraction == len(rare) / len(drawn)
    assert sum(system.entries for system in facts.writing_systems) == uses.total()
    check_owners(card, drawn)


def check_owners(card: Card, drawn: list[tuple[list[str], str | None]]) -> None:
    posted = Counter(owner for _, owner in drawn if owner)
    if not posted:
        assert card.owners is None
        return
    said = defaultdict(set)
    for tags, owner in drawn:
        for key in {canonical_key(tag) for tag in tags if owner} - {""}:
            said[key].add(owner)
    alone = sum(len(owners) == 1 for owners in said.values())
    assert card.owners is not None
    assert (card.owners.owners, card.owners.ownerless_pictures) == (len(posted), len(drawn) - posted.total())
    assert (card.owners.largest_owners, card.owners.one_owner_keys) == (1, alone)
    assert card.owners.largest_fraction == max(posted.values()) / posted.total()
    assert card.owners.one_owner_fraction == alone / max(len(said), 1)


def test_the_largest_hundredth_of_the_owners_is_rounded_up(tmp_path: Path) -> None:
    posts = [post(number, "x", owner=f"owner {number % 150}") for number in range(300)]
    posts += [post(300 + number, "x", owner="owner 7") for number in range(20)]
    owners = card_of(tmp_path, posts).owners
    assert owners is not None
    assert owners.largest_owners == 2
    assert owners.largest_fraction == (22 + 2) / 320


def test_licences_are_counted_and_none_stated_is_one_of_them(tmp_path: Path) -> None:
    licences = ["CC0"] * 3 + [None] * 2 + ["CC-BY"]
    card = card_of(tmp_path, [post(number, "x", licence=licence) for number, licence in enumerate(licences)])
    assert [(part.name, part.items, part.items_fraction) for part in card.licences] == [
        ("CC0", 3, 0.5),
        (None, 2, 1 / 3),
        ("CC-BY", 1, 1 / 6),
    ]
    assert card.further_licences == 0


def test_a_column_that_is_no_licence_does_not_fill_the_card(tmp_path: Path) -> None:
    card = card_of(tmp_path, [post(number, "x", licence=f"licence {number}") for number in range(70)])
    assert (len(card.licences), card.further_licences) == (50, 20)


def test_ranks_are_few_for_any_number_of_tags_and_hold_the_first_and_the_last(tmp_path: Path) -> None:
    tags = [f"t{number}" for number in range(5000)]
    ranks = [rank for rank, _ in card_of(tmp_path, [post(0, *tags)]).tags.pictures_by_rank]
    assert len(ranks) < 120
    assert {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000} <= set(ranks)
    assert ranks == sorted(ranks)


def test_the_sample_is_24_rows_with_their_own_tags_and_the_same_every_time(tmp_path: Path) -> None:
    corpus = gathered(tmp_path, [(post(number, f"t{number}", "all", "all"), USED) for number in range(100)])
    sample = card_facts(corpus).sample
    assert len({example.row for example in sample}) == 24
    assert all(example.tags == [f"t{example.row}", "all", "all"] for example in sample)
    assert all(example.key == f"{example.row}.png" for example in sample)
    assert sample == card_facts(corpus).sample


def test_a_card_goes_through_json_and_back(tmp_path: Path) -> None:
    corpus = gathered(tmp_path, [(post(0, "x", "<b>", owner="ann"), USED), (post(1, "y"), USED)])
    card = card_facts(corpus)
    assert from_plain(Card, to_plain(card), "card.json") == card
    assert (card.version, card.digest) == (corpus.record.version, corpus.record.digest)
    assert card.rules == corpus.record.rules
    assert "ann" not in str(to_plain(card)), "owners are counted, not named"


def test_a_card_does_not_say_where_somebody_keeps_the_files(tmp_path: Path) -> None:
    forms = {
        "/home/ann/tagged photos": "tagged photos",
        "/home/ann/products.csv": "products.csv",
        "/home/ann/shards-{000..012}.tar": "shards-{000..012}.tar",
        "/home/ann/tables/*/t.csv": "*/t.csv",
        "s3://bucket/a/b.tar": "s3://bucket/a/b.tar",
    }
    with write_corpus(tmp_path / "corpus") as writer:
        writer.add(post(0, "x"), USED)
    told = [{"source": path, "form": "CSV table", "lexicon": "/home/ann/words.txt"} for path in forms]
    corpus = commit_corpus(tmp_path / "corpus", writer.record(forms=told, rules={}, source_digest="s"))
    assert [form["source"] for form in card_facts(corpus).forms] == list(forms.values())
    assert "/home/ann" not in str(card_facts(corpus).forms)
