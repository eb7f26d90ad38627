"""The raw ILSVRC layout, in every form that people have it, is read where it lies, and what does not fit is refused."""

from __future__ import annotations

import builtins
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from tagwise.base.errors import DataRefused, UsageError
from tagwise.nets.label_sets import class_names, synsets
from tagwise.transfer.evaluation import match_classes
from tagwise.transfer.opening import open_labelled, open_target
from tagwise.transfer.targets import Part

CLASSES = ("n01440764", "n01443537", "n01751748", "n02119789")
TRUTH = [2, 0, 3, 3, 1, 0]
"""Class of each validation picture, as a place among the sorted synsets."""
NAMES = [f"ILSVRC2012_val_{number:08d}" for number in range(1, len(TRUTH) + 1)]
NUMBERS = {"n02119789": 1, "n01751748": 2, "n01440764": 3, "n01443537": 4}
"""The devkit's own."""

Raw = Callable[..., Path]


def write_caffe(folder: Path, truth: list[int] = TRUTH) -> Path:
    path = folder / "val.txt"
    path.write_text("".join(f"{name}.JPEG {kind}\n" for name, kind in zip(NAMES, truth, strict=True)))
    return path


def write_kaggle(folder: Path) -> Path:
    path = folder / "LOC_val_solution.csv"
    pairs = zip(NAMES, TRUTH, strict=True)
    rows = [f"{name},{CLASSES[kind]} 240 170 443 396 {CLASSES[0]} 1 2 3 4 \n" for name, kind in pairs]
    path.write_text("".join(["ImageId,PredictionString\n", *reversed(rows)]))
    return path


