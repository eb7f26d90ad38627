"""The first look over posts tells changes apart, and chooses the pictures that are decoded."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagwise.corpus.intake import ALL_DECODED, Rules, key_number
from tagwise.corpus.post import Post
from tagwise.corpus.survey import survey_posts
from tagwise.pixels.place import Place


def post(key: str, *tags: str, **facts: Any) -> Post:
    return Post(key=key, picture=None, tags=tags, **facts)


def chosen(keys: list[str], decoded: int | None) -> set[str]:
    below = survey_posts([post(key, "x") for key in keys], decoded=decoded).decoded_below
    return {key for key in keys if key_number(key) < below}


@settings(max_examples=50)
@given(left=st.lists(st.text(max_size=3), max_size=3), right=st.lists(st.text(max_size=3), max_size=3))
def test_different_tags_have_different_source_digests(left: list[str], right: list[str]) -> None:
    surveys = {tuple(tags): survey_posts([post("0", *tags)]) for tags in (left, right)}
    assert len({survey.digest for survey in surveys.values()}) == len(surveys)
    assert all(survey.posts == 1 for survey in surveys.values())


@settings(max_examples=100)
@given(keys=st.lists(st.text(max_size=4), max_size=30), decoded=st.integers(0, 30))
def test_as_many_keys_are_chosen_as_asked_those_of_the_smallest_numbers(keys: list[str], decoded: int) -> None:
    assert chosen(keys, decoded) == set(sorted(set(keys), key=key_number)[:decoded])
    assert chosen(keys, None) == set(keys)


@settings(max_examples=50)
@given(old=st.sets(st.text(max_size=4), max_size=20), new=st.sets(st.text(max_size=4)), decoded=st.integers(0, 20))
def test_with_more_posts_new_ones_alone_are_newly_chosen(old: set[str], new: set[str], decoded: int) -> None:
    assert chosen([*old, *new], decoded) & old <= chosen(list(old), decoded)


def test_what_is_left_out_anyway_is_not_chosen() -> None:
    rules = Rules(licences=frozenset({"cc0"}))
    posts = [post(f"{number}", "x", licence="by" if number % 2 else "CC0") for number in range(40)]
    left_out = [post("untagged"), post("private", "x", licence="cc0", opted_out=True)]
    below = survey_posts([*posts, *left_out], rules, decoded=10).decoded_below
    assert sum(key_number(one.key) < below for one in posts if one.licence == "CC0") == 10
    assert survey_posts(posts, rules, decoded=21).decoded_below == ALL_DECODED


def test_sizes_and_times_are_asked_for_by_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four answers must be on their way at once, or none comes."""
    together = threading.Barrier(4, timeout=10)

    def slow(_: Place) -> str:
        together.wait()
        return "1"

    monkeypatch.setattr(Place, "stamp", slow)
    posts = [Post(key=str(number), picture=Place(f"s3://bucket/{number}.png"), tags=("x",)) for number in range(8)]
    assert survey_posts(posts, workers=4).posts == 8
