"""Lengths of trainings as people write them, seconds as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.durations import LONGEST, clock, parse_images
from tagwise.base.errors import UsageError


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("150000", 150_000),
        ("150k", 150_000),
        ("150 K", 150_000),
        ("150_000", 150_000),
        ("150,000", 150_000),
        ("1.5m", 1_500_000),
        ("3.5e9", 3_500_000_000),
        ("3.5b", 3_500_000_000),
        ("1 epoch", 40),
        ("20 epochs", 800),
        (" 0.5 Epochs ", 20),
        ("2.5epochs", 100),
    ],
)
def test_a_length_is_read_as_people_write_it(text: str, images: int) -> None:
    assert parse_images(text, epoch_images=40) == images


@pytest.mark.parametrize("text", ["", "many", "-5", "1e", "5 epoch s", "k", "1.2.3", "nan", "inf", "5q", "٣"])
def test_what_is_no_length_is_wrong_use(text: str) -> None:
    with pytest.raises(UsageError, match="is no number of pictures; write 150000"):
        parse_images(text, epoch_images=40)


@pytest.mark.parametrize("text", ["0", "0.2", "0 epochs", "0.001 epochs"])
def test_less_than_a_picture_is_wrong_use(text: str) -> None:
    with pytest.raises(UsageError, match="less than one picture"):
        parse_images(text, epoch_images=40)


@pytest.mark.parametrize(
    "text", ["1e999", "1e308b", "1e16", "1000000.1b", "9" * 400, "1e999k", "1" + "0" * 400 + " epochs"]
)
def test_more_than_anything_can_see_is_wrong_use(text: str) -> None:
    """Not a crash at infinity, nor a training that never ends."""
    with pytest.raises(UsageError, match=r"is more than the longest training, 1e\+15 pictures"):
        parse_images(text, epoch_images=40)


def test_the_longest_training_is_a_length() -> None:
    assert parse_images("1e15", 40) == parse_images("1,000,000b", 40) == LONGEST


@given(st.integers(1, 10**12))
def test_every_way_of_writing_a_number_means_the_same(images: int) -> None:
    assert {parse_images(text, 1) for text in (str(images), f"{images:,}", f"{images:_}", f"{images} epochs")} == {
        images
    }


@given(st.text())
def test_any_text_is_a_length_or_wrong_use(text: str) -> None:
    try:
        assert parse_images(text, 10) >= 1
    except UsageError as error:
        assert repr(text) in str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (48 * 3600, "2.0 days"),
        (22 * 86400, "22.0 days"),
    ],
)
def test_seconds_are_told_as_people_read_them(seconds: float, told: str) -> None:
    assert clock(seconds) == told
