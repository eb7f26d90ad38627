"""What goes wrong for people: one sentence, the right exit code, nothing half-written, no traceback."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tagwise.base.files import TEMPORARY_PREFIX, sha256_of_file
from tagwise.corpus.intake import judge_posts
from tagwise.corpus.table import Corpus
from tagwise.training.signals import REPEAT_SECONDS
from tests.verbs.road import SMALL, Done, Road, tagwise

Here = Callable[..., Done]


def one_sentence(done: Done, code: int, *told: str) -> None:
    """The command ended with the code, printed no result and said why in one line at the end."""
    assert (done.code, done.out) == (code, ""), done.err
    last = done.err.splitlines()[-1]
    assert last.startswith("tagwise: ")
    for words in told:
        assert words in last


def half_written(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.startswith(TEMPORARY_PREFIX)]


# ---------------------------------------------------------------- pictures


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty good pictures of two classes, two colours each so that nothing is a duplicate."""
    for kind in ("cat", "dog"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (32, 24), (number, 100 * (kind == "cat"), 0)).save(
                tmp_path / "photos" / kind / f"{number}.png"
            )
    return tmp_path / "photos"


def bomb() -> bytes:
    """A PNG of a few hundred bytes that declares 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def add_odd_pictures(folder: Path) -> None:
    """Six that are unusual but right."""
    plain = Image.linear_gradient("L").resize((40, 20))
    plain.save(folder / "grey.png")
    plain.convert("CMYK").save(folder / "cmyk.jpg")
    plain.convert("I;16").save(folder / "sixteen_bits.png")
    plain.convert("P").save(folder / "palette.png")
    plain.save(folder / "animated.gif", save_all=True, append_images=[plain.rotate(180)])
    turned = Image.Exif()
    turned[0x0112] = 6
    plain.save(folder / "turned.jpg", exif=turned)


def add_broken_pictures(folder: Path) -> None:
    """Four that nobody can read."""
    Image.effect_noise((64, 64), 50).save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.jpg").write_bytes(b"<!doctype html><title>404</title>")
    (folder / "bomb.png").write_bytes(bomb())


def test_unusual_pictures_are_used_and_broken_ones_listed_with_their_reasons(
    photos: Path, here: Here, tmp_path: Path
) -> None:
    add_odd_pictures(photos / "cat")
    add_broken_pictures(photos / "dog")
    done = here("gather", photos, "-o", tmp_path / "corpus", "--max-skipped-fraction", "0.2", "--json")
    assert done.code == 0
    buckets = {name: count for name, count in done.json["record"]["buckets"].items() if count}
    assert buckets == {"used": 26, "damaged": 4}
    with (tmp_path / "corpus/skipped.csv").open(encoding="utf-8", newline="") as handle:
        listed = {row["key"]: (row["bucket"], row["reason"]) for row in csv.DictReader(handle)}
    assert listed.keys() == {f"dog/{name}" for name in ("bomb.png", "empty.jpg", "page.jpg", "truncated.jpg")}
    assert all(bucket == "damaged" and reason for bucket, reason in listed.values())
    columns = Corpus.open(tmp_path / "corpus").columns("key", "width", "height")
    sizes = dict(zip(columns["key"], zip(columns["width"], columns["height"], strict=True), strict=True))
    assert sizes["cat/turned.jpg"] == (20, 40), "EXIF says that it stands on its side"
    assert sizes["cat/cmyk.jpg"] == (40, 20)


def test_more_broken_pictures_than_allowed_are_refused(photos: Path, here: Here, tmp_path: Path) -> None:
    add_broken_pictures(photos / "dog")
    done = here("gather", photos, "-o", tmp_path / "corpus")
    one_sentence(done, 3, "16.7% of 24 pictures cannot be used (4 damaged)", "corpus-skipped.csv")
    assert not (tmp_path / "corpus" / "corpus.json").exists()


def test_pictures_that_a_table_names_and_nobody_has_are_counted_as_missing(
    photos: Path, here: Here, tmp_path: Path
) -> None:
    pictures = [*sorted(path.relative_to(tmp_path) for path in photos.rglob("*.png")), Path("photos/gone.png")]
    rows = "".join(f"{path},{path.parent.name}\n" for path in pictures)
    (tmp_path / "table.csv").write_text(f"picture,tags\n{rows}")
    done = here("gather", tmp_path / "table.csv", "-o", tmp_path / "corpus", "--separator", "none", "--json")
    assert done.json["record"]["buckets"] | {"used": 20, "missing": 1} == done.json["record"]["buckets"]
    one_sentence(
        here(
            *("gather", tmp_path / "table.csv", "-o", tmp_path / "other", "--separator", "none"),
            *("--max-skipped-fraction", "0"),
        ),
        3,
        "1 missing",
    )


def test_pictures_that_went_after_gathering_are_not_trained_on_as_black(
    photos: Path, here: Here, tmp_path: Path
) -> None:
    assert here("gather", photos, "-o", tmp_path / "corpus").code == 0
    assert here("labels", tmp_path / "corpus", "-o", tmp_path / "space.json").code == 0
    (photos / "cat" / "3.png").unlink()
    pretrain = ("pretrain", tmp_path / "corpus", "--labels", tmp_path / "space.json", "-o", tmp_path / "run")
    done = here(*pretrain, "--images", "64", *SMALL)
    one_sentence(done, 3, "1 of 20 pictures", "can no longer be read", "3.png", "gather it again with --overwrite")
    assert "learning rate" not in done.err, "a run that cannot be is not announced"


# ---------------------------------------------------------------- sources

CSV = "picture,tags\na.png,x;y\nb.png,y;z\n"
TAGGED = b'{"tags": ["x"]}'


def parquet(folder: Path) -> None:
    pq.write_table(pa.table({"picture": ["a.png", "b.png"], "words": ["x;y", "y;z"]}), folder / "t.parquet")


def tar(folder: Path, *names: str, kind: bytes = tarfile.REGTYPE) -> None:
    with tarfile.open(folder / "t.tar", "w") as archive:
        for name in names:
            archive.add(folder / "a.png", f"{name}.png")
            about = tarfile.TarInfo(f"{name}.json")
            about.size = len(TAGGED)
            archive.addfile(about, io.BytesIO(TAGGED))
        if kind != tarfile.REGTYPE:
            about = tarfile.TarInfo("link.png")
            about.type, about.linkname = kind, "/etc/passwd"
            archive.addfile(about)


def cut_tar(folder: Path) -> None:
    tar(folder, "0", "1", "2")
    content = (folder / "t.tar").read_bytes()
    (folder / "t.tar").write_bytes(content[: 512 * 7 + 100])


BAD_SOURCES: dict[str, tuple[Callable[[Path], object], tuple[str, ...], int, str]] = {
    "a missing file": (lambda _: None, ("none.csv",), 2, "the nearest folder that is there is"),
    "a glob that matches nothing": (lambda _: None, ("*.jpg",), 2, "Nothing matches"),
    "an unknown column": (lambda at: (at / "t.csv").write_text(CSV), ("t.csv", "--tags-column", "tgas"), 2, "is tags"),
    "no tag in the column": (
        lambda at: (at / "t.csv").write_text("picture,tags\na.png,\nb.png,\n"),
        ("t.csv",),
        3,
        "2 untagged",
    ),
    "a wrong encoding": (
        lambda at: (at / "t.csv").write_bytes(f"{CSV}c.png,b\u00e4r\n".encode("latin-1")),
        ("t.csv",),
        3,
        "no UTF-8 text",
    ),
    "UTF-16": (lambda at: (at / "t.csv").write_bytes(CSV.encode("utf-16")), ("t.csv",), 3, "no UTF-8 text"),
    "ragged rows": (
        lambda at: (at / "t.csv").write_text(f"{CSV}c.png,x,y\n"),
        ("t.csv",),
        3,
        "line 4: 3 cells under 2",
    ),
    "an open quote": (lambda at: (at / "t.csv").write_text(f'{CSV}c.png,"x\n'), ("t.csv",), 3, "line 4"),
    "mixed separators": (
        lambda at: (at / "t.csv").write_text("picture\ttags\na.png\tx;y\nb.png\tx,y\n"),
        ("t.csv",),
        2,
        "separated in more than one way",
    ),
    "a parquet without the column": (parquet, ("t.parquet", "--tags-column", "tags"), 2, "no column 'tags'"),
    "a foreign database": (
        lambda at: (at / "t.sqlite").write_bytes(b"SQLite, but no" * 99),
        ("t.sqlite",),
        3,
        "cannot be read as SQLite",
    ),
    "a tar cut in the middle": (cut_tar, ("t.tar",), 3, "is damaged or cut off from byte"),
    "an absolute name in a tar": (lambda at: tar(at, "0", "/1"), ("t.tar",), 3, "lead out of the tar"),
    "a name with .. in a tar": (lambda at: tar(at, "0", "../1"), ("t.tar",), 3, "lead out of the tar"),
    "a link in a tar": (lambda at: tar(at, "0", kind=tarfile.SYMTYPE), ("t.tar",), 3, "first link.png"),
}


@pytest.mark.parametrize("what", BAD_SOURCES)
def test_p2_a_bad_source_is_one_sentence_and_leaves_nothing(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    write, arguments, code, told = BAD_SOURCES[what]
    for level, name in enumerate(("a.png", "b.png", "c.png")):
        Image.new("L", (20, 20), level).save(tmp_path / name)
    write(tmp_path)
    there = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    one_sentence(here("gather", *arguments, "-o", tmp_path / "corpus"), code, told)
    assert set(tmp_path.rglob("*")) - {*there} <= {tmp_path / "corpus-skipped.csv"}


def test_p7_everything_odd_in_one_table_is_counted_once_and_listed(here: Here, tmp_path: Path) -> None:
    """A byte order mark, odd names, equal names, tags of every kind and number."""
    names = ("a b.png", "a:b.png", 'quo"te.png', "new\nline.png", "\u05e9\u05dc\u05d5\u05dd.png", "h.png", "m.png")
    long, many = "x" * 10_000, ";".join(f"tag {number}" for number in range(100_000))
    cells = (
        "\U0001f43b;bear",
        "\u05e9\u05dc\u05d5\u05dd;bear",
        "=1+1;bear",
        "<b>bold</b>;bear",
        "\x1b[31m;bear",
        long,
        many,
    )
    for level, name in enumerate(names):
        Image.new("L", (20, 20), level).save(tmp_path / name)
    with (tmp_path / "t.csv").open("w", encoding="utf-8-sig", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("picture", "tags", "owner"))
        writer.writerows((name, cell, "ann") for name, cell in zip(names, cells, strict=True))
        writer.writerows([("./h.png", "bear;twice", ""), ("gone.png", "bear", ""), ("a b.png", "", "eve")])
    (tmp_path / "opt_out.txt").write_text("eve\n")
    table = ("gather", tmp_path / "t.csv", "--separator", ";", "--opt-out", tmp_path / "opt_out.txt")
    done = here(*table, "-o", tmp_path / "corpus", "--max-skipped-fraction", "0.5", "--json")
    assert done.code == 0, done.err
    safe_on_a_terminal(done.err)
    record = done.json["record"]
    assert {name: count for name, count in record["buckets"].items() if count} == {
        "used": 7,
        "missing": 1,
        "duplicate": 1,
        "opted out": 1,
    }
    assert record["tags"] == 2 * 5 + 1 + 100_000
    with (tmp_path / "corpus" / "skipped.csv").open(encoding="utf-8", newline="") as handle:
        listed = [(row["key"], row["bucket"], bool(row["reason"])) for row in csv.DictReader(handle)]
    assert listed == [("h.png", "duplicate", True), ("gone.png", "missing", True), ("a b.png", "opted out", True)]
    assert Corpus.open(tmp_path / "corpus").columns("key")["key"] == list(names)
    page = (tmp_path / "corpus" / "card.html").read_text("utf-8")
    assert len(page) < 2_000_000
    assert "<b>bold</b>" not in page
    made = here("labels", tmp_path / "corpus", "-o", tmp_path / "space.json", "--min-count", "2", "--json")
    assert made.code == 0, made.err
    assert sum(made.json["fates"].values()) == record["tags"]
    assert made.json["labels"] == 1, "the bear alone is in five pictures"


@pytest.mark.parametrize("packed", [False, True])
def test_p7_pictures_that_vanish_while_they_are_gathered_are_counted(
    photos: Path, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    """After the sources were looked over; and after they were judged, before they are packed."""
    victim = photos / "cat" / "3.png"

    def vanishing(*arguments: Any, **named: Any) -> Iterator[Any]:
        if not packed:
            victim.unlink()
        for post, verdict in judge_posts(*arguments, **named):
            if packed and post.key == "cat/3.png":
                victim.unlink()
            yield post, verdict

    monkeypatch.setattr("tagwise.corpus.gathering.judge_posts", vanishing)
    done = here("gather", photos, "-o", tmp_path / "corpus", *(["--pack"] if packed else []))
    assert (done.code, done.out.splitlines()[0]) == (0, "19 of 20 pictures are used (1 missing)"), done.err
    assert "there is no such file" in (tmp_path / "corpus" / "skipped.csv").read_text("utf-8")
    assert [len(place.read()) > 0 for place in Corpus.open(tmp_path / "corpus").picture_places()] == [True] * 19


# ---------------------------------------------------------------- labels and targets


def test_a_corpus_whose_tags_are_all_too_rare_is_refused(photos: Path, here: Here, tmp_path: Path) -> None:
    here("gather", photos, "-o", tmp_path / "corpus")
    done = here("labels", tmp_path / "corpus", "-o", tmp_path / "space.json", "--min-count", "11")
    one_sentence(done, 3, "No label is left of 20 tags", "lower --min-count")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "photos"]


def test_a_label_space_of_another_corpus_without_a_common_tag_is_refused(
    road: Road, photos: Path, here: Here, tmp_path: Path
) -> None:
    here("gather", photos, "-o", tmp_path / "corpus")
    corpus = ("pretrain", tmp_path / "corpus", "--labels", road / "space.json", "-o", tmp_path / "run", *SMALL)
    one_sentence(here(*corpus), 3, "No picture of", "comes from another corpus", "build it with: tagwise labels")
    assert not (tmp_path / "run").exists()


def test_a_label_space_of_another_corpus_with_common_tags_serves_with_a_note(
    road: Road, photos: Path, here: Here, tmp_path: Path
) -> None:
    (photos / "cat").rename(photos / "Circles")
    here("gather", photos, "-o", tmp_path / "corpus")
    corpus = ("pretrain", tmp_path / "corpus", "--labels", road / "space.json", "-o", tmp_path / "run", *SMALL)
    done = here(*corpus, "--images", "64")
    labels = road.steps["labels"].json["labels"]
    assert done.code == 0
    assert f"{labels - 1} of {labels} labels" in done.err
    assert "pictures: 10 labelled" in done.err, "the dogs have no label"


def test_a_target_of_other_classes_in_test_than_in_train_is_refused(road: Road, here: Here, tmp_path: Path) -> None:
    shutil.copytree(road / "target", tmp_path / "target")
    first = min((tmp_path / "target/test").iterdir())
    first.rename(first.with_name("something else"))
    for verb, flags in (("train", ("--from", road / "runs/a")), ("compare", ("--model", road / "runs/a"))):
        done = here(verb, tmp_path / "target", *flags, "-o", tmp_path / "out", "--device", "cpu")
        one_sentence(done, 3, "The test part of", "give all parts the same classes")
    assert not (tmp_path / "out").exists()


def test_a_class_of_one_picture_can_be_learnt_but_not_split(road: Road, here: Here, tmp_path: Path) -> None:
    shutil.copytree(road / "target/train", tmp_path / "target")
    for path in sorted(min((tmp_path / "target").iterdir()).iterdir())[1:]:
        path.unlink()
    given = ("train", tmp_path / "target", "--from", road / "runs/a", "--images", "64", "--device", "cpu")
    one_sentence(
        here(*given, "-o", tmp_path / "run", "--test-fraction", "0.25"), 3, "has 1 picture and cannot give 25%"
    )
    assert here(*given, "-o", tmp_path / "run", "--set", "precision=float32").code == 0
    done = here(
        *("compare", tmp_path / "target", "--test", road / "target/test", "--model", road / "runs/a"),
        *("-o", tmp_path / "comparison", "--epochs", "1", "--by", "linear", "knn", "--device", "cpu", "--json"),
    )
    assert done.code == 0
    assert done.json["comparison"]["rows"][0]["train_pictures"] == 37


def test_a_single_class_is_no_target(road: Road, here: Here, tmp_path: Path) -> None:
    first = min((road / "target/train").iterdir())
    shutil.copytree(first, tmp_path / "target" / first.name)
    done = here("train", tmp_path / "target", "-o", tmp_path / "run", "--device", "cpu")
    one_sentence(done, 3, "has 1 class; a target needs at least two")


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [
        ("--pictures", "199", "--pictures is 200 to 1,000,000, not 199"),
        ("--test-per-class", "0", "--test-per-class is 1 to 1,000,000, not 0"),
        ("--images", "63", "--images is at least one batch of 64 pictures, not 63"),
        ("--images", "1e999", "'1e999' is more than the longest training"),
    ],
)
def test_a_quickstart_that_is_too_small_or_endless_draws_nothing(
    here: Here, tmp_path: Path, flag: str, value: str, told: str
) -> None:
    one_sentence(here("quickstart", "-o", tmp_path / "quickstart", flag, value), 2, told)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- where things go


@pytest.mark.parametrize("verb", ["gather", "pretrain", "train", "compare"])
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_what_stands_in_out_and_is_not_ours_stays(
    road: Road, here: Here, tmp_path: Path, verb: str, overwrite: tuple[str, ...]
) -> None:
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("years of work")
    given = list(road.steps[verb].arguments)
    for place, told in ((tmp_path, "holds something else"), (thesis, "is a file")):
        given[given.index("-o") + 1] = str(place)
        one_sentence(here(*given, *overwrite), 2, told)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert thesis.read_text() == "years of work"


@pytest.mark.parametrize("verb", ["labels", "predict", "report"])
def test_a_folder_is_no_name_for_a_file(road: Road, here: Here, tmp_path: Path, verb: str) -> None:
    given = list(road.steps[verb].arguments)
    if "-o" in given:
        given[given.index("-o") + 1] = str(tmp_path)
    else:
        given += ["-o", str(tmp_path)]
    one_sentence(here(*given), 2, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["gather", "labels", "pretrain", "train", "compare", "predict", "report"])
def test_a_full_disk_is_one_sentence_and_nothing_is_half_written(
    road: Road, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    out = tmp_path / {"labels": "a.json", "predict": "a.csv", "report": "a.html"}.get(verb, "out")
    given = [word for word in road.steps[verb].arguments if word != "--json"]
    if "-o" in given:
        given[given.index("-o") + 1] = str(out)
    else:
        given += ["-o", str(out)]

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    one_sentence(here(*given), 1, "The disk is full while writing", "free some space")
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left == (["verdicts.jsonl"] if verb == "gather" else []), "what was looked at is known next time"
    assert half_written(road.folder) == []
    assert verb == "gather" or half_written(tmp_path) == []


def test_p1_wrong_names_hear_the_nearest(road: Road, here: Here, tmp_path: Path) -> None:
    unknown = here("predict", road / "new", "--model", "resnext101_32x8d_wls", "--device", "cpu")
    one_sentence(unknown, 2, "resnext101_32x8d_wsl")
    pretrain = ("pretrain", road / "corpus", "--labels", road / "space.json", "-o", tmp_path / "run")
    for flags, near in (
        (("--design", "resnext50_32x4"), "resnext50_32x4d"),
        (("--recipe", "smal"), "small"),
        (("--set", "weight_dcay=0.1", "--recipe", "small"), "weight_decay"),
        (("--images", "many"), "150k"),
        (("--device", "gpu"), "--device"),
    ):
        one_sentence(here(*pretrain, *flags), 2, near)
    compare = ("compare", road / "target", "--model", road / "runs/a", "-o", tmp_path / "run")
    one_sentence(here(*compare, "--by", "liner"), 2, "linear")
    assert list(tmp_path.iterdir()) == []


def test_folders_and_files_of_another_kind_are_told(road: Road, here: Here, tmp_path: Path) -> None:
    (tmp_path / "damaged.safetensors").write_bytes(b"\0" * 100)
    (tmp_path / "photos.csv").write_text("picture,tags\na.png,x\n", "utf-8")
    tabled = here("train", road / "target", "--from", tmp_path / "photos.csv", "-o", tmp_path / "run")
    one_sentence(tabled, 2, "photos.csv is no file of weights, such as .safetensors")
    out = ("-o", tmp_path / "out.html")
    one_sentence(here("report", road / "target", *out), 2, "is no finished run and no comparison")
    one_sentence(here("report", tmp_path / "nothing", *out), 2, "is no finished run and no comparison")
    one_sentence(here("predict", road / "new", "--model", road / "target", "--device", "cpu"), 2, "target")
    one_sentence(here("predict", road / "new", "--model", tmp_path / "damaged.safetensors"), 1, "damaged.safetensors")
    one_sentence(here("predict", tmp_path / "gone.jpg", "--model", road / "runs/a"), 3, "None of 1 pictures")
    one_sentence(here("labels", road / "target", "-o", tmp_path / "space.json"), 2, "target")
    pretrain = ("pretrain", road / "corpus", "-o", tmp_path / "run", "--labels")
    one_sentence(here(*pretrain, road / "report.html"), 2, "report.html")
    one_sentence(here(*pretrain, tmp_path / "no.json"), 2, "no.json")


# ---------------------------------------------------------------- signals

IMAGES = "6400"


def start(
    road: Road, out: Path, code: str = "from tagwise.cli import main; main()"
) -> tuple[Done, subprocess.Popen[str]]:
    """A pretraining in a process of its own, which talks into ``<out>.err``."""
    words = ("pretrain", road / "corpus", "--labels", road / "space.json", "-o", out, "--images", IMAGES, *SMALL)
    done = Done(arguments=tuple(map(str, words)), code=0, out="", err="")
    with Path(f"{out}.err").open("w") as said:
        command = [sys.executable, "-c", code, *done.arguments]
        return done, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, text=True)


def wait_for(process: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not there():
        assert process.poll() is None, "it has ended too early"
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(road: Road, tmp_path_factory: pytest.TempPathFactory) -> str:
    """SHA-256 of the model that nobody interrupts."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    _, process = start(road, out)
    assert process.wait(120) == 0, Path(f"{out}.err").read_text()
    return sha256_of_file(out / "model.safetensors")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_p13_a_stopped_pretraining_goes_on_to_the_very_same_model(
    road: Road, undisturbed: str, here: Here, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "run"
    given, process = start(road, out)
    log = out / "log.jsonl"
    wait_for(process, lambda: log.is_file() and log.stat().st_size > 0)
    time.sleep(random.random() / 2)  # any moment will do
    process.send_signal(number)
    assert process.wait(60) == code
    said = Path(f"{out}.err").read_text()
    assert "Traceback" not in said
    assert not (out / "model.safetensors").exists()
    if number != signal.SIGKILL:
        seen = int(max((out / "checkpoints").iterdir()).stem)
        assert f"Stopped after {seen:,} pictures, all saved; give the same command to go on." in said
    again = here(*given.arguments)
    assert again.code == 0
    assert "is continued: it has this very plan" in again.err
    assert sha256_of_file(out / "model.safetensors") == undisturbed
    assert half_written(tmp_path) == []
    assert len(log.read_text().splitlines()) == len({json.loads(line)["seen"] for line in log.read_text().splitlines()})


def test_p13_a_second_ctrl_c_stops_at_once(road: Road, tmp_path: Path) -> None:
    slow = "l._Training._step = lambda *_: (l.say('in a step'), time.sleep(90))"
    code = f"import time, tagwise.training.loop as l; {slow}; from tagwise.cli import main; main()"
    _, process = start(road, tmp_path / "run", code)
    said = tmp_path / "run.err"
    wait_for(process, lambda: "in a step" in said.read_text())
    process.send_signal(signal.SIGINT)
    wait_for(process, lambda: "once more stops at once" in said.read_text())
    time.sleep(2 * REPEAT_SECONDS)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert "Traceback" not in said.read_text()


# ---------------------------------------------------------------- strangers

HOSTILE = (
    "\x1b[31mred",
    "two\nlines",
    "<script>alert(1)</script>",
    "=cmd()",
    "@SUM(A1)",
    "evil\u202egpj",
    "'\"><img src=x onerror=alert(1)>",
    "\x9b2Jclear",
)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose names and tags all want something."""
    folder = tmp_path_factory.mktemp("strangers")
    (folder / "pictures").mkdir()
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("picture", "tags"))
        for number in range(40):
            text = HOSTILE[number % len(HOSTILE)]
            name = f"{text.replace('/', '_')} {number}.png"
            Image.new("RGB", (20, 20), (number, 0, 0)).save(folder / "pictures" / name)
            writer.writerow((f"pictures/{name}", f"{text}|{HOSTILE[(number + 3) % len(HOSTILE)]}"))
        writer.writerow(("pictures/=gone.png", "@SUM(A1)"))
    return folder


def safe_on_a_terminal(text: str) -> None:
    for character in ("\x1b", "\x9b", "\u202e"):
        assert character not in text


def test_names_and_tags_of_strangers_do_no_harm_anywhere(strangers: Path, here: Here, tmp_path: Path) -> None:
    corpus, space, run, page = (tmp_path / name for name in ("corpus", "space.json", "run", "page.html"))
    pictures: tuple[str | Path, ...] = (strangers / "pictures", "--model", run, "--device", "cpu")
    commands: list[tuple[str | Path, ...]] = [
        ("gather", strangers / "table.csv", "-o", corpus, "--separator", "|"),
        ("labels", corpus, "-o", space),
        ("labels", corpus, "-o", space, "--explain", HOSTILE[0]),
        ("pretrain", corpus, "--labels", space, "-o", run, "--images", "64", *SMALL),
        ("predict", *pictures),
        ("predict", *pictures, "--format", "jsonl"),
        ("predict", *pictures, "-o", tmp_path / "tags.csv"),
        ("report", run, "-o", page, "--title", HOSTILE[2]),
    ]
    for command in commands:
        for done in (here(*command), here(*command, "--overwrite", "--json") if command[0] != "predict" else None):
            if done is not None:
                assert done.code == 0, done.err
                safe_on_a_terminal(done.out + done.err)
    for name in ("corpus/skipped.csv", "space.json.fates.csv", "tags.csv"):
        with (tmp_path / name).open(encoding="utf-8", newline="") as handle:
            cells = [cell for row in csv.reader(handle) for cell in row]
        assert len(cells) > 6
        assert [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))] == []
    text = page.read_text("utf-8")
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;" in text
    safe_on_a_terminal(text)


def test_a_hostile_path_in_an_error_does_no_harm(here: Here, road: Road, tmp_path: Path) -> None:
    for text in HOSTILE:
        path = tmp_path / text.replace("/", "_")
        for command in (
            ("gather", path, "-o", tmp_path / "corpus"),
            ("labels", path, "-o", tmp_path / "space.json"),
            ("predict", road / "new", "--model", path),
            ("report", path, "-o", tmp_path / "page.html"),
            ("report", road / "runs/a", "-o", path),
            ("train", path, "-o", tmp_path / "run", "--device", "cpu"),
        ):
            done = here(*command)
            assert done.code == 2, (command, done.err)
            safe_on_a_terminal(done.err)


def test_a_name_that_the_locale_cannot_write_is_escaped(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii:strict")
    done = tagwise("gather", photos, "-o", tmp_path / "円")
    assert (done.code, done.out.splitlines()[-1]) == (0, f"corpus: {tmp_path}/\\u5186"), done.err


def test_a_comparison_of_hostile_class_names_does_no_harm(road: Road, here: Here, tmp_path: Path) -> None:
    for part in ("train", "test"):
        for text, folder in zip(HOSTILE, sorted((road / "target" / part).iterdir()), strict=False):
            shutil.copytree(folder, tmp_path / "target" / part / text.replace("/", "_"))
    shutil.copytree(road / "runs/a", tmp_path / "\x1b[31m<b>a")
    given = (tmp_path / "target", "--model", tmp_path / "\x1b[31m<b>a", "--by", "knn", "--epochs", "1")
    for verb, *arguments in (
        ("compare", *given, "-o", tmp_path / "c", "--device", "cpu"),
        ("report", tmp_path / "c", "-o", tmp_path / "page.html"),
    ):
        done = here(verb, *arguments)
        assert done.code == 0, done.err
        safe_on_a_terminal(done.out + done.err)
    text = (tmp_path / "page.html").read_text("utf-8")
    for markup in ("<script", "<img src=x", "<b>a"):
        assert markup not in text
    safe_on_a_terminal(text)
