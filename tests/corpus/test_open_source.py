"""One picture is one post with the same key, tags and owner, whatever form holds it; patterns and addresses."""

from __future__ import annotations

import csv
import functools
import http.server
import json
import os
import sys
import tarfile
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tagwise.base.errors import DataRefused, UsageError
from tagwise.corpus.readers import open_source
from tagwise.corpus.readers.patterns import expand_ranges
from tagwise.corpus.readers.tables import Columns
from tagwise.pixels.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tagwise.corpus.readers import Source

COUNT = 50


def facts(number: int) -> dict[str, Any]:
    folder = ("dog", "brown bear")[number % 2]
    return {"key": f"{folder}/{number:03}.jpg", "tags": [folder], "owner": f"person{number % 7}", "licence": "CC0-1.0"}


def write_pictures(root: Path) -> Path:
    for number in range(COUNT):
        path = root / facts(number)["key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"picture %d" % number)
    return root


def write_texts(root: Path) -> Path:
    for number in range(COUNT):
        (root / facts(number)["key"]).with_suffix(".txt").write_text(facts(number)["tags"][0] + ",")
    return root


def write_json(root: Path) -> Path:
    for number in range(COUNT):
        (root / facts(number)["key"]).with_suffix(".json").write_text(json.dumps(facts(number)))
    return root


def write_tar(root: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for file in sorted(root.rglob("*.*")):
            archive.add(file, file.relative_to(root))
    return path


def write_table(path: Path, *numbers: int) -> Path:
    with path.open("w", newline="") as handle:
        rows = [facts(number) for number in (numbers or range(COUNT))]
        writer = csv.writer(handle)
        writer.writerows(
            [("file", "tags", "owner"), *((row["key"], row["tags"][0] + ";", row["owner"]) for row in rows)]
        )
    return path


def told(source: Source, *names: str) -> list[tuple[Any, ...]]:
    posts = list(source.posts())
    assert posts == list(source.posts())
    return sorted(tuple(getattr(post, name) for name in names) for post in posts)


def content(picture: Place | bytes | None) -> bytes | None:
    return picture.read() if isinstance(picture, Place) else picture


def test_every_form_gives_the_same_posts(tmp_path: Path) -> None:
    plain = write_pictures(tmp_path / "plain")
    texts = write_texts(write_pictures(tmp_path / "texts"))
    written = write_json(write_pictures(tmp_path / "json"))
    sources = {
        "folders": open_source(plain),
        "texts": open_source(texts),
        "json": open_source(written),
        "tar": open_source(write_tar(written, tmp_path / "a.tar")),
        "tar.gz": open_source(write_tar(written, tmp_path / "a.tar.gz")),
        "texts in a tar": open_source(write_tar(texts, tmp_path / "b.tar")),
        "table": open_source(write_table(plain / "table.csv")),
    }
    expected = sorted((facts(number)["key"], tuple(facts(number)["tags"])) for number in range(COUNT))
    for form, source in sources.items():
        assert told(source, "key", "tags") == expected, form
        contents = {post.key: content(post.picture) for post in source.posts()}
        assert contents == {facts(number)["key"]: b"picture %d" % number for number in range(COUNT)}, form
    people = [told(sources[form], "key", "owner", "licence") for form in ("json", "tar", "tar.gz")]
    assert people == [sorted((row["key"], row["owner"], row["licence"]) for row in map(facts, range(COUNT)))] * 3
    assert told(sources["table"], "key", "owner") == [post[:2] for post in people[0]]


def test_shards_of_a_pattern_are_one_source_in_sorted_order(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        root = write_json(write_pictures(tmp_path / f"{number}"))
        write_tar(root, tmp_path / f"{number:05}.tar")
        (tmp_path / f"{number:05}.parquet").touch()
    for pattern in ("*.tar", "0000?.tar", "{00000..00002}.tar"):
        source = open_source(f"{tmp_path}/{pattern}")
        assert [post.source for post in source.posts()][::COUNT] == [f"{tmp_path}/0000{part}.tar" for part in range(3)]


def test_a_range_with_a_hole_is_refused(tmp_path: Path) -> None:
    write_tar(write_json(write_pictures(tmp_path / "a")), tmp_path / "s-08.tar")
    with pytest.raises(UsageError, match=r"2 of the 3 names .* are not there, first .*s-09\.tar"):
        open_source(f"{tmp_path}/s-{{08..10}}.tar")


def test_ranges_are_padded_as_their_first_number() -> None:
    assert expand_ranges("s-{08..10}.tar") == ["s-08.tar", "s-09.tar", "s-10.tar"]
    assert expand_ranges("{9..10}/{0..1}") == ["9/0", "9/1", "10/0", "10/1"]
    for wrong in ("{3..1}", "{0..1000000}"):
        with pytest.raises(UsageError, match="must run upwards"):
            expand_ranges(wrong)


def test_pictures_of_a_pattern_are_named_and_tagged_from_its_fixed_part_on(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos")
    every = told(open_source(f"{tmp_path}/photos/**/*.jpg"), "key", "tags")
    assert every == told(open_source(tmp_path / "photos"), "key", "tags")
    some = told(open_source(f"{tmp_path}/photos/*/00[0-3].jpg"), "key")
    assert some == [("brown bear/001.jpg",), ("brown bear/003.jpg",), ("dog/000.jpg",), ("dog/002.jpg",)]
    (tmp_path / "elsewhere").mkdir()
    for number in range(3):
        (tmp_path / "elsewhere" / f"{number}.jpg").touch()
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "elsewhere")
    linked = "pictures, hidden or below linked folders, such as linked/0.jpg"
    assert open_source(f"{tmp_path}/photos/*/*.jpg").described()[-1] == f"  not read: 3 of 53 {linked}"
    assert open_source(tmp_path / "photos").described()[-1] == "  not read: 1 linked folders, such as linked"
    write_json(tmp_path / "photos")
    assert open_source(f"{tmp_path}/photos/*/*.jpg").described()[-1] == f"  not read: 3 of 53 {linked}"
    assert open_source(f"{tmp_path}/photos/**/*.jpg").form()["form"] == "sidecars"


def test_tables_of_a_pattern_are_read_as_the_first_is(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    write_table(tmp_path / "part-0.csv", *range(25))
    write_table(tmp_path / "part-1.csv", *range(25, 50))
    source = open_source(f"{tmp_path}/part-*.csv")
    assert told(source, "key", "tags") == sorted(
        (facts(number)["key"], (facts(number)["tags"][0],)) for number in range(COUNT)
    )
    before = source.form()
    write_table(tmp_path / "part-2.csv", 49)
    assert open_source(f"{tmp_path}/part-*.csv").form() == before, "one part more is the same source, grown"
    assert source.form()["source"] == f"{tmp_path}/part-*.csv"


def test_keys_of_several_folders_do_not_meet(tmp_path: Path) -> None:
    for part in ("a", "b"):
        write_table(write_pictures(tmp_path / "tables" / part) / "t.csv", 0)
        write_pictures(tmp_path / "folders" / part)
    tables = open_source(f"{tmp_path}/tables/*/t.csv")
    assert told(tables, "key") == [("a/dog/000.jpg",), ("b/dog/000.jpg",)]
    folders = open_source(f"{tmp_path}/folders/*")
    assert ("a/dog/000.jpg", ("dog",)) in told(folders, "key", "tags")
    assert len(set(told(folders, "key"))) == 2 * COUNT


def test_rows_without_a_picture_do_not_meet_either(tmp_path: Path) -> None:
    for part in "ab":
        (tmp_path / f"{part}.csv").write_text("file,tags\n,x;y\n")
    assert told(open_source(f"{tmp_path}/*.csv", Columns(picture="file")), "key") == [
        ("a.csv row 1",),
        ("b.csv row 1",),
    ]


def test_p6_a_pattern_of_two_forms_is_refused(tmp_path: Path) -> None:
    write_tar(write_json(write_pictures(tmp_path / "0")), tmp_path / "0.tar")
    (tmp_path / "0_stats.json").write_text("{}")
    with pytest.raises(
        UsageError, match=r"matches folders \(.*/0\) and other files \(.*json\) and shards \(.*/0\.tar\)"
    ):
        open_source(f"{tmp_path}/*")
    write_json(write_pictures(tmp_path / "x" / "1"))
    write_pictures(tmp_path / "x" / "2")
    with pytest.raises(UsageError, match=r"matches sidecars \(.*/1\) and folders \(.*/2\)"):
        open_source(f"{tmp_path}/x/*")


def test_nothing_there_names_the_nearest_folder(tmp_path: Path) -> None:
    for name in ("none/x/*.tar", "none/x.tar", "none/{0..9}.tar", "none/" + "x" * 300):
        with pytest.raises(UsageError, match=rf"the nearest folder that is there is {tmp_path}\."):
            open_source(f"{tmp_path}/{name}")


def test_a_folder_that_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos [2020]*")
    assert len(told(open_source(tmp_path / "photos [2020]*"), "key")) == COUNT


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    for name in ("a.jpg", "notes.md"):
        (tmp_path / name).touch()
        with pytest.raises(UsageError, match=r"no folder, no tar shard and no table \(\.csv, "):
            open_source(tmp_path / name)


def test_shards_and_sidecars_have_no_columns(tmp_path: Path) -> None:
    root = write_json(write_pictures(tmp_path / "a"))
    for path in (root, write_tar(root, tmp_path / "a.tar")):
        with pytest.raises(UsageError, match="leave out what was said of owner"):
            open_source(path, Columns(owner="user"))


@pytest.fixture
def memory() -> Iterator[Callable[[str, bytes], str]]:
    """Stores a file in fsspec's memory and gives its address."""
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")

    def store(name: str, content: bytes) -> str:
        system.pipe(f"/{name}", content)
        return f"memory://{name}"

    yield store
    for name in list(system.store):
        system.rm(name)


def test_shards_at_addresses_are_read_as_they_come(tmp_path: Path, memory: Callable[[str, bytes], str]) -> None:
    written = write_json(write_pictures(tmp_path / "a"))
    for name in ("s-0.tar", "s-1.tar.gz"):
        memory(f"bucket/{name}", write_tar(written, tmp_path / name).read_bytes())
        source = open_source(f"memory://bucket/{name}")
        assert told(source, "key", "tags", "owner") == told(open_source(written), "key", "tags", "owner")
        assert all(isinstance(post.picture, bytes) for post in source.posts())
    assert len(told(open_source("memory://bucket/s-*"), "key")) == 2 * COUNT
    assert len(told(open_source("memory://bucket/s-{0..0}.tar"), "key")) == COUNT
    with pytest.raises(UsageError, match=r"Nothing matches memory://bucket/x\*"):
        open_source("memory://bucket/x*")
    with pytest.raises(UsageError, match=r"There is no memory://bucket/x\.tar"):
        open_source("memory://bucket/x.tar")


def test_a_table_at_an_address_is_copied_for_as_long_as_it_is_read(
    tmp_path: Path, memory: Callable[[str, bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    address = memory("bucket/t.csv", b"file,tags\npictures/a.jpg,x;y\nmemory://other/b.jpg,z;w\n")
    memory("bucket/pictures/a.jpg", b"content")
    source = open_source(address, Columns(picture="file"))
    assert source.form()["source"] == address
    assert source.form()["read"] == "from a temporary copy"
    assert "copied from memory://bucket/t.csv" in source.described()[-1]
    first, second = source.posts()
    assert (first.key, first.tags, first.source) == ("pictures/a.jpg", ("x", "y"), address)
    assert first.picture == Place("memory://bucket/pictures/a.jpg")
    assert second.picture == Place("memory://other/b.jpg")
    assert content(first.picture) == b"content"
    assert source.form() == open_source(address, Columns(picture="file")).form()
    assert any(tmp_path.iterdir())
    del source
    assert not any(tmp_path.iterdir())


def test_the_column_of_pictures_beside_a_table_at_an_address_is_known_by_their_suffixes(
    memory: Callable[[str, bytes], str],
) -> None:
    source = open_source(memory("bucket/t.csv", b"file,tags\npictures/a.jpg,x;y\n"))
    assert [post.picture for post in source.posts()] == [Place("memory://bucket/pictures/a.jpg")]
    for table in (b"a,b,tags\n1.jpg,2.jpg,x;y\n", b"a,tags\n1,x;y\n"):
        with pytest.raises(UsageError, match=r"^No column of memory://bucket/t\.csv .*--picture-column"):
            open_source(memory("bucket/t.csv", table))
    with pytest.raises(UsageError, match=r"^In memory://bucket/t\.csv the tags may stand in 'b', 'c'"):
        open_source(memory("bucket/t.csv", b"a,b,c\n1.jpg,x y,z v\n"))
    with pytest.raises(DataRefused, match=r"^memory://bucket/t\.csv, line 1003: "):
        list(open_source(memory("bucket/t.csv", b"a,tags\n" + b"1.jpg,x;y\n" * 1001 + b"1.jpg,x;y,z\n")).posts())


def test_a_pipe_is_refused_before_it_is_waited_for(tmp_path: Path) -> None:
    for suffix in (".csv", ".tar", ".db"):
        os.mkfifo(tmp_path / f"x{suffix}")
        for given in (tmp_path / f"x{suffix}", f"{tmp_path}/*{suffix}"):
            with pytest.raises(UsageError, match=rf"x{suffix} is no regular file; give a file"):
                open_source(given)


def test_tags_nested_too_deep_damage_their_picture_alone(tmp_path: Path) -> None:
    root = write_texts(write_pictures(tmp_path / "a"))
    for path in root.rglob("*.txt"):
        path.write_text('["cat"]')
    deep = min(root.rglob("*.txt"))
    deep.write_text("[" * 100_000)
    posts = list(open_source(root, Columns(separator="json")).posts())
    assert [post.key for post in posts if post.damage] == [deep.relative_to(root).with_suffix(".jpg").as_posix()]
    assert "its tags are damaged" in "".join(post.damage for post in posts)


def test_ranges_together_are_bounded() -> None:
    assert expand_ranges("{08..09}/{1..2}.tar") == ["08/1.tar", "08/2.tar", "09/1.tar", "09/2.tar"]
    for pattern in ("{000..999}{000..999}{0..9}", "{0..1000000}", "{2..1}", "{0..9}{2..1}"):
        with pytest.raises(UsageError, match="must run upwards, over at most 1,000,000 names together"):
            expand_ranges(pattern)


def test_tables_at_addresses_are_joined_too(memory: Callable[[str, bytes], str]) -> None:
    for part in "ab":
        memory(f"bucket/{part}/t.csv", f"file,tags\nmemory://p/{part}.jpg,x;y\n".encode())
    source = open_source("memory://bucket/*/t.csv")
    assert [post.tags for post in source.posts()] == [("x", "y")] * 2


def test_addresses_that_differ_in_their_query_are_two_pictures_in_two_tables_too(tmp_path: Path) -> None:
    """And one picture where they do not; what may be a signature is in no key."""
    for table, number in (("a", 1), ("b", 2), ("c", 1)):
        (tmp_path / f"{table}.csv").write_text(f"picture,tags\nhttps://site/image.jpg?id={number},x;y\n")
    source = open_source(f"{tmp_path}/*.csv")
    first, second, third = (post.key for post in source.posts())
    assert first == third == "https://site/image.jpg"
    assert second.startswith("https://site/image.jpg ")
    assert "id=" not in second
    assert [post.key for post in source.posts()] == [first, second, third]


def test_addresses_need_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    for address in ("s3://bucket/a.tar", "s3://bucket/*.tar", "gs://bucket/a.csv"):
        with pytest.raises(UsageError, match=r"pip install 'tagwise\[remote\]'"):
            open_source(address)


def test_a_kind_of_address_that_nobody_knows_is_refused() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(DataRefused, match=r"nowhere://bucket/a\.tar cannot be read"):
        open_source("nowhere://bucket/a.tar")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


def test_shards_and_tables_come_over_http(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="fsspec reads http through aiohttp")
    written = write_json(write_pictures(tmp_path / "a"))
    for name in ("a.tar", "a.tar.gz"):
        write_tar(written, tmp_path / name)
    write_table(tmp_path / "t.csv")
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        expected = told(open_source(written), "key", "tags", "owner")
        for name in ("a.tar", "a.tar.gz?signature=secret"):
            source = open_source(f"{address}/{name}")
            assert told(source, "key", "tags", "owner") == expected
            assert "secret" not in str((source.form(), source.described(), next(source.posts())))
        table = open_source(f"{address}/t.csv", Columns(picture="file"))
        assert told(table, "key", "tags", "owner") == expected
        with pytest.raises(UsageError, match=r"There is no http://127"):
            open_source(f"{address}/none.tar")
        server.shutdown()
