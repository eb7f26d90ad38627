"""Targets: every form read, every doubt refused, and a test part that no search can open."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused, TagwiseError, UsageError
from tagwise.base.views import View
from tagwise.pixels.place import Place
from tagwise.transfer import targets
from tagwise.transfer.opening import open_labelled, open_target
from tagwise.transfer.targets import Part, Target, pack_part, stratified_folds
from tests.transfer.conftest import Fill

VIEW = View(resolution=8, resize=8)


def names_of(part: Part, target: Target) -> list[str]:
    pairs = zip(part.places, part.truth, strict=True)
    return [f"{target.classes[kind]}/{Path(place.path).name}" for place, kind in pairs]


def write_table(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("".join(f"{picture},{kind}\n" for picture, kind in [("file", "species"), *rows]), "utf-8")
    return path


def test_train_and_test_folders(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path / "birds" / "train", wren=3, owl=2)
    fill(tmp_path / "birds" / "test", seed=1, wren=1, owl=4)
    target = open_target(tmp_path / "birds")
    assert (target.name, target.classes, target.test_pictures) == ("birds", ("owl", "wren"), 5)
    assert target.validation is None
    assert names_of(target.train, target) == [f"owl/{n:03d}.png" for n in range(2)] + [
        f"wren/{n:03d}.png" for n in range(3)
    ]
    assert target.open_test().truth.tolist() == [0, 0, 0, 0, 1]
    assert [target.train.name, target.open_test().name] == ["train", "test"]


@pytest.mark.parametrize("name", ["val", "validation"])
def test_a_validation_part_beside_them(tmp_path: Path, fill: Fill, name: str) -> None:
    for seed, part in enumerate(("train", "test", name)):
        fill(tmp_path / part, seed=seed, wren=2, owl=2)
    target = open_target(tmp_path)
    assert target.validation is not None
    assert (target.validation.name, len(target.validation)) == ("validation", 4)


def test_plain_class_folders_give_no_test_part_unless_asked(tmp_path: Path, fill: Fill) -> None:
    target = open_target(fill(tmp_path / "birds", wren=3, owl=3))
    assert (len(target.train), target.test_pictures, target.test_digest) == (6, 0, None)
    with pytest.raises(UsageError, match=r"birds has no test part; .* --test-fraction"):
        target.open_test()


def test_a_class_may_be_called_train(tmp_path: Path, fill: Fill) -> None:
    """A vehicle, in more than one well-known set."""
    target = open_target(fill(tmp_path, bus=3, train=3), test_fraction=0.4)
    assert target.classes == ("bus", "train")


def test_pictures_deep_in_a_class_folder_belong_to_it(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path, wren=2, owl=2)
    fill(tmp_path / "wren", spring=2)
    target = open_target(tmp_path)
    assert target.classes == ("owl", "wren")
    assert np.bincount(target.train.truth).tolist() == [2, 4]


def test_a_fraction_is_set_aside_from_each_class(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path, wren=10, owl=5)
    target = open_target(tmp_path, test_fraction=0.4)
    test = target.open_test()
    assert np.bincount(test.truth).tolist() == [2, 4]
    assert np.bincount(target.train.truth).tolist() == [3, 6]
    assert not set(test.places) & set(target.train.places)
    assert len({*test.places, *target.train.places}) == 15
    again, other = (open_target(tmp_path, test_fraction=0.4, seed=seed) for seed in (0, 1))
    assert again.test_digest == target.test_digest != other.test_digest


def test_a_test_folder_elsewhere(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path / "mine", wren=2, owl=2)
    fill(tmp_path / "theirs", seed=1, wren=3, owl=1)
    target = open_target(tmp_path / "mine", test=tmp_path / "theirs")
    assert target.open_test().truth.tolist() == [0, 1, 1, 1]
    assert target.few_labelled(2, 0).test_name == target.test_name == "theirs"


def test_tables_with_a_column_of_classes(tmp_path: Path, fill: Fill, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows without a picture or a class are passed over, the former with a word."""
    fill(tmp_path, wren=2, owl=2)
    rows = [(f"{kind}/{n:03d}.png", kind) for kind in ("wren", "owl") for n in range(2)]
    table = write_table(tmp_path / "birds.csv", [*rows, ("", "wren"), ("owl/000.png", "")])
    target = open_target(table, class_column="species")
    assert names_of(target.train, target) == ["wren/000.png", "wren/001.png", "owl/000.png", "owl/001.png"]
    assert target.name == "birds.csv"
    assert "1 rows of birds.csv name no picture" in capsys.readouterr().err
    fill(tmp_path / "unseen", seed=1, wren=2, owl=1)
    test = write_table(tmp_path / "test.csv", [(f"unseen/{picture}", kind) for picture, kind in rows[:3]])
    target = open_target(table, class_column="species", picture_column="file", test=test)
    assert target.open_test().truth.tolist() == [1, 1, 0]


