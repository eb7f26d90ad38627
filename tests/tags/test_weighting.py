"""A file of tag weights finds the labels that a corpus's tags find, and what it cannot mean names its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tagwise.base.errors import DataRefused, UsageError
from tagwise.tags.labelling import build_label_space
from tagwise.tags.space import LabelOptions, LabelSpace
from tagwise.tags.table import TagTable
from tagwise.tags.weighting import read_tag_weights

RAW = ("brown bear", "kites", "kite", "owl", "spam")


@pytest.fixture
def space() -> LabelSpace:
    """Brown bear, kite with its plural, owl, the commonest first; spam is denied."""
    said = np.repeat(np.arange(len(RAW)), (4, 1, 3, 2, 9))
    table = TagTable(pictures=len(said), rows=np.arange(len(said)), raw_ids=said, raw=RAW)
    options = LabelOptions()
    built = build_label_space(table, options, aliases={"ursusarctos": "brownbear"}, deny=("spam",)).space
    assert [label.key for label in built.labels] == ["brownbear", "kite", "owl"]
    return built


def write(folder: Path, content: str) -> Path:
    path = folder / "weights.csv"
    path.write_text(content, "utf-8")
    return path


@pytest.mark.parametrize(
    "content",
    [
        "tag,weight\n#Brown_Bear,2.5\nowl,1e-1\n",
        "Tag\tWeight\nUrsus arctos\t2.5\n\nOwl\t0.1\n",
        '\ufeffowl,0.1\r\n"brown, bear",2.5\r\n',
        "owl, 0.1\nbrown bear,2.5\nBROWN-BEAR,2.50\n",
    ],
)
def test_weights_stand_at_their_labels_and_the_others_weigh_1(tmp_path: Path, space: LabelSpace, content: str) -> None:
    weights_V = read_tag_weights(write(tmp_path, content), space)
    assert weights_V.dtype == np.float32
    assert weights_V.tolist() == pytest.approx([2.5, 1.0, 0.1])


def test_a_plural_weighs_for_its_label(tmp_path: Path, space: LabelSpace) -> None:
    assert read_tag_weights(write(tmp_path, "Kites,3\n"), space).tolist() == [1, 3, 1]


@pytest.mark.parametrize("weight", ["nan", "inf", "-inf", "-1", "0", "-0.0", "1e39", "1e-46"])
def test_a_weight_is_a_number_above_0(tmp_path: Path, space: LabelSpace, weight: str) -> None:
    with pytest.raises(UsageError, match=rf"line 3: 'kite' weighs {weight}; give a number above 0"):
        read_tag_weights(write(tmp_path, f"owl,1\n\nkite,{weight}\n"), space)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no weights"),
        ("tag,weight\n", "holds no weights"),
        ("owl,2\nkite\n", "line 2: 'kite' is no tag and weight"),
        ("owl,much\n", "line 1: 'owl, much' is no tag and weight"),
        ("tag,weight,why\nowl,2,rare\n", "line 1: 'tag, weight, why' is no tag and weight"),
        ("owl,2\nkite,1\nkites,3\n", "line 3: 'kites' weighs 3 here, and its label 'kite' 1 above; keep one"),
        ('owl,2\n"kite,3\n', r"line 2: .*; write it as a CSV or TSV table"),
    ],
)
def test_what_is_no_weight_is_refused(tmp_path: Path, space: LabelSpace, content: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_tag_weights(write(tmp_path, content), space)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, space: LabelSpace) -> None:
    (tmp_path / "latin.csv").write_bytes("h\xe9ron,2\n".encode("latin-1"))
    for name in ("nowhere.csv", "latin.csv"):
        with pytest.raises(UsageError, match=rf"The tag weights .*{name} cannot be read"):
            read_tag_weights(tmp_path / name, space)


def test_tags_that_are_no_labels_are_counted(
    tmp_path: Path, space: LabelSpace, capsys: pytest.CaptureFixture[str]
) -> None:
    """A denied tag is none."""
    read_tag_weights(write(tmp_path, "owl,2\nspam,3\nyak,1\n"), space)
    assert capsys.readouterr().err == "2 tags of weights.csv are no labels and are passed over, such as 'spam'.\n"


def test_a_file_for_other_labels_is_refused_with_the_nearest(tmp_path: Path, space: LabelSpace) -> None:
    with pytest.raises(DataRefused, match=r"None of the 2 tags of .* is a label; the nearest of 'Kyte' is 'kite'\."):
        read_tag_weights(write(tmp_path, "Kyte,2\nyak,1\n"), space)
    with pytest.raises(DataRefused, match=r"None of the 1 tags of .* is a label, such as '###'\."):
        read_tag_weights(write(tmp_path, "###,2\n"), space)
