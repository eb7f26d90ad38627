"""Flags of annotations: each is used or refused by its name, before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tagwise
from tagwise.base.errors import UsageError
from tagwise.verbs.annotation_flags import AnnotationFlags
from tests.localise.drawn_target import write_start, write_target
from tests.localise.small import picture
from tests.verbs.located_models import write_detector
from tests.verbs.road import Done

Here = Callable[..., Done]
PLACES = ("shapes", "boxes", "tags")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of annotations, a detector and a classifier."""
    folder = tmp_path_factory.mktemp("given")
    write_target(folder / "shapes", train=4, val=2)
    write_detector(folder / "boxes")
    write_start(folder / "tags", seed=0)
    return folder


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--head", "faster", "--exif", "sideways"), "sideways"),
        (("--head", "fcn", "--zero", "bogus"), "bogus"),
        (("--head", "faster", "--form", "coko"), "coko"),
        (("--head", "faster", "--maps", "shapes"), "--maps does nothing here, because faster tells where objects are"),
        (("--head", "fcn", "--zero", "ignore"), "--zero does nothing here, because it is of maps"),
        (("--head", "faster", "--object-value", "3"), "--object-value does nothing here, because it is of maps"),
        (("--head", "faster", "--no-one-based"), "--no-one-based does nothing here, because it is of VOC"),
        (("--head", "faster", "--test-fraction", "0.5"), "--test-fraction does nothing here, because --head faster"),
        (("--head", "faster", "--class-column", "kind"), "--class-column does nothing here, because --head faster"),
        (("--head", "faster", "--dry-run", "--rate", "9"), "--rate does nothing here, because --head faster"),
        (("--head", "faster", "--dry-run", "--ranks", "2"), "--ranks does nothing here, because --head faster"),
        (("--head", "faster", "--resolution", "0"), "the shorter side in use is 1 pixel or more, not 0"),
        (("--head", "fcn", "--resolution", "-5"), "the shorter side in use is 1 pixel or more, not -5"),
        (("--head", "fcn", "--set", "sizing.crop=0"), "crop is 1 pixel or more, not 0"),
        (("--head", "fcn", "--set", "sizing.base=0"), "base is 1 pixel or more, not 0"),
        (("--head", "faster", "--set", "detector.kind=mask"), "is for --head mask, not faster; leave the head's"),
        (("--head", "faster", "--set", "detector.channels=0"), "channels is 1 or more, not 0"),
        (("--head", "faster", "--set", "detector.proposals=[10,0]"), "candidates and proposals are 1 or more, not"),
        (("--head", "faster", "--set", "detector.overlap=2"), "overlap is 0 to 1, not 2"),
        (("--head", "deeplabv3", "--set", "segmenter.rates=[]"), "rates are 1 or more, not ()"),
        (("--head", "fcn", "--set", "segmenter.dropout=1"), "dropout is 0 or more and below 1, not 1"),
        (("--head", "deeplabv3", "--batch", "1"), "give --batch at least 2"),
        ((), "holds annotations (coco), which tell where things are; give --head, such as --head faster"),
    ],
)
def test_train_refuses_what_it_would_not_use(
    given: Path, here: Here, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    words = [given / flag if flag in PLACES else flag for flag in flags]
    done = here("train", given / "shapes", *words, "--device", "cpu", "-o", tmp_path / "run")
    assert (done.code, said in done.err) == (2, True), done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({"zero": "ignore"}, "zero"),
        ({"ignore": 9}, "ignore"),
        ({"object_value": 3}, "object-value"),
        ({"colours": "table.txt"}, "colours"),
        ({"one_based": False}, "no-one-based"),
    ],
)
def test_labels_of_whole_pictures_have_no_use_for_them(
    given: Path, tmp_path: Path, flags: dict[str, Any], name: str
) -> None:
    for kind in ("cat", "dog"):
        picture(tmp_path / "pets" / kind / "a.png")
    said, out = f"^--{name} does nothing here", tmp_path / "out"
    with pytest.raises(UsageError, match=said):
        tagwise.train(tmp_path / "pets", out=out, **flags)
    with pytest.raises(UsageError, match=said):
        tagwise.compare(tmp_path / "pets", model=[given / "tags"], out=out, **flags)
    with pytest.raises(UsageError, match=said):
        tagwise.evaluate(tmp_path / "pets", model=given / "tags", **flags)


