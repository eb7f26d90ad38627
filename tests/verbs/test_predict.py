"""What ``predict`` writes: the same answers in every format, and no file of a person is lost."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from PIL import Image

import tagwise as face
from tagwise.base.errors import UsageError
from tagwise.base.files import harmless
from tagwise.nets import build
from tagwise.training.models import ModelFacts, replace_head, save_model
from tests.training.tiny import DESIGN, VIEW
from tests.verbs.road import Done

Here = Callable[..., Done]
SHARES = (0.4, 0.3, 0.15, 0.1, 0.05)
HOSTILE = ("=1+1", 'a "quoted" tag', "two\nlines, a comma", "\N{RIGHT-TO-LEFT OVERRIDE}gnp", "\x1b[31m")


def write_model(path: Path, classes: tuple[str, ...]) -> Path:
    """A net whose classifier has no weights: its scores are ``SHARES`` for every picture."""
    net = build(DESIGN, num_classes=len(classes))
    replace_head(net, torch.tensor(SHARES).log())
    save_model(path, net, ModelFacts(design=DESIGN, view=VIEW, classes=classes))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    return str(write_model(folder / "plain.safetensors", ("cat", "dog", "brown bear", "tree", "river")))


@pytest.fixture(scope="module")
def hostile_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("model") / "hostile.safetensors", HOSTILE))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four pictures, two of them of one name, and a broken one."""
    folder = tmp_path / "photos"
    for name in ("a.jpg", "one/b.png", "two/b.png", "two/deep/c.d.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((30, 20), 50).save(folder / name)
    (folder / "two" / "broken.jpg").write_bytes(b"no picture")
    return folder


def tagged(pictures: Path | list[Path], model: str, **flags: Any) -> Any:
    return face.predict([pictures] if isinstance(pictures, Path) else pictures, model=model, device="cpu", **flags)


def texts(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in sorted(folder.rglob("*.txt"))}


# ---------------------------------------------------------------- sidecars


def test_p28_sidecars_hold_the_tags_above_the_threshold_best_first(photos: Path, model: str, tmp_path: Path) -> None:
    result = tagged(photos, model, format="txt", out=tmp_path / "tags", threshold=0.12)
    line = "cat, dog, brown bear\n"
    names = ("a.txt", "one/b.txt", "two/b.txt", "two/deep/c.d.txt")
    assert texts(tmp_path / "tags") == dict.fromkeys(names, line), "subfolders keep equal names apart"
    broken = photos / "two" / "broken.jpg"
    assert str(result) == f"5 pictures, 1 unreadable (first {broken}): {tmp_path / 'tags'}"


def test_p28_a_picture_without_a_tag_above_the_threshold_gets_an_empty_line(
    photos: Path, model: str, tmp_path: Path
) -> None:
    result = tagged(photos / "a.jpg", model, format="txt", out=tmp_path / "tags", threshold=0.5)
    assert str(result) == f"1 picture, 0 unreadable, 1 with nothing above the threshold: {tmp_path / 'tags'}"
    tagged(photos / "two", model, format="txt", out=tmp_path / "tags", top=1)
    assert texts(tmp_path / "tags") == {"a.txt": "\n", "b.txt": "cat\n", "deep/c.d.txt": "cat\n"}


def test_p28_sidecars_beside_their_pictures_are_gathered_as_tags(photos: Path, model: str, tmp_path: Path) -> None:
    tagged(photos, model, format="txt", out=photos, top=2)
    record = face.gather([str(photos)], tmp_path / "corpus", max_skipped_fraction=0.5).record
    assert (record.buckets["used"], record.commonest_tags) == (4, [("cat", 4), ("dog", 4)])


def test_p11_a_broken_picture_gets_no_sidecar_and_is_told(photos: Path, model: str, here: Here, tmp_path: Path) -> None:
    flags = ("--model", model, "--format", "txt", "-o", tmp_path / "tags", "--device", "cpu", "--json")
    done = here("predict", photos, *flags)
    assert done.code == 0
    assert f"{photos / 'two' / 'broken.jpg'} gets no sidecar: it is none of the formats read" in done.err
    assert not (tmp_path / "tags/two/broken.txt").exists()
    assert [answer["problem"] is None for answer in done.json["answers"]] == [True, True, True, False, True]


def test_sidecars_of_people_are_replaced_on_demand_only(photos: Path, model: str) -> None:
    (photos / "one" / "b.txt").write_text("grandmother")
    (photos / "two" / "b.txt").write_text("grandfather")
    with pytest.raises(UsageError, match=r"one/b\.txt \(and 1 more\) is there already; give --overwrite"):
        tagged(photos, model, format="txt", out=photos)
    assert texts(photos) == {"one/b.txt": "grandmother", "two/b.txt": "grandfather"}, "nothing was written at all"
    tagged(photos, model, format="txt", out=photos, overwrite=True, top=1)
    assert set(texts(photos).values()) == {"cat\n"}


def test_two_pictures_never_share_a_sidecar(photos: Path, model: str, tmp_path: Path) -> None:
    both = [photos / "one" / "b.png", photos / "two" / "b.png"]
    with pytest.raises(UsageError, match=r"b\.png and .*b\.png would both have the sidecar"):
        tagged(both, model, format="txt", out=tmp_path / "tags", overwrite=True)
    Image.new("RGB", (9, 9)).save(photos / "a.png")
    with pytest.raises(UsageError, match=r"a\.jpg and .*a\.png would both have the sidecar .*rename one"):
        tagged(photos, model, format="txt", out=tmp_path / "tags")
    assert not (tmp_path / "tags").exists()


def test_a_picture_is_never_overwritten_by_its_own_sidecar(photos: Path, model: str) -> None:
    (photos / "a.jpg").rename(photos / "a.txt")
    content = (photos / "a.txt").read_bytes()
    with pytest.raises(UsageError, match="would be overwritten by its own sidecar"):
        tagged(photos / "a.txt", model, format="txt", out=photos, overwrite=True)
    assert (photos / "a.txt").read_bytes() == content


def test_a_comma_inside_a_tag_makes_no_second_tag(photos: Path, hostile_model: str, tmp_path: Path) -> None:
    tagged(photos / "a.jpg", hostile_model, format="txt", out=tmp_path / "tags")
    (line,) = (tmp_path / "tags" / "a.txt").read_text("utf-8").splitlines()
    assert line.split(", ") == ["=1+1", 'a "quoted" tag', "two lines a comma", HOSTILE[3], HOSTILE[4]]


# ---------------------------------------------------------------- tables


@pytest.fixture
def hostile_photos(tmp_path: Path) -> list[Path]:
    """Names that break tables; the last one is bytes that are no UTF-8, and its file is broken."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    paths = [folder / f"{name}.png" for name in ("=cmd", 'a"b', "two\nlines", "\N{RIGHT-TO-LEFT OVERRIDE}gnp", "a,b")]
    for path in paths:
        Image.new("RGB", (20, 20)).save(path)
    strange = Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.png"))
    try:
        strange.write_bytes(b"no picture")
    except OSError:
        return paths  # this file system knows UTF-8 alone
    return [*paths, strange]


def test_p28_hostile_names_come_back_from_every_format(
    hostile_photos: list[Path], hostile_model: str, tmp_path: Path
) -> None:
    outs = {form: tmp_path / f"tags.{form}" for form in ("csv", "jsonl", "parquet")}
    answers, *others = (tagged(hostile_photos, hostile_model, out=out).answers for out in outs.values())
    assert others == [answers, answers]
    escaped = [str(path).encode("utf-8", "backslashreplace").decode() for path in hostile_photos]

    columns = pyarrow.parquet.read_table(outs["parquet"]).to_pydict()
    assert columns["picture"] == escaped
    assert columns["problem"] == [answer.problem for answer in answers]
    said = [[(output["name"], output["score"]) for output in outputs] for outputs in columns["outputs"]]
    assert said == [list(answer.outputs) for answer in answers], "float32 holds a score exactly"

    lines = [json.loads(line) for line in outs["jsonl"].read_text("ascii").splitlines()]
    assert [line["picture"] for line in lines] == list(map(str, hostile_photos)), "JSON escapes what is no text"
    assert [tuple(line["outputs"].items()) for line in lines] == [answer.outputs for answer in answers]

    with outs["csv"].open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["picture"].removeprefix("'") for row in rows] == [harmless(str(path)) for path in hostile_photos]
    assert [rows[0][f"output_{place}"] for place in range(1, 6)] == [harmless(text) for text in HOSTILE]
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row.values() if cell)


def test_p28_hostile_names_of_pictures_are_the_names_of_their_sidecars(
    hostile_photos: list[Path], hostile_model: str, tmp_path: Path
) -> None:
    tagged(hostile_photos, hostile_model, format="txt", out=tmp_path / "tags", top=1)
    written = {path.name for path in (tmp_path / "tags").iterdir()}
    assert written == {path.with_suffix(".txt").name for path in hostile_photos[:5]}


def test_p28_the_parquet_schema_is_fixed(photos: Path, model: str, tmp_path: Path) -> None:
    """The same with one picture or many, with or without a problem, so that files can be read together."""
    for number, given in enumerate((photos, photos / "a.jpg")):
        tagged(given, model, out=tmp_path / f"{number}.parquet")
        schema = pyarrow.parquet.read_schema(tmp_path / f"{number}.parquet")
        assert [f"{field.name}: {field.type}" for field in schema] == [
            "picture: string",
            "problem: string",
            "outputs: list<element: struct<name: string, score: float>>",
        ]


# ---------------------------------------------------------------- wrong use


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"format": "txt"}, "--format txt is not printed; say where it goes with -o FOLDER"),
        ({"format": "parquet"}, "--format parquet is not printed; say where it goes with -o tags.parquet"),
        (
            {"out": "tags.xml"},
            r"tags.xml has a suffix of no format; end it in .csv, .jsonl, .parquet, or give --format",
        ),
        ({"out": "tags"}, "tags has a suffix of no format"),
        ({"out": "tags.csv", "format": "jsonl"}, "--format jsonl and -o .*tags.csv do not go together"),
        ({"out": "tags.csv", "format": "txt"}, "--format txt and -o .*tags.csv do not go together"),
        ({"out": "photos/a.jpg", "format": "txt"}, r"a\.jpg is a file; give -o a folder"),
    ],
)
def test_a_format_and_its_place_go_together(
    photos: Path, model: str, tmp_path: Path, flags: dict[str, str], told: str
) -> None:
    given: dict[str, Any] = dict(flags)
    if "out" in given:
        given["out"] = tmp_path / given["out"]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=told):
        tagged(photos, model, **given)
    assert sorted(tmp_path.rglob("*")) == before


def test_every_row_of_a_csv_has_the_header_s_cells(photos: Path, model: str, tmp_path: Path) -> None:
    """Broken pictures included: strict readers take no ragged table."""
    tagged(photos, model, out=tmp_path / "tags.csv")
    with (tmp_path / "tags.csv").open(encoding="utf-8", newline="") as handle:
        assert {len(row) for row in csv.reader(handle)} == {2 + 2 * len(SHARES)}


def test_a_folder_gives_the_pictures_that_gather_would_take(photos: Path, model: str) -> None:
    (photos / "a.jpg").rename(photos / "no_suffix")
    (photos / ".hidden").mkdir()
    (photos / "one" / "b.png").rename(photos / ".hidden" / "b.png")
    (photos / "notes.txt").write_text("no picture")
    names = {Path(answer.picture).name for answer in tagged(photos, model).answers}
    assert names == {"no_suffix", "b.png", "c.d.png", "broken.jpg"}


def test_a_pattern_stands_for_what_the_shell_would_give(
    photos: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    both = ["photos/one/b.png", "photos/two/b.png"]
    assert [answer.picture for answer in tagged(Path("photos/*/b.png"), model).answers] == both
    assert [answer.picture for answer in tagged(photos / "o[mn]e", model).answers] == [str(photos / "one" / "b.png")]
    (photos / "a[1].jpg").write_bytes((photos / "a.jpg").read_bytes())
    assert [answer.picture for answer in tagged(Path("photos/a[1].jpg"), model).answers] == ["photos/a[1].jpg"]
    with pytest.raises(UsageError, match=r"Nothing matches photos/\*\.gif; the nearest folder"):
        tagged(Path("photos/*.gif"), model)
    with pytest.raises(UsageError, match=r"matches folders \(photos/one\) and files \(photos/a\.jpg\)"):
        tagged(Path("photos/*"), model)
