"""The corpus on disk gives back what was put in, and says so when it cannot."""

from __future__ import annotations

import csv
import hashlib
import json
import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused, TagwiseError, UsageError
from tagwise.base.files import harmless
from tagwise.corpus import shards
from tagwise.corpus.intake import Verdict, judge_posts
from tagwise.corpus.post import Post
from tagwise.corpus.table import Corpus
from tagwise.corpus.writer import commit_corpus, write_corpus
from tagwise.pixels.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def post(number: int, *tags: str, owner: str | None = None) -> Post:
    return Post(key=f"{number}.png", picture=Place(f"/pictures/{number}.png"), tags=tags, owner=owner)


USED = Verdict(bucket="used", bytes=9, width=4, height=3, notes=("palette", "tiny"), sha256="ab", stamp="s")


def written(folder: Path, judged: Sequence[tuple[Post, Verdict]]) -> Corpus:
    with write_corpus(folder) as writer:
        for one, verdict in judged:
            writer.add(one, verdict)
    return commit_corpus(folder, writer.record(forms=[{"form": "table"}], rules={}, source_digest="s"))


def test_a_corpus_gives_back_its_posts(tmp_path: Path) -> None:
    posts = [post(0, "x", "y", owner="ann"), post(1), post(2, "y", "y", "\x00", owner="bob"), post(3, "z")]
    skipped = Verdict(bucket="untagged", reason="it has no tag")
    assert written(tmp_path, [(one, USED if one.tags else skipped) for one in posts]).folder == tmp_path
    corpus = Corpus.open(tmp_path)
    assert corpus.pictures == 3
    assert corpus.picture_places() == [posts[0].picture, posts[2].picture, posts[3].picture]
    assert corpus.columns("owner", "width", "notes") == {
        "owner": ["ann", "bob", None],
        "width": [4, 4, 4],
        "notes": ["palette; tiny"] * 3,
    }
    table = corpus.tag_table()
    pairs = [(int(row), table.raw[raw]) for row, raw in zip(table.rows, table.raw_ids, strict=True)]
    assert pairs == [(0, "x"), (0, "y"), (1, "y"), (1, "y"), (1, "\x00"), (2, "z")]
    assert table.pictures == 3
    assert table.owners is not None
    assert len(set(table.owners)) == 3
    np.testing.assert_array_equal(table.owners[:2], table.owners[0])


def test_without_owners_there_is_no_owner_column(tmp_path: Path) -> None:
    assert written(tmp_path, [(post(0, "x"), USED)]).tag_table().owners is None


def test_an_empty_corpus_can_be_read(tmp_path: Path) -> None:
    corpus = written(tmp_path, [])
    assert corpus.picture_places() == []
    assert len(corpus.tag_table().rows) == 0


def test_the_tags_of_some_pictures_are_as_people_wrote_them(tmp_path: Path) -> None:
    corpus = written(tmp_path / "a=b", [(post(0, "y", "x", "x"), USED), (post(1, "z"), USED), (post(2), USED)])
    assert corpus.raw_tags([2, 0]) == {2: [], 0: ["y", "x", "x"]}


def test_tables_longer_than_one_row_group_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagwise.corpus.writer._FLUSH_ROWS", 3)
    corpus = written(tmp_path, [(post(number, f"t{number % 4}", "all"), USED) for number in range(10)])
    table = corpus.tag_table()
    assert sorted(table.raw) == ["all", "t0", "t1", "t2", "t3"]
    np.testing.assert_array_equal(table.rows, np.repeat(np.arange(10), 2))
    assert corpus.columns("row")["row"] == list(range(10))
    assert list(corpus.column("key")) == corpus.columns("key")["key"] == [f"{number}.png" for number in range(10)]