def test_text_is_a_path() -> None:
    """A string of class names would be read letter by letter."""
    flags = AnnotationFlags.given(pictures="a", maps=None, classes="names.txt", test=Path("b"), form="maps")
    assert (flags.pictures, flags.maps, flags.classes, flags.test) == (Path("a"), None, Path("names.txt"), Path("b"))
    assert (flags.form, flags.one_based, flags.zero) == ("maps", True, "background")


def test_evaluate_and_compare_refuse_them_as_train_does(given: Path, tmp_path: Path) -> None:
    wrong: dict[str, Any] = {"exif": "sideways"}
    for flags, said in ((wrong, "--exif is turned or raw"), ({"zero": "ignore"}, "--zero does nothing here")):
        with pytest.raises(UsageError, match=said):
            tagwise.evaluate(given / "shapes", model=given / "boxes", **flags)
        with pytest.raises(UsageError, match=said):
            tagwise.compare(given / "shapes", model=[given / "tags"], head="faster", out=tmp_path / "out", **flags)


def test_coloured_maps_are_read_by_their_table(here: Here, tmp_path: Path) -> None:
    for number in range(2):
        picture(tmp_path / "images" / f"{number}.jpg")
        picture(tmp_path / "maps" / f"{number}.png")
    (tmp_path / "table.txt").write_text("90 120 150 wall\n0 0 0 floor\n")
    flags = ("--head", "fcn", "--batch", "2", "--dry-run", "--device", "cpu", "-o", tmp_path / "run")
    done = here("train", tmp_path / "maps", *flags)
    assert (done.code, "give --colours, a table" in done.err) == (3, True), done.err
    done = here("train", tmp_path / "maps", "--colours", tmp_path / "table.txt", *flags)
    assert (done.code, "2 classes, 2 pictures to train on" in done.out) == (0, True), done.err


def test_a_test_part_may_have_another_form(given: Path, here: Here, tmp_path: Path) -> None:
    """Flags of the training part's form are not refused for it."""
    xml = "<annotation><filename>a.png</filename><object><name>disc</name><bndbox>{}</bndbox></object></annotation>"
    corners = "".join(f"<{name}>{at}</{name}>" for name, at in (("xmin", 4), ("ymin", 4), ("xmax", 20), ("ymax", 20)))
    for number in range(4):
        picture(tmp_path / "voc" / f"{number}.png", 64, 64)
        text = xml.format(corners).replace("a.png", f"{number}.png").replace("disc", ("disc", "square")[number % 2])
        (tmp_path / "voc" / f"{number}.xml").write_text(text)
    flags = ("--head", "faster", "--no-one-based", "--test", given / "shapes", "--batch", "2", "--dry-run")
    done = here("train", tmp_path / "voc", *flags, "--device", "cpu", "-o", tmp_path / "run")
    assert done.code == 0, done.err
    assert "4 pictures to train on, 4 to test" in done.out


def test_one_class_is_told_in_the_singular(here: Here, tmp_path: Path) -> None:
    table = write_target(tmp_path, train=2, val=2) / "train.json"
    plain = json.loads(table.read_text())
    plain["categories"] = plain["categories"][:1]
    plain["annotations"] = [{**one, "category_id": plain["categories"][0]["id"]} for one in plain["annotations"]]
    table.write_text(json.dumps(plain))
    done = here(
        "train", table, "--head", "faster", "--batch", "2", "--dry-run", "--device", "cpu", "-o", tmp_path / "run"
    )
    assert "1 class, 2 pictures to train on" in done.out, done.err


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("small_detection", "backbone norms of each process's pictures"),
        ("detectron2_1x", "backbone norms frozen"),
        ("detectron2_1x", "stem+1 frozen"),
        ("resnest_faster", "backbone norms synchronised over the processes, measured anew over 200 batches"),
    ],
)
def test_a_dry_run_tells_the_norms(given: Path, here: Here, tmp_path: Path, recipe: str, said: str) -> None:
    start = ("--from", given / "tags")
    flags = ("--head", "faster", "--recipe", recipe, "--batch", "2", "--dry-run", "--device", "cpu", *start)
    done = here("train", given / "shapes", *flags, "-o", tmp_path / "run")
    assert done.code == 0, done.err
    assert said in " ".join(done.out.split())