def test_a_class_may_hold_commas_and_hashes_in_a_table(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path, a=2)
    classes = ('"wren, winter"', "c#", "c#", '"wren, winter"')
    table = write_table(tmp_path / "t.csv", [(f"a/00{n % 2}.png", kind) for n, kind in enumerate(classes)])
    assert open_target(table, class_column="species").classes == ("c#", "wren, winter")


@pytest.mark.parametrize(
    "names",
    [
        ("-rf", "--test"),
        ("wren owl", "wren  owl"),
        ("=1+1", "'; DROP TABLE"),
        ("東京", "🐻"),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"),
        ("line\nbreak", "tab\tstop"),
        ("[bold]red", "{0}%s"),
        ("1", "01"),
    ],
)
def test_hostile_class_names_stay_what_they_are(tmp_path: Path, fill: Fill, names: tuple[str, str]) -> None:
    """Two names are two classes, to the byte."""
    for name in names:
        fill(tmp_path / "target", **{name: 3})
    target = open_target(tmp_path / "target", test_fraction=0.34)
    assert set(target.classes) == set(names)
    assert len(pack_part(target.train, VIEW, tmp_path / "pixels").truth) == 4


def test_names_that_are_no_text_have_a_digest_too(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path, wren=2, owl=2)
    broken = os.fsencode(tmp_path) + b"/owl/\xff.png"
    try:
        shutil.copy(os.fsencode(tmp_path / "owl" / "000.png"), broken)
    except OSError:
        pytest.skip("this file system holds text names alone")
    target = open_target(tmp_path)
    assert len(target.train) == 5
    assert len(target.train.digest) == 16
    assert len(pack_part(target.train, VIEW, tmp_path / "pixels").truth) == 5


def test_one_class_is_no_target(tmp_path: Path, fill: Fill) -> None:
    with pytest.raises(DataRefused, match="has 1 class; a target needs at least two"):
        open_target(fill(tmp_path, wren=3))


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ({"wren": 1, "owl": 1, "kite": 1}, r"by 1 classes which train lacks \(kite\)"),
        ({"wren": 1}, r"by 1 classes missing from it \(owl\)"),
        ({"Wren": 1, "owl": 1}, r"by 1 classes which train lacks \(Wren\)"),
    ],
)
def test_parts_of_different_classes_are_refused(tmp_path: Path, fill: Fill, test: dict[str, int], message: str) -> None:
    fill(tmp_path / "train", wren=2, owl=2)
    fill(tmp_path / "test", seed=1, **test)
    with pytest.raises(DataRefused, match=f"The test part .* differs from train {message}") as caught:
        open_target(tmp_path)
    assert caught.value.exit_code == 3


def test_a_fraction_needs_two_pictures_a_class(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path, wren=9, owl=1)
    for fraction in (0.2, 0.9):
        with pytest.raises(
            DataRefused, match=r"The class of .*/(owl|wren)/00\d\.png has (9 pictures|1 picture) and cannot"
        ):
            open_target(tmp_path, test_fraction=fraction)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_a_fraction_is_a_share(tmp_path: Path, fill: Fill, fraction: float) -> None:
    with pytest.raises(UsageError, match="--test-fraction is a share between 0 and 1"):
        open_target(fill(tmp_path, wren=9, owl=9), test_fraction=fraction)