def test_some_rows_need_their_row_groups_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All other bytes of the column are taken away."""
    monkeypatch.setattr("tagwise.corpus.writer._FLUSH_ROWS", 3)
    corpus = written(tmp_path, [(post(number, "all"), USED) for number in range(12)])
    rows = [10, 3, 5, 10]
    keys = [f"{row}.png" for row in rows]
    assert corpus.columns("key", "row", rows=rows) == {"key": keys, "row": rows}
    assert corpus.columns("key", rows=[]) == {"key": []}
    content = bytearray(corpus.pictures_file.read_bytes())
    with pyarrow.parquet.ParquetFile(corpus.pictures_file) as file:
        for group in (0, 2):
            column = file.metadata.row_group(group).column(file.schema_arrow.get_field_index("key"))
            first = column.dictionary_page_offset
            content[first : first + column.total_compressed_size] = bytes(column.total_compressed_size)
    corpus.pictures_file.write_bytes(content)
    assert corpus.columns("key", rows=rows)["key"] == keys
    for broken in (lambda: corpus.columns("key"), lambda: list(corpus.column("key"))):
        with pytest.raises(DataRefused, match="gather the corpus again"):
            broken()


def test_p7_the_skipped_list_cannot_run_in_a_spreadsheet(tmp_path: Path) -> None:
    evil = Post(key='=HYPERLINK("http://x")', picture=Place("@SUM(A1)\n\udcff"), tags=("x",))
    corpus = written(tmp_path, [(evil, Verdict(bucket="missing", reason="-1"))])
    with (corpus.folder / "skipped.csv").open(encoding="utf-8", newline="") as handle:
        header, row = csv.reader(handle)
    assert header == ["key", "path", "bucket", "reason"]
    assert row == ['\'=HYPERLINK("http://x")', "'@SUM(A1)\n\\udcff", "missing", "'-1"]


@given(st.text())
def test_no_text_starts_a_formula(text: str) -> None:
    assert not harmless(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_nothing_appears_when_writing_fails(tmp_path: Path) -> None:
    def interrupted() -> None:
        with write_corpus(tmp_path) as writer:
            writer.add(post(0, "x"), USED)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_corpus_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no corpus.json"):
        Corpus.open(tmp_path)
    written(tmp_path, [(post(0, "x"), USED)])
    plain = json.loads((tmp_path / "corpus.json").read_text())
    (tmp_path / "corpus.json").write_text(json.dumps(plain | {"version": 99}))
    with pytest.raises(TagwiseError, match="version 99"):
        Corpus.open(tmp_path)
    (tmp_path / "corpus.json").write_text(json.dumps(plain | {"raed": 1}))
    with pytest.raises(UsageError, match="nearest is read"):
        Corpus.open(tmp_path)
    (tmp_path / "corpus.json").write_text(json.dumps(plain))
    (tmp_path / "tags.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataRefused, match=r"tags\.parquet cannot be read"):
        Corpus.open(tmp_path).tag_table()
    (tmp_path / "tags.parquet").unlink()
    with pytest.raises(TagwiseError, match=r"lacks its tags\.parquet"):
        Corpus.open(tmp_path)


def test_the_digest_is_the_content_not_the_place(tmp_path: Path, draw: Callable[..., Path]) -> None:
    def digest(name: str, level: int = 1, tag: str = "x") -> str:
        picture = draw(tmp_path / name / "a.png", level)
        judged = list(judge_posts([Post(key="a", picture=Place(str(picture)), tags=(tag,))]))
        return written(tmp_path / f"{name}-corpus", judged).record.digest

    assert digest("one") == digest("two")
    assert len({digest("one"), digest("three", level=2), digest("four", tag="y")}) == 3


def test_bytes_are_copied_into_shards_that_anybody_can_read(tmp_path: Path, draw: Callable[..., Path]) -> None:
    """And come back by their place, wherever the corpus is moved to."""
    contents = [draw(tmp_path / f"{level}.png", level).read_bytes() for level in range(3)]
    posts = [Post(key=f"k{n}", picture=content, tags=("x", "é"), owner="ann") for n, content in enumerate(contents)]
    written(tmp_path / "corpus", list(judge_posts(posts)))
    corpus = Corpus.open((tmp_path / "corpus").rename(tmp_path / "moved"))
    assert [place.read() for place in corpus.picture_places()] == contents
    with tarfile.open(tmp_path / "moved" / "shards" / "000000.tar") as shard:
        assert shard.getnames()[:2] == ["000000000.png", "000000000.json"]
        handle = shard.extractfile("000000002.json")
        assert handle is not None
        facts = json.load(handle)
    assert (facts["key"], facts["tags"], facts["owner"]) == ("k2", ["x", "é"], "ann")
    assert facts["sha256"] == hashlib.sha256(contents[2]).hexdigest()


def test_a_full_shard_is_closed_before_the_next_begins(
    tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A corpus of many shards must not need as many open files; a failure takes back the last one alone."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)
    content = draw(tmp_path / "a.png").read_bytes()
    posts = [Post(key=f"{number}", picture=content, tags=("x",)) for number in range(5)]

    def names() -> list[str]:
        return sorted(path.name for path in (tmp_path / "corpus" / "shards").glob("[0-9]*"))

    def interrupted() -> None:
        with write_corpus(tmp_path / "corpus") as writer:
            for post, verdict in judge_posts(posts):
                writer.add(post, verdict)
            assert names() == [f"00000{number}.tar" for number in range(4)]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len([*(tmp_path / "corpus" / "shards").iterdir()]) == 4


def test_a_packed_corpus_needs_its_sources_no_more(
    tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new shard is begun where the last is full."""
    monkeypatch.setattr("tagwise.corpus.shards.SHARD_BYTES", 3000)
    monkeypatch.setattr("tagwise.corpus.arrays.LONGEST_SIDE", 0)
    paths = [draw(tmp_path / f"{level}.png", level) for level in range(5)]
    contents = [path.read_bytes() for path in paths]
    posts = [Post(key=path.name, picture=Place(str(path)), tags=("x",)) for path in paths]
    with write_corpus(tmp_path / "corpus", packed=True) as writer:
        for one, verdict in judge_posts(posts):
            writer.add(one, verdict)
    corpus = commit_corpus(tmp_path / "corpus", writer.record(forms=[], rules={}, source_digest=""))
    for path in paths:
        path.unlink()
    assert [place.read() for place in corpus.picture_places()] == contents
    assert len(list((tmp_path / "corpus" / "shards").iterdir())) > 1


def test_a_corpus_of_tags_alone_has_no_pictures_to_give(tmp_path: Path) -> None:
    corpus = written(tmp_path, list(judge_posts([Post(key="1", picture=None, tags=("x",))])))
    assert corpus.tag_table().raw == ["x"]
    with pytest.raises(UsageError, match="gathered with --no-pictures"):
        corpus.picture_places()


def test_verdicts_come_back_by_stamp(tmp_path: Path, draw: Callable[..., Path]) -> None:
    judged = list(judge_posts([Post(key="a", picture=Place(str(draw(tmp_path / "a.png"))), tags=("x",))]))
    assert written(tmp_path / "corpus", judged).verdicts() == {judged[0][1].stamp: judged[0][1]}
