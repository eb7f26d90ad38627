"""``gather``: any form in, one corpus out; nothing is lost without being counted."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tagwise.base.errors import DataRefused, TagwiseError, UsageError
from tagwise.corpus.table import Corpus
from tagwise.verbs import gather as gathering
from tagwise.verbs.gather import gather


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
        pictures.extractall(folder, [name for name in pictures.namelist() if name in wanted])


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
    assert sorted(path.name for path in corpus.folder.iterdir()) == [
        "corpus.json",
        "pictures.parquet",
        "skipped.csv",
        "tags.parquet",
    ]


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


def test_too_many_damaged_pictures_exit_3_and_leave_the_list_beside(photos: Path, tmp_path: Path) -> None:
    for number in range(3):
        (photos / "cat" / f"{number}.png").write_bytes(b"<html>")
    with pytest.raises(DataRefused, match=r"15\.0% of 20 pictures.*3 damaged.*corpus-skipped\.csv") as refusal:
        gather([photos], tmp_path / "corpus")
    assert refusal.value.exit_code == 3
    assert len((tmp_path / "corpus-skipped.csv").read_text().splitlines()) == 4
    assert not (tmp_path / "corpus").exists()
    assert gather([photos], tmp_path / "corpus", max_skipped_fraction=0.2).record.buckets["used"] == 17


def test_pictures_without_any_tag_are_no_corpus(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    with pytest.raises(DataRefused, match="None of 1 pictures is left"):
        gather([tmp_path], tmp_path.with_name("corpus-of-none"))


def test_p14_the_same_command_again_does_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = gather([photos], tmp_path / "corpus")
    monkeypatch.setattr(gathering, "_gather", None)
    again = gather([photos], tmp_path / "corpus")
    assert again.already
    assert again.record == first.record
    assert str(again) == str(first)
    said = capsys.readouterr()
    assert "already gathered" in said.err
    assert said.out == ""


def test_p14_changed_sources_exit_2_until_overwrite(photos: Path, tmp_path: Path) -> None:
    gather([photos], tmp_path / "corpus")
    (photos / "cat" / "0.png").unlink()
    with pytest.raises(UsageError, match=r"have changed since.*--overwrite"):
        gather([photos], tmp_path / "corpus")
    with pytest.raises(UsageError, match=r"source 1\.source: "):
        gather([photos / "cat"], tmp_path / "corpus")
    assert gather([photos], tmp_path / "corpus", overwrite=True).record.read == 19


def test_several_sources_keep_their_keys_apart(photos: Path, tmp_path: Path) -> None:
    gather([photos, photos], tmp_path / "corpus")
    keys = Corpus.open(tmp_path / "corpus").columns("key")["key"]
    assert len(set(keys)) == 40
    assert {key.split("/")[0] for key in keys} == {"1", "2"}


def test_a_corpus_is_the_same_for_any_number_of_workers(photos: Path, tmp_path: Path) -> None:
    one, many = (gather([photos], tmp_path / f"c{workers}", workers=workers) for workers in (1, 5))
    assert one.record == many.record
    for name in ("pictures.parquet", "tags.parquet"):
        assert (one.folder / name).read_bytes() == (many.folder / name).read_bytes()


def test_ctrl_c_leaves_nothing_behind_and_an_old_corpus_alone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather([photos], tmp_path / "old")
    before = {path: path.read_bytes() for path in (tmp_path / "old").iterdir()}

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tagwise.corpus.table.CorpusWriter.add", interrupted)
    for name, overwrite in (("old", True), ("new", False)):
        with pytest.raises(KeyboardInterrupt):
            gather([photos], tmp_path / name, overwrite=overwrite)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "photos"]
    assert {path: path.read_bytes() for path in (tmp_path / "old").iterdir()} == before


def test_a_folder_in_other_use_is_never_taken(photos: Path, tmp_path: Path) -> None:
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds something else"):
            gather([photos], photos / "cat", overwrite=overwrite)
    assert len(list((photos / "cat").iterdir())) == 10


def test_wrong_shares_and_no_source_exit_2(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 to 1"):
        gather([photos], tmp_path / "corpus", max_skipped_fraction=5)
    with pytest.raises(UsageError, match="nothing to gather"):
        gather([], tmp_path / "corpus")


def test_a_disk_that_refuses_is_a_named_error(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr("tempfile.TemporaryDirectory", read_only)
    with pytest.raises(TagwiseError, match="Permission denied"):
        gather([photos], tmp_path / "corpus")


def test_names_that_are_no_unicode_are_counted(photos: Path, tmp_path: Path) -> None:
    try:
        (photos / "cat" / "0.png").rename(photos / "cat" / os.fsdecode(b"\xff.png"))
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    assert gather([photos], tmp_path / "corpus").record.buckets["damaged"] == 1


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