def test_two_test_parts_are_one_too_many(tmp_path: Path, fill: Fill) -> None:
    whole, plain = tmp_path / "whole", fill(tmp_path / "plain", wren=4, owl=4)
    fill(whole / "train", wren=2, owl=2)
    fill(whole / "test", seed=1, wren=2, owl=2)
    with pytest.raises(UsageError, match="leave --test away"):
        open_target(whole, test=plain)
    with pytest.raises(UsageError, match="leave --test-fraction away"):
        open_target(whole, test_fraction=0.5)
    with pytest.raises(UsageError, match="exclude each other"):
        open_target(plain, test=plain, test_fraction=0.5)


def test_what_is_no_target_is_said(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path, wren=2, owl=2)
    table = write_table(tmp_path / "t.csv", [("wren/000.png", "wren"), ("owl/000.png", "owl")])
    with pytest.raises(UsageError, match=r"There is no .*nowhere"):
        open_target(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is a table; give --class-column"):
        open_target(table)
    with pytest.raises(UsageError, match=r"no column 'specie' in t\.csv; the nearest .*species"):
        open_target(table, class_column="specie")
    with pytest.raises(UsageError, match=r"holds the table t\.csv"):
        open_target(tmp_path)


def test_broken_pictures_are_counted_and_named(tmp_path: Path, fill: Fill, capsys: pytest.CaptureFixture[str]) -> None:
    """One in twenty is the most that is borne."""
    fill(tmp_path / "birds", wren=10, owl=10)
    (tmp_path / "birds" / "owl" / "003.png").write_bytes(b"no picture")
    target = open_target(tmp_path / "birds")
    pictures = pack_part(target.train, VIEW, tmp_path / "pixels")
    assert len(pictures.images_NHWC) == len(pictures.truth) == 19
    assert pictures.rows.tolist() == [row for row in range(20) if row != 3]
    assert pictures.truth.tolist() == [0] * 9 + [1] * 10
    talk = capsys.readouterr().err
    assert "owl/003.png is left out" in talk
    assert "1 of 20 pictures of the train part are left out" in talk
    (tmp_path / "birds" / "wren" / "004.png").write_bytes(b"")
    with pytest.raises(DataRefused, match="2 of 20 pictures of the train part cannot be read, above 5%"):
        pack_part(open_target(tmp_path / "birds").train, VIEW, tmp_path / "pixels")


def test_w18_a_search_that_opens_the_test_part_fails(tmp_path: Path, fill: Fill) -> None:
    target = open_target(fill(tmp_path / "birds", wren=4, owl=4), test_fraction=0.5)
    with target.searching(), pytest.raises(TagwiseError, match="birds was opened during a search") as caught:
        target.open_test()
    assert caught.value.exit_code == 1
    assert target.looks == 0


def test_w18_each_look_is_counted_and_the_seal_holds_after_a_failed_search(tmp_path: Path, fill: Fill) -> None:
    target = open_target(fill(tmp_path, wren=4, owl=4), test_fraction=0.5)
    with pytest.raises(ZeroDivisionError), target.searching():
        1 / 0  # noqa: B018
    for looks in (1, 2, 3):
        target.open_test()
        assert target.looks == looks


def test_w18_the_digest_tells_splits_apart_without_a_look(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path / "birds", wren=4, owl=4)
    target = open_target(tmp_path / "birds", test_fraction=0.5)
    digest = target.test_digest
    assert digest is not None
    assert len(digest) == 16
    assert target.looks == 0
    moved = Path(shutil.copytree(tmp_path / "birds", tmp_path / "elsewhere"))
    assert open_target(moved, test_fraction=0.5).test_digest == digest, "the same on every machine"
    test = target.open_test()
    for changed in (
        Part(name="test", places=test.places[:-1], truth=test.truth[:-1]),
        Part(name="test", places=test.places, truth=1 - test.truth),
    ):
        assert changed.digest != digest


def test_w18_a_changed_test_picture_is_another_test_part(tmp_path: Path, fill: Fill) -> None:
    """The digest is of what the files hold: a new picture under the old name is not the old one."""
    fill(tmp_path / "train", wren=2, owl=2)
    fill(tmp_path / "test", seed=1, wren=2, owl=2)
    before = open_target(tmp_path)
    fill(tmp_path / "test", seed=2, owl=1)
    after = open_target(tmp_path)
    assert after.train.digest == before.train.digest
    assert after.test_digest != before.test_digest


def test_w18_a_look_is_on_record_before_the_part_is_handed_out(tmp_path: Path, fill: Fill) -> None:
    target = open_target(fill(tmp_path, wren=4, owl=4), test_fraction=0.5)

    def full_disk() -> None:
        raise TagwiseError("The disk is full.")

    target.on_look = full_disk
    with pytest.raises(TagwiseError, match="disk is full"):
        target.open_test()
    seen: list[int] = []
    target.on_look = lambda: seen.append(target.looks)
    with pytest.raises(TagwiseError, match="during a search"), target.searching():
        target.open_test()
    target.open_test()
    assert seen == [2], "one look each, and none while a search is refused one"


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_part_that_equals_train_is_refused(tmp_path: Path, fill: Fill, part: str) -> None:
    """The trap in which every score is perfect."""
    fill(tmp_path / "train", wren=3, owl=3)
    fill(tmp_path / "test", seed=1, wren=3, owl=3)
    shutil.copytree(tmp_path / "train", tmp_path / part, dirs_exist_ok=True)
    with pytest.raises(DataRefused, match=f"6 of 6 {part} pictures of .* are copies of training pictures") as caught:
        open_target(tmp_path)
    assert caught.value.exit_code == 3
    assert f"{tmp_path / part}" in str(caught.value)


def test_the_training_pictures_themselves_are_no_test_part(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path, wren=3, owl=3)
    with pytest.raises(DataRefused, match="6 of 6 test pictures"):
        open_target(tmp_path, test=tmp_path)


def test_a_picture_that_lies_there_many_times_is_no_test_part_of_itself(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path, wren=1, owl=1)
    for kind in ("wren", "owl"):
        for number in range(1, 10):
            shutil.copy(tmp_path / kind / "000.png", tmp_path / kind / f"{number:03d}.png")
    with pytest.raises(
        DataRefused, match="has 10 pictures, 1 where copies count once, and cannot give 40% of them to a t"
    ):
        open_target(tmp_path, test_fraction=0.4)


@pytest.mark.parametrize("seed", range(5))
def test_copies_stay_together_whichever_part_they_are_drawn_into(tmp_path: Path, fill: Fill, seed: int) -> None:
    """Under any name and class."""
    fill(tmp_path, wren=10, owl=10)
    plain = open_target(tmp_path, test_fraction=0.2, holdout="2/class", seed=seed)
    assert [len(part) for part in (plain.train, plain.validation, plain.open_test()) if part] == [12, 4, 4]
    twice = [tmp_path / "wren" / "000.png", tmp_path / "wren" / "001.png", tmp_path / "owl" / "002.png"]
    for number, path in enumerate(twice):
        shutil.copy(path, path.with_name(f"9{number}.png"))
    shutil.copy(tmp_path / "wren" / "005.png", tmp_path / "owl" / "99.png")
    target = open_target(tmp_path, test_fraction=0.2, holdout="2/class", seed=seed)
    assert target.validation is not None
    parts = [set(part.contents) for part in (target.train, target.validation, target.open_test())]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 20, "no content is in two parts"
    assert [len(np.unique(part.truth)) for part in (target.train, target.validation, target.open_test())] == [2, 2, 2]


def test_a_file_is_read_once_for_all_the_parts_that_are_drawn(
    tmp_path: Path, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def content(place: Place) -> str:
        read.append(Path(place.path))
        return place.path

    monkeypatch.setattr(targets, "_content", content)
    target = open_target(fill(tmp_path, wren=5, owl=5), test_fraction=0.2, holdout="1/class")
    assert target.train.digest != target.test_digest
    assert sorted(read) == sorted(tmp_path.glob("*/*.png"))


def test_a_broken_picture_in_a_part_that_we_drew_counts_among_all_that_it_was_drawn_from(
    tmp_path: Path, fill: Fill, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of 40 is borne, though it is one of the 8 held out; three are not, nor is a part of nothing else."""
    fill(tmp_path / "birds", wren=20, owl=20)

    def held_out() -> Part:
        part = open_target(tmp_path / "birds", holdout="0.2").validation
        assert part is not None
        return part

    def damage(count: int) -> list[str]:
        paths = [Path(place.path) for place in held_out().places[:count]]
        for path in paths:
            path.write_bytes(f"{path} is no picture".encode())
        return [str(path) for path in paths]

    broken = damage(1)
    assert len(pack_part(held_out(), VIEW, tmp_path / "p").rows) == 7
    assert f"{broken[0]} is left out" in capsys.readouterr().err
    damage(3)
    with pytest.raises(
        DataRefused, match="3 of 8 pictures of the validation part cannot be read, above 5% of the 40 that"
    ):
        pack_part(held_out(), VIEW, tmp_path / "p")
    alone = Part(name="validation", places=held_out().places[:1], truth=held_out().truth[:1], drawn_from=40)
    with pytest.raises(DataRefused, match="1 of 1 pictures of the validation part cannot be read; mend or remove them"):
        pack_part(alone, VIEW, tmp_path / "p")


def test_a_slip_in_a_name_hears_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for opened in (open_target, open_labelled):
        with pytest.raises(UsageError, match="no folder, table or name 'cifar1'; the nearest are cifar10, cifar100"):
            opened(Path("cifar1"))


def test_one_copy_in_a_hundred_is_said_and_two_are_refused(
    tmp_path: Path, fill: Fill, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under any name and class: bytes decide."""
    fill(tmp_path / "train", wren=2, owl=2)
    fill(tmp_path / "test", seed=1, wren=50, owl=50)
    shutil.copy(tmp_path / "train" / "wren" / "001.png", tmp_path / "test" / "owl" / "007.png")
    assert open_target(tmp_path).test_pictures == 100
    talk = capsys.readouterr().err
    assert "1 of 100 test pictures" in talk
    assert "owl/007.png" in talk
    shutil.copy(tmp_path / "train" / "owl" / "000.png", tmp_path / "test" / "wren" / "040.png")
    with pytest.raises(DataRefused, match="2 of 100 test pictures"):
        open_target(tmp_path)


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(2, 6), st.integers(0, 99))
def test_folds_share_each_class_evenly(kinds: list[int], folds: int, seed: int) -> None:
    truth = np.array(kinds, np.int64)
    fold_of = stratified_folds(truth, folds, seed)
    assert fold_of.tolist() == stratified_folds(truth, folds, seed).tolist()
    for kind in np.unique(truth):
        own = fold_of[truth == kind]
        if len(own) == 1:
            assert own.tolist() == [-1], "the only picture of a class is always learnt from"
        else:
            counts = np.bincount(own, minlength=folds)
            assert len(counts) == folds
            assert counts.max() - counts.min() <= 1


def test_folds_differ_by_seed() -> None:
    truth = np.repeat(np.arange(4), 50)
    folds = [stratified_folds(truth, 5, seed) for seed in range(20)]
    assert len({fold.tobytes() for fold in folds}) == 20


@pytest.mark.parametrize("picture", ['"s3://bucket/a.png"', '{"bytes": null, "path": "s3://bucket/a.png"}'])
def test_a_target_is_read_from_files(tmp_path: Path, picture: str) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text("".join(f'{{"file": {picture}, "species": "{kind}"}}\n' for kind in ("owl", "wren")), "utf-8")
    with pytest.raises(UsageError, match=r"s3://bucket/a\.png of .*t\.jsonl is no file of its own"):
        open_target(table, class_column="species")


def test_few_labels_are_drawn_by_the_seed_and_the_test_stays(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path / "t" / "train", wren=20, owl=30)
    fill(tmp_path / "t" / "val", seed=2, wren=3, owl=3)
    fill(tmp_path / "t" / "test", seed=1, wren=4, owl=4)
    target = open_target(tmp_path / "t")
    few, again, other = (target.few_labelled(5, seed) for seed in (0, 0, 1))
    assert np.bincount(few.train.truth).tolist() == [5, 5]
    assert few.train.digest == again.train.digest != other.train.digest
    assert few.test_digest == target.test_digest
    assert few.validation is None
    for place, kind in zip(few.train.places, few.train.truth, strict=True):
        assert Path(place.path).parent.name == few.classes[kind]


def test_few_labels_need_two_a_class_and_as_many_pictures(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path / "t" / "train", wren=3, owl=9)
    target = open_target(tmp_path / "t")
    with pytest.raises(UsageError, match="--per-class is 2 or more, not 1"):
        target.few_labelled(1, 0)
    with pytest.raises(DataRefused, match="class wren of t has 3 training pictures, fewer than --per-class 5"):
        target.few_labelled(5, 0)
