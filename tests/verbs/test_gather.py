"""``gather``: any form in, one corpus out; nothing is lost without being counted."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tagwise.base.errors import DataRefused, TagwiseError, UsageError
from tagwise.base.files import TEMPORARY_PREFIX
from tagwise.corpus import intake
from tagwise.corpus.gathering import Gathering
from tagwise.corpus.table import CARD_FILES, Corpus
from tagwise.corpus.writer import CorpusWriter
from tagwise.pixels.decode import DecodedPicture, decode
from tagwise.pixels.place import PictureRefused, Place
from tagwise.verbs.gather import gather
from tagwise.verbs.labels import labels
from tagwise.verbs.pretrain import pretrain

OWN = ["corpus.json", "pictures.parquet", "skipped.csv", "tags.parquet"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of ten pictures each."""
    for kind in ("cat", "dog"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (32, 24), (number, 0, 0)).save(tmp_path / "photos" / kind / f"{number}.png")
    return tmp_path / "photos"


def unzipped(archive: Path, folder: Path, wanted: set[str]) -> None:
    with zipfile.ZipFile(archive) as pictures:
        pictures.extractall(folder, [name for name in pictures.namelist() if name in wanted])  # noqa: S202 - of our own data


def first_rows(table: Path, rows: int, target: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        kept = [row for row, _ in zip(reader, range(rows), strict=False)]
    with target.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(kept[0]))
        writer.writeheader()
        writer.writerows(kept)
    return kept


