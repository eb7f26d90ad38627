"""Writing systems as people see them, whatever the string."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.tags.writing import writing_system


@pytest.mark.parametrize(
    ("tag", "system"),
    [
        ("#GoldenHour_2019", "Latin"),
        ("Straße", "Latin"),
        ("ｗｉｄｅ", "Latin"),  # noqa: RUF001 - full-width on purpose
        ("закат", "Cyrillic"),
        ("м\u02bcята", "Cyrillic"),  # noqa: RUF001 - an apostrophe that is a letter
        ("θάλασσα", "Greek"),
        ("夕日", "Chinese characters"),
        ("佐々木", "Chinese characters"),
        ("食べ物", "Hiragana or Katakana"),
        ("ラーメン", "Hiragana or Katakana"),
        ("ｶﾞﾗｽ", "Hiragana or Katakana"),
        ("노을", "Hangul"),
        ("غروب", "Arabic"),
        ("שקיעה", "Hebrew"),
        ("सूर्यास्त", "Devanagari"),
        ("Tシャツ", "mixed"),
        ("c\u0430t", "mixed"),  # a Cyrillic a
        ("2019", "digits only"),
        ("٢٠١٩", "digits only"),
        ("🐶", "emoji only"),
        ("#👨\u200d👩\u200d👧", "emoji only"),
        ("❤\ufe0f", "emoji only"),
        ("!?", "signs only"),
        ("", "signs only"),
    ],
)
def test_the_writing_system_of_a_tag(tag: str, system: str) -> None:
    assert writing_system(tag) == system


@given(st.text())
def test_every_string_has_one_that_signs_around_it_do_not_change(tag: str) -> None:
    system = writing_system(tag)
    assert system
    assert writing_system(f"#{tag}_") == system