def write_devkit(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "ILSVRC2012_validation_ground_truth.txt"
    path.write_text("".join(f"{NUMBERS[CLASSES[kind]]}\n" for kind in TRUTH))
    return path


def write_meta(folder: Path) -> None:
    """As the devkit's: a table of structs, the synsets above the classes among them, in no order of names."""
    rows = [(number, synset, "words") for synset, number in NUMBERS.items()] + [(1001, "n00004475", "organism")]
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")]
    savemat(folder / "meta.mat", {"synsets": np.array(rows, kinds)[:, None]})


@pytest.fixture
def raw(fill: Callable[..., Path]) -> Raw:
    """Writes ``train`` with four synsets, ``val`` flat, and ``test``, whose classes nobody knows."""

    def write(folder: Path) -> Path:
        fill(folder / "train", **dict.fromkeys(CLASSES, 3))
        for part, seed in (("val", 1), ("test", 2)):
            drawn = fill(folder / "drawn", seed=seed, drawn=len(TRUTH)) / "drawn"
            (folder / part).mkdir()
            for picture, name in zip(sorted(drawn.iterdir()), NAMES, strict=True):
                picture.rename(folder / part / f"{name.replace('val', part)}.JPEG")
            shutil.rmtree(folder / "drawn")
        return folder

    return write


def answers(part: Part, classes: tuple[str, ...]) -> dict[str, str]:
    return {Path(place.path).stem: classes[kind] for place, kind in zip(part.places, part.truth, strict=True)}


RIGHT = {name: CLASSES[kind] for name, kind in zip(NAMES, TRUTH, strict=True)}


@pytest.mark.parametrize(
    ("write", "where"),
    [
        (write_caffe, "."),
        (write_caffe, "val"),
        (write_caffe, "meta"),
        (write_kaggle, "."),
        (write_devkit, "ILSVRC2012_devkit_t12/data"),
    ],
)
def test_every_list_gives_the_same_target(
    write: Callable[[Path], Path], where: str, raw: Raw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The validation pictures are the test part; ``--holdout`` gives the part that settings are chosen on."""
    root = raw(tmp_path / "imagenet")
    (root / where).mkdir(parents=True, exist_ok=True)
    listing = write(root / where)
    if write is write_devkit:
        write_meta(listing.parent)
    target = open_target(root, holdout="1/class")
    assert target.validation is not None
    assert (target.classes, len(target.train), len(target.validation)) == (CLASSES, 8, 4)
    assert answers(target.open_test(), target.classes) == RIGHT
    assert f"the classes of its 6 pictures are those of {listing.name}" in capsys.readouterr().err
    for evaluated in (root, root / "val"):
        classes, part = open_labelled(evaluated)
        assert answers(part, classes) == RIGHT


def test_kaggles_archive_is_read_as_it_unpacks(raw: Raw, tmp_path: Path) -> None:
    root = tmp_path / "challenge"
    inner = raw(root / "ILSVRC" / "Data" / "CLS-LOC")
    write_kaggle(root)
    for given in (root, inner):
        target = open_target(given)
        assert (target.name, answers(target.open_test(), target.classes)) == (given.name, RIGHT)
        classes, part = open_labelled(given)
        assert answers(part, classes) == RIGHT


def test_the_parts_may_lie_apart(raw: Raw, tmp_path: Path) -> None:
    """Caffe's numbers then count ImageNet's 1,000 synsets."""
    root = raw(tmp_path / "imagenet")
    (root / "val").rename(tmp_path / "val")
    write_caffe(tmp_path, [synsets().index(CLASSES[kind]) for kind in TRUTH])
    target = open_target(root / "train", test=tmp_path / "val")
    assert answers(target.open_test(), target.classes) == RIGHT
    classes, _ = open_labelled(tmp_path / "val")
    outputs, how = match_classes(classes, class_names("imagenet1k"))
    assert (how, [synsets()[output] for output in outputs]) == ("by WordNet id", list(CLASSES))


def test_a_labelled_test_part_leaves_them_the_validation(raw: Raw, tmp_path: Path, fill: Callable[..., Path]) -> None:
    root = raw(tmp_path / "imagenet")
    write_caffe(root)
    shutil.rmtree(root / "test")
    fill(root / "test", seed=3, **dict.fromkeys(CLASSES, 1))
    target = open_target(root)
    assert target.validation is not None
    assert answers(target.validation, target.classes) == RIGHT
    assert target.test_pictures == len(CLASSES)


def test_the_devkits_numbers_need_the_devkits_table(raw: Raw, tmp_path: Path) -> None:
    """Lists of synsets in their order would give wrong classes, and no error."""
    root = raw(tmp_path / "imagenet")
    listing = write_devkit(root / "devkit" / "data")
    for name in ("synsets.txt", "LOC_synset_mapping.txt"):
        for folder in (root, listing.parent):
            (folder / name).write_text("".join(f"{synset} words\n" for synset in CLASSES))
    with pytest.raises(UsageError, match=r"follow no order of the synsets, .* lay the devkit's meta\.mat or"):
        open_target(root)
    rows = [f"{synset} {number} some_words\n" for synset, number in NUMBERS.items()]
    (listing.parent / "map_clsloc.txt").write_text("".join(rows))
    target = open_target(root)
    assert answers(target.open_test(), target.classes) == RIGHT


def test_a_table_that_cannot_be_read_is_said(raw: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = raw(tmp_path / "imagenet")
    write_devkit(root)
    (root / "meta.mat").write_bytes(b"no table")
    with pytest.raises(DataRefused, match=r"meta\.mat cannot be read as a table of synsets: .*unpack it anew"):
        open_target(root)
    real = builtins.__import__

    def without_scipy(name: str, *rest: object) -> object:
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    with pytest.raises(UsageError, match=r"pip install 'tagwise\[imagenet\]'"):
        open_target(root)


def test_validation_pictures_without_a_list_are_refused_with_the_remedy(raw: Raw, tmp_path: Path) -> None:
    root = raw(tmp_path / "imagenet")
    for opened in (lambda: open_target(root), lambda: open_labelled(root / "val")):
        with pytest.raises(UsageError, match=r"no list near it names their classes; lay Caffe's val\.txt"):
            opened()


@pytest.mark.parametrize(
    ("write", "old", "new", "message"),
    [
        (write_caffe, "3.JPEG 3", "3.JPEG 4", r"1 of 6 lines .* none of the 4 classes of .*train, counted from 0, such "
         r"as 4 of ILSVRC2012_val_00000003"),
        (write_caffe, "JPEG 3", "JPEG 65", r"2 of 6 lines of .*val\.txt name none .*such as 65 of .*00000003"),
        (write_caffe, "1.JPEG 2", "1.JPEG -1", "such as -1 of"),
        (write_caffe, f"{NAMES[4]}.JPEG 1\n", "", rf"1 of 6 pictures of .*val stand in no line .*such as {NAMES[4]};"),
        (write_caffe, NAMES[4], NAMES[3], rf"1 pictures stand more than once in .*val\.txt, such as {NAMES[3]};"),
        (write_caffe, f"{NAMES[0]}.", f"extra.JPEG 0\n{NAMES[0]}.", r"1 of 7 lines .* no picture of .* as extra;"),
        (write_kaggle, CLASSES[2], "n99999999", r"1 of 6 lines .* 4 classes of .*train, such as n99999999 of .*01;"),
        (write_devkit, "\n3\n", "\n5\n", r"numbered as in .*meta\.mat, such as 5 of ILSVRC2012_val_00000002"),
        (write_devkit, "2\n3\n", "2\n", r"1 of 6 pictures .*such as ILSVRC2012_val_00000006"),
    ],
)  # fmt: skip
def test_lists_and_pictures_that_do_not_match_are_refused(
    write: Callable[[Path], Path], old: str, new: str, message: str, raw: Raw, tmp_path: Path
) -> None:
    root = raw(tmp_path / "imagenet")
    listing = write(root)
    if write is write_devkit:
        write_meta(root)
    text = listing.read_text()
    assert old in text
    listing.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(DataRefused, match=message) as caught:
        open_target(root)
    assert "give pictures and the list that is theirs" in str(caught.value)


def test_a_picture_fewer_is_a_line_too_many(raw: Raw, tmp_path: Path) -> None:
    root = raw(tmp_path / "imagenet")
    write_devkit(root)
    write_meta(root)
    (root / "val" / f"{NAMES[1]}.JPEG").unlink()
    with pytest.raises(DataRefused, match=rf"1 of 6 lines of .*ground_truth\.txt name no picture of .*{NAMES[1]};"):
        open_target(root)


def test_class_folders_beside_a_list_stay_class_folders(tmp_path: Path, fill: Callable[..., Path]) -> None:
    """Many sets have a ``val.txt`` of their own."""
    for seed, part in enumerate(("train", "val", "test")):
        fill(tmp_path / part, seed=seed, wren=2, owl=2)
    (tmp_path / "val.txt").write_text("images/1.jpg\n")
    target = open_target(tmp_path)
    assert target.validation is not None
    assert (len(target.validation), target.test_pictures) == (4, 4)