def test_class_folders_become_a_corpus(photos: Path, tmp_path: Path) -> None:
    result = gather([photos], tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    assert corpus.record == result.record
    assert corpus.pictures == 20
    assert result.record.commonest_tags == [("cat", 10), ("dog", 10)]
    assert "20 of 20 pictures are used" in str(result)
    assert sorted(path.name for path in corpus.folder.iterdir()) == sorted([*OWN, *CARD_FILES])


def test_p7_the_buckets_sum_to_what_was_read_and_the_rest_is_listed(photos: Path, tmp_path: Path) -> None:
    (photos / "cat" / "empty.jpg").write_bytes(b"")
    Image.new("RGB", (32, 32)).save(photos / "at_the_root.png")
    result = gather([photos], tmp_path / "corpus")
    assert result.record.read == 22 == sum(result.record.buckets.values())
    assert {name: count for name, count in result.record.buckets.items() if count} == {
        "used": 20,
        "damaged": 1,
        "untagged": 1,
    }
    with (tmp_path / "corpus" / "skipped.csv").open(newline="") as handle:
        listed = [(row["key"], row["bucket"], row["reason"]) for row in csv.DictReader(handle)]
    assert listed == [
        ("at_the_root.png", "untagged", "it has no tag"),
        ("cat/empty.jpg", "damaged", "the file is empty"),
    ]
    assert "1 damaged, 1 untagged" in str(result)


def test_too_many_damaged_pictures_exit_3_and_leave_the_list_beside(
    photos: Path, tmp_path: Path, reads: list[str]
) -> None:
    for number in range(3):
        (photos / "cat" / f"{number}.png").write_bytes(b"<html>")
    with pytest.raises(DataRefused, match=r"15\.0% of 20 pictures.*3 damaged.*corpus-skipped\.csv") as refusal:
        gather([photos], tmp_path / "corpus")
    assert refusal.value.exit_code == 3
    assert len((tmp_path / "corpus-skipped.csv").read_text().splitlines()) == 4
    assert not (tmp_path / "corpus" / "corpus.json").exists()
    reads.clear()
    assert gather([photos], tmp_path / "corpus", max_skipped_fraction=0.2).record.buckets["used"] == 17
    assert reads == [], "every picture was looked at before"
    assert sorted(path.name for path in (tmp_path / "corpus").iterdir()) == OWN


def test_pictures_without_any_tag_are_no_corpus(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing says their tags"):
        gather([photos / "cat"], tmp_path / "corpus")
    rows = [f"photos/cat/{number}.png," for number in range(10)]
    (tmp_path / "t.csv").write_text("\n".join(["picture,tags", *rows]))
    with pytest.raises(DataRefused, match=r"None of 10 pictures is left \(10 untagged\)"):
        gather([tmp_path / "t.csv"], tmp_path / "corpus", separator=";")


def test_p14_the_same_command_again_does_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = gather([photos], tmp_path / "corpus")
    monkeypatch.setattr(Gathering, "carry_out", None)
    again = gather([photos], tmp_path / "corpus")
    assert again.already
    assert again.record == first.record
    assert str(again) == str(first)
    said = capsys.readouterr()
    assert "already gathered" in said.err
    assert said.out == ""


def test_a_card_that_could_not_be_written_is_written_next_time(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: Path) -> None:
        raise TagwiseError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr("tagwise.verbs.card_page.write_card", full)
        with pytest.raises(TagwiseError, match="full"):
            gather([photos], tmp_path / "corpus")
    assert gather([photos], tmp_path / "corpus").already
    assert "nothing to do but its data card" in capsys.readouterr().err
    gather([photos], tmp_path / "whole")
    for name in ("card.html", "card.md", "card.json"):
        whole = (tmp_path / "whole" / name).read_text("utf-8")
        assert (tmp_path / "corpus" / name).read_text("utf-8") == whole.replace("of whole", "of corpus")
    (tmp_path / "corpus" / "card.md").unlink()
    assert gather([photos], tmp_path / "corpus").already
    assert (tmp_path / "corpus" / "card.md").is_file()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_second_gathering_into_the_same_folder_is_refused(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """At its beginning, in the middle of the first, and while the first one writes its card."""
    refused: list[str] = []

    def second() -> None:
        with pytest.raises(UsageError, match=r"Another process is writing into .*corpus; wait") as refusal:
            gather([photos], tmp_path / "corpus", overwrite=overwrite)
        refused.append(str(refusal.value))

    def interleaved(name: str) -> None:
        room, _, function = name.rpartition(".")
        plain = getattr(sys.modules[room], function)

        def both(*arguments: Any, **named: Any) -> Any:
            second()
            return plain(*arguments, **named)

        monkeypatch.setattr(name, both)

    gather([photos], tmp_path / "corpus")
    before = (tmp_path / "corpus" / "pictures.parquet").read_bytes()
    for name in (
        "tagwise.corpus.survey.survey_posts",
        "tagwise.corpus.gathering.judge_posts",
        "tagwise.corpus.gathering._replace_files",
        "tagwise.verbs.card_page.write_card",
    ):
        interleaved(name)
    assert gather([photos], tmp_path / "corpus", overwrite=True).record.buckets["used"] == 20
    assert len(refused) == 4
    assert (tmp_path / "corpus" / "pictures.parquet").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "photos"]


def test_p14_other_sources_exit_2_until_overwrite(photos: Path, tmp_path: Path) -> None:
    gather([photos], tmp_path / "corpus")
    (tmp_path / "t.csv").write_text("picture,tags\nphotos/cat/1.png,x\n")
    with pytest.raises(UsageError, match=r"source 1\.(form|source): .*--overwrite") as refusal:
        gather([tmp_path / "t.csv"], tmp_path / "corpus", separator=";")
    assert refusal.value.exit_code == 2
    assert gather([photos], tmp_path / "corpus", overwrite=True).record.read == 20


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures that are judged; the card, which shows some of them, is left out."""
    monkeypatch.setattr("tagwise.verbs.card_page.write_card", lambda _: None)
    seen: list[str] = []
    read = Place.read

    def noted(place: Place) -> bytes:
        seen.append(Path(place.path).name)
        return read(place)

    monkeypatch.setattr(Place, "read", noted)
    return seen


def test_changed_sources_cost_a_look_at_what_changed_alone(
    photos: Path, tmp_path: Path, reads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """And the corpus is the one that a new gathering gives."""
    gather([photos], tmp_path / "corpus")
    (photos / "cat" / "0.png").unlink()
    Image.new("RGB", (9, 9)).save(photos / "dog" / "new.png")
    Image.new("RGB", (40, 9)).save(photos / "dog" / "3.png")
    reads.clear()
    updated = gather([photos], tmp_path / "corpus")
    assert reads == ["3.png", "new.png"]
    assert "brought up to date" in capsys.readouterr().err
    fresh = gather([photos], tmp_path / "fresh")
    assert updated.record == fresh.record
    for name in ("pictures.parquet", "tags.parquet", "skipped.csv"):
        assert (updated.folder / name).read_bytes() == (fresh.folder / name).read_bytes()


@pytest.fixture
def kept(photos: Path, tmp_path: Path) -> dict[Path, bytes]:
    """A packed corpus in which somebody keeps files."""
    gather([photos], tmp_path / "corpus", pack=True)
    files = {
        tmp_path / "corpus" / name: name.encode()
        for name in (
            "space.json",
            "deny.txt",
            "runs/model.pt",
            "pixels/pixels-1.npy",
            "shards/mine.tar",
            "arrays/my.npy",
        )
    }
    for path, content in files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return files


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_people_keep_in_a_corpus_stays(
    photos: Path, tmp_path: Path, kept: dict[Path, bytes], overwrite: bool
) -> None:
    Image.new("RGB", (9, 9)).save(photos / "dog" / "new.png")
    updated = gather([photos], tmp_path / "corpus", overwrite=overwrite, pack=not overwrite)
    assert updated.record.buckets["used"] == 21
    assert {path: path.read_bytes() for path in kept} == kept
    copies = [] if overwrite else [f"arrays/{size}.{end}" for size in ("24x32", "9x9") for end in ("npy", "jsonl")]
    there = {path.relative_to(tmp_path / "corpus").as_posix() for path in (tmp_path / "corpus").rglob("*.*")}
    assert there == {*OWN, *CARD_FILES, *copies, *(path.relative_to(tmp_path / "corpus").as_posix() for path in kept)}
    assert len(Corpus.open(tmp_path / "corpus").picture_places()) == 21


def test_a_gathering_stays_inside_its_folder(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a mount point, which nobody can rename, or the place where the command is given."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    number, rename = Path().stat().st_ino, Path.rename

    def inside(path: Path, target: Path) -> Path:
        assert (tmp_path / "here") in path.parents
        assert (tmp_path / "here") in Path(target).parents
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", inside)
    for pictures in (20, 21):
        assert gather([photos], Path()).record.buckets["used"] == pictures
        assert sorted(path.name for path in Path().iterdir()) == sorted([*OWN, *CARD_FILES])
        Image.new("RGB", (9, 9)).save(photos / "dog" / "new.png")
    assert Path().stat().st_ino == number
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "photos"]


@pytest.mark.parametrize("step", range(4))
@pytest.mark.parametrize("is_new", [False, True])
def test_a_kill_while_files_are_replaced_leaves_no_mixture_and_is_mended(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str], step: int, is_new: bool
) -> None:
    if not is_new:
        gather([photos], tmp_path / "corpus")
        shutil.rmtree(photos / "cat")
    steps, rename = iter(range(10)), Path.rename

    def killed(path: Path, target: Path) -> Path:
        if next(steps) == step:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        if step < 3:
            with pytest.raises(KeyboardInterrupt):
                gather([photos], tmp_path / "corpus")
            with pytest.raises(TagwiseError, match=r"half-written.*give the same tagwise gather command again"):
                Corpus.open(tmp_path / "corpus")
    reads.clear()
    mended = gather([photos], tmp_path / "corpus")
    assert reads == [] or step == 3
    assert mended.record == gather([photos], tmp_path / "fresh").record
    for name in OWN:
        assert (mended.folder / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()


def test_a_glob_that_grows_is_the_same_source(photos: Path, tmp_path: Path, reads: list[str]) -> None:
    for number in range(3):
        with tarfile.open(tmp_path / f"s-{number}.tar", "w") as archive:
            for path in sorted((photos / "cat").glob(f"[{3 * number}-{3 * number + 2}].png")):
                (tmp_path / "tags.json").write_text('{"tags": ["cat"]}')
                archive.add(path, path.name)
                archive.add(tmp_path / "tags.json", f"{path.stem}.json")
        reads.clear()
        result = gather([f"{tmp_path}/s-*.tar"], tmp_path / "corpus")
        assert (result.record.buckets["used"], len(reads)) == (3 * number + 3, 3)


def test_overwriting_looks_again_only_where_something_changed(photos: Path, tmp_path: Path, reads: list[str]) -> None:
    gather([photos], tmp_path / "corpus")
    reads.clear()
    other = gather([f"{photos}/*/[0-4].png"], tmp_path / "corpus", overwrite=True)
    assert (other.record.buckets["used"], reads) == (10, [])
    (tmp_path / "corpus" / "pictures.parquet").write_bytes(b"damaged")
    assert gather([photos], tmp_path / "corpus", overwrite=True).record.buckets["used"] == 20
    assert len(reads) == 20


def test_a_full_disk_costs_no_picture_a_second_look(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TagwiseError, match="disk is full"):
            gather([photos], tmp_path / "corpus")
    assert [path.name for path in (tmp_path / "corpus").rglob("*") if path.is_file()] == ["verdicts.jsonl"]
    reads.clear()
    assert gather([photos], tmp_path / "corpus").record.buckets["used"] == 20
    assert reads == []


def test_a_table_with_a_row_for_each_picture_and_tag_is_told_how_to_join_them(photos: Path, tmp_path: Path) -> None:
    rows = "".join(f"photos/cat/{number}.png,{tag}\n" for number in range(10) for tag in ("cat", f"{number}th"))
    (tmp_path / "t.csv").write_text(f"picture,tags\n{rows}")
    with pytest.raises(DataRefused, match=r"10 duplicate.*; the rows look like one tag each: .*groupby"):
        gather([tmp_path / "t.csv"], tmp_path / "corpus")
    (tmp_path / "t.csv").write_text("picture,tags\n" + "photos/cat/1.png,cat;pet\n" * 3)
    with pytest.raises(DataRefused, match=r"2 duplicate\), more than --max-skipped-fraction 0\.05 allows; the list"):
        gather([tmp_path / "t.csv"], tmp_path / "corpus")


def test_w22_lines_of_opt_outs_that_name_nobody_are_told(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.txt").write_text("cat/1.png\n./dog/2.png\nCat/3.png\n")
    shutil.copytree(photos, tmp_path / "more")
    gather([photos, tmp_path / "more"], tmp_path / "corpus", opt_out=tmp_path / "out.txt")
    assert Corpus.open(tmp_path / "corpus").record.buckets["opted out"] == 4
    assert "1 of 3 lines of" in (said := capsys.readouterr().err)
    assert "match no owner and no key: Cat/3.png" in said
    assert "3 lines, 1 of them met nowhere" in (tmp_path / "corpus" / "card.md").read_text("utf-8")


def test_what_is_no_folder_is_not_written_to(photos: Path) -> None:
    with pytest.raises(UsageError, match="give -o a folder"):
        gather([photos], Path(os.devnull))


def test_w22_opt_outs_and_licences_act_first_and_the_card_counts_them(tmp_path: Path) -> None:
    for number in range(8):
        Image.new("RGB", (32, 24), (number, 0, 0)).save(tmp_path / f"{number}.png")
    owners = ["ann", "ann", "bob", "bob", "eve", "eve", "eve", "eve"]
    licences = ["cc0", "cc0", "CC0", "", "by", "cc0", "cc0", "cc0"]
    rows = [f"{n}.png,x y,{owner},{licence}" for n, (owner, licence) in enumerate(zip(owners, licences, strict=True))]
    (tmp_path / "t.csv").write_text("\n".join(["picture,tags,owner,licence", *rows]))
    (tmp_path / "out.txt").write_text("ann\n7.png\n")
    result = gather(
        [tmp_path / "t.csv"], tmp_path / "corpus", separator=" ", opt_out=tmp_path / "out.txt", licences=["cc0"]
    )
    counts = {bucket: count for bucket, count in result.record.buckets.items() if count}
    assert counts == {"used": 3, "opted out": 3, "licence": 2}
    card = json.loads((tmp_path / "corpus" / "card.json").read_text("utf-8"))
    assert '"opted out"' in json.dumps(card)
    assert "opted out" in (tmp_path / "corpus" / "card.md").read_text("utf-8")
    with pytest.raises(UsageError, match=r"--opt-out .*none\.txt cannot be read"):
        gather([tmp_path / "t.csv"], tmp_path / "c2", separator=" ", opt_out=tmp_path / "none.txt")


def test_pictures_are_looked_at_as_closely_as_asked(photos: Path, tmp_path: Path, reads: list[str]) -> None:
    """A closer look than before reads them again."""
    good = (photos / "cat" / "1.png").read_bytes()
    (photos / "cat" / "1.png").write_bytes(good[:60])
    assert gather([photos], tmp_path / "corpus", decode="headers").record.buckets["used"] == 20
    reads.clear()
    assert gather([photos], tmp_path / "corpus").record.buckets["damaged"] == 1
    assert len(reads) == 20
    with pytest.raises(UsageError, match="--decode is all, headers or how many"):
        gather([photos], tmp_path / "corpus", decode="some")


def test_some_are_decoded_and_with_new_rows_new_ones_alone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is what a new gathering of all decodes."""
    decoded: list[bytes] = []
    monkeypatch.setattr("tagwise.verbs.card_page.write_card", lambda _: None)

    def noted(content: bytes) -> DecodedPicture:
        decoded.append(content)
        return decode(content)

    monkeypatch.setattr(intake, "decode", noted)
    first = gather([photos], tmp_path / "corpus", decode="8").record
    assert len(decoded) == 8 == 20 - first.notes["header alone was read"]
    old = set(decoded)
    for number in range(20):
        Image.new("RGB", (32, 24), (0, number, 9)).save(photos / "dog" / f"new{number}.png")
    decoded.clear()
    updated = gather([photos], tmp_path / "corpus", decode="8").record
    assert updated.rules == first.rules
    assert updated.notes["header alone was read"] == 32
    newly = set(decoded)
    assert 0 < len(newly) < 8
    decoded.clear()
    assert gather([photos], tmp_path / "fresh", decode="8").record == updated
    assert newly == set(decoded) - old
    assert gather([photos], tmp_path / "corpus", decode="8").already


def test_a_table_of_tags_alone_gives_labels_but_nothing_to_train_on(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("1\tx y\n2\tx\n")
    names = ["picture", "tags"]
    result = gather([tmp_path / "t.tsv"], tmp_path / "corpus", column_names=names, separator=" ", pictures=False)
    assert str(result).startswith("2 of 2 posts are used")
    assert labels(tmp_path / "corpus", tmp_path / "space.json").labels == 2
    with pytest.raises(UsageError, match="gathered with --no-pictures"):
        pretrain(tmp_path / "corpus", labels=tmp_path / "space.json", out=tmp_path / "run", images="64", batch=2)


def test_pack_copies_the_pictures(photos: Path, tmp_path: Path) -> None:
    """Small ones decoded, in one array; the data card shows them from there."""
    Image.new("RGB", (80, 80)).save(photos / "cat" / "large.png")
    outside, inside = (gather([photos], tmp_path / name, pack=name == "packed") for name in ("corpus", "packed"))
    assert replace(inside.record, rules={}) == replace(outside.record, rules={})
    wanted = [decode(path).pixels_HWC for path in sorted(photos.rglob("*.png"))]
    shutil.rmtree(photos)
    places = Corpus.open(tmp_path / "packed").picture_places()
    assert {Path(place.path).relative_to(tmp_path).as_posix() for place in places} == {
        *("packed/arrays/24x32.npy", "packed/shards/000000.tar")
    }
    assert np.load(tmp_path / "packed" / "arrays" / "24x32.npy", mmap_mode="r").shape == (20, 24, 32, 3)
    for place, pixels_HWC in zip(places, wanted, strict=True):
        np.testing.assert_array_equal(decode(place).pixels_HWC, pixels_HWC)
    assert "can no longer be read" not in (tmp_path / "packed" / "card.html").read_text("utf-8")


def test_a_packed_corpus_that_grows_is_the_same_as_a_new_one(photos: Path, tmp_path: Path) -> None:
    gather([photos], tmp_path / "grown", pack=True)
    Image.new("RGB", (32, 24), (7, 7, 7)).save(photos / "cat" / "5new.png")
    for name in ("grown", "new"):
        gather([photos], tmp_path / name, pack=True)
    for name in ("arrays/24x32.npy", "arrays/24x32.jsonl", "pictures.parquet", "tags.parquet"):
        assert (tmp_path / "grown" / name).read_bytes() == (tmp_path / "new" / name).read_bytes()


def test_copies_of_pictures_go_on_demand_only(photos: Path, tmp_path: Path) -> None:
    """A packed corpus may be all that is left of the pictures."""
    corpus = tmp_path / "corpus"
    gather([photos], corpus, pack=True)
    shutil.rmtree(photos / "dog")
    kept = {path: path.read_bytes() for path in corpus.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"corpus is packed: .*; give --pack again, or --overwrite to gather it anew"):
        gather([photos], corpus, max_skipped_fraction=0.5)
    assert {path: path.read_bytes() for path in corpus.rglob("*") if path.is_file()} == kept
    assert gather([photos], corpus, overwrite=True).record.buckets["used"] == 10
    assert not (corpus / "arrays").exists()


def test_where_the_source_is_gone_the_corpus_is_said_to_stay(photos: Path, tmp_path: Path) -> None:
    for name in ("plain", "packed"):
        gather([photos], tmp_path / name, pack=name == "packed")
    shutil.rmtree(photos)
    with pytest.raises(UsageError, match=r"There is no .*; the corpus .*packed stays as it is and is whole: it holds"):
        gather([photos], tmp_path / "packed", pack=True)
    with pytest.raises(UsageError, match=r"Nothing matches .*; the corpus .*plain stays as it is\.$"):
        gather([f"{photos}/*/*.png"], tmp_path / "plain")
    with pytest.raises(UsageError, match=r"There is no .*; the nearest folder that is there is [^;]*\.$"):
        gather([photos], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_list_of_a_refused_corpus_goes_elsewhere_where_nothing_may_stand_beside_it(
    photos: Path, tmp_path: Path
) -> None:
    (photos / "cat" / "0.png").write_bytes(b"")
    (tmp_path / "corpus-skipped.csv").mkdir()  # root may write everywhere, but not over a folder
    with pytest.raises(
        DataRefused, match=r"--max-skipped-fraction 0 allows; the list is .*corpus-skipped\.csv\.$"
    ) as no:
        gather([photos], tmp_path / "corpus", max_skipped_fraction=0)
    listed = Path(str(no.value).partition("the list is ")[2].removesuffix("."))
    assert "cat/0.png" in listed.read_text("utf-8")
    shutil.rmtree(listed.parent)


def test_what_others_are_writing_in_a_corpus_stays(photos: Path, tmp_path: Path) -> None:
    """A training has its run and its pixels there; what is left of a killed gathering goes."""
    gather([photos], tmp_path / "corpus")
    others = [tmp_path / "corpus" / name / f"{TEMPORARY_PREFIX}a" for name in ("pixels", "runs/one/checkpoints")]
    ours = tmp_path / "corpus" / f"{TEMPORARY_PREFIX}a"
    for path in (*others, ours):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half of it")
    gather([photos], tmp_path / "corpus")
    assert (all(path.is_file() for path in others), ours.exists()) == (True, False)


def test_what_libtiff_says_of_a_damaged_picture_is_told_as_its_reason_alone(
    photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(photos / "cat" / "0.tif", compression="tiff_deflate")
    content = bytearray((photos / "cat" / "0.tif").read_bytes())
    content[5000:5040] = bytes(40)
    (photos / "cat" / "0.tif").write_bytes(content)
    with pytest.raises(PictureRefused, match="damaged"):
        decode(photos / "cat" / "0.tif")
    assert capfd.readouterr().err, "libtiff says something, or this test shows nothing"
    assert gather([photos], tmp_path / "corpus").record.buckets["damaged"] == 1
    said = capfd.readouterr().err.splitlines()
    assert said[0].startswith("photos: a tree of folders")
    assert all(line.startswith("  cat/") for line in said[1:])


def test_several_sources_keep_their_keys_apart_and_are_told_as_they_were_given(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(photos, tmp_path / "more" / "photos")
    monkeypatch.chdir(tmp_path)
    gather(["photos", "more/photos"], tmp_path / "corpus")
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if line.startswith("keys")] == [
        "keys that begin with 1/ are of photos",
        "keys that begin with 2/ are of more/photos",
    ]
    keys = Corpus.open(tmp_path / "corpus").columns("key")["key"]
    assert len(set(keys)) == 40
    assert {key.split("/")[0] for key in keys} == {"1", "2"}


def test_one_source_given_twice_doubles_no_picture(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "linked").symlink_to(photos)
    for again in ("photos", "./photos/", photos, "linked"):
        with pytest.raises(UsageError, match=rf"photos and {again} are one source; give it once"):
            gather(["photos", again], tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_a_corpus_is_the_same_for_any_number_of_workers(photos: Path, tmp_path: Path) -> None:
    one, many = (gather([photos], tmp_path / f"c{workers}", workers=workers) for workers in (1, 5))
    assert one.record == many.record
    for name in ("pictures.parquet", "tags.parquet"):
        assert (one.folder / name).read_bytes() == (many.folder / name).read_bytes()


def test_ctrl_c_leaves_an_old_corpus_alone_and_what_was_seen_is_known(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    gather([photos], tmp_path / "old", decode="headers")
    before = {path: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    add, added = CorpusWriter.add, iter(range(100))

    def interrupted(writer: CorpusWriter, *rest: Any) -> None:
        if next(added) == 12:
            raise KeyboardInterrupt
        add(writer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(CorpusWriter, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            gather([photos], tmp_path / "old", overwrite=True, workers=1)
    assert {path: path.read_bytes() for path in (tmp_path / "old").iterdir() if path.is_file()} == before
    reads.clear()
    gather([photos], tmp_path / "old", overwrite=True, workers=1)
    assert 0 < len(reads) < 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "photos"]


def test_a_killed_gathering_goes_on(photos: Path, tmp_path: Path, reads: list[str]) -> None:
    code = f"""
import os, tagwise.corpus.journal
from tagwise.corpus.writer import CorpusWriter
from tagwise.verbs.gather import gather
tagwise.corpus.journal.SECONDS = -1.0
add, added = CorpusWriter.add, iter(range(100))
CorpusWriter.add = lambda *post: os.kill(os.getpid(), 9) if next(added) == 12 else add(*post)
gather([{str(photos)!r}], __import__("pathlib").Path({str(tmp_path / "corpus")!r}), workers=1)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=_source_path())
    assert killed.returncode == -9, killed.stderr
    assert gather([photos], tmp_path / "corpus").record.buckets["used"] == 20
    assert 0 < len(reads) <= 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "photos"]


def test_a_folder_in_other_use_is_never_taken(photos: Path, tmp_path: Path) -> None:
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds something else"):
            gather([photos], photos / "cat", overwrite=overwrite)
    assert len(list((photos / "cat").iterdir())) == 10


def test_wrong_shares_no_worker_and_no_source_exit_2(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 to 1"):
        gather([photos], tmp_path / "corpus", max_skipped_fraction=5)
    for workers in (0, -1):
        with pytest.raises(UsageError, match=f"--workers is 1 thread or more, not {workers};"):
            gather([photos], tmp_path / "corpus", workers=workers)
    assert not (tmp_path / "corpus").exists()
    with pytest.raises(UsageError, match="nothing to gather"):
        gather([], tmp_path / "corpus")


def test_a_disk_that_refuses_is_a_named_error(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr("tagwise.corpus.gathering.write_journal", read_only)
    with pytest.raises(TagwiseError, match="Permission denied"):
        gather([photos], tmp_path / "corpus")


def test_names_that_are_no_unicode_are_counted(photos: Path, tmp_path: Path) -> None:
    try:
        (photos / "cat" / "0.png").rename(photos / "cat" / os.fsdecode(b"\xff.png"))
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    assert gather([photos], tmp_path / "corpus").record.buckets["damaged"] == 1


def test_lists_of_opt_outs_and_denied_tags_are_read_alike(photos: Path, tmp_path: Path) -> None:
    """With the mark that some editors put first, and with spaces around."""
    (tmp_path / "list.txt").write_text("\ufeffcat \n\n  cat/1.png\n", "utf-8")
    gather([photos], tmp_path / "corpus", opt_out=tmp_path / "list.txt")
    assert Corpus.open(tmp_path / "corpus").record.buckets["opted out"] == 1
    made = labels(tmp_path / "corpus", tmp_path / "space.json", deny=tmp_path / "list.txt")
    assert made.labels == 1
    with pytest.raises(UsageError, match=r"--deny .*none\.txt cannot be read as text"):
        labels(tmp_path / "corpus", tmp_path / "space.json", deny=tmp_path / "none.txt")


def test_p6_real_shop_table_of_semicolon_tags(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = first_rows(real_data / "fashion_tags" / "products.csv", 200, tmp_path / "products.csv")
    unzipped(real_data / "fashion_tags" / "images.zip", tmp_path, {row["image"] for row in rows})
    result = gather([tmp_path / "products.csv"], tmp_path / "corpus")
    wanted = [tag for row in rows for tag in row["tags"].split(";")]
    assert result.record.buckets["used"] == 200
    assert (result.record.tags, result.record.distinct_tags) == (len(wanted), len(set(wanted)))
    table = Corpus.open(result.folder).tag_table()
    assert [table.raw[raw] for raw in table.raw_ids] == wanted
    said = capsys.readouterr().err
    assert "pictures in column 'image', tags in 'tags' separated by ';'" in said
    assert said.count(" -> ") == 3


def test_p6_real_emoji_table_has_two_columns_of_pictures(real_data: Path, tmp_path: Path) -> None:
    rows = first_rows(real_data / "emoji_tags" / "emoji.csv", 60, tmp_path / "emoji.csv")
    for archive, column in (("noto_72.zip", "image"), ("twemoji_64.zip", "twemoji_image")):
        unzipped(real_data / "emoji_tags" / archive, tmp_path, {row[column] for row in rows})
    with pytest.raises(UsageError, match="'image', 'twemoji_image'") as refusal:
        gather([tmp_path / "emoji.csv"], tmp_path / "corpus")
    assert refusal.value.exit_code == 2
    assert not (tmp_path / "corpus").exists()
    result = gather([tmp_path / "emoji.csv"], tmp_path / "corpus", picture_column="image")
    assert result.record.buckets["used"] == 60
    assert result.record.notes["transparency composited"] == 60


def test_p3_the_verb_is_importable_without_torch_pillow_or_arrow() -> None:
    heavy = {"torch", "pyarrow", "PIL", "msgspec"}
    code = f"import sys, tagwise.verbs.gather; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=_source_path())
    assert run.returncode == 0, run.stderr


def _source_path() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
