"""An engine on disk answers as numpy in memory does, and what it has finished is not done again."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused, TagwiseError, UsageError
from tagwise.corpus import engine as module
from tagwise.corpus import table as corpus_table
from tagwise.corpus.engine import EngineTags, engine_tags
from tagwise.corpus.intake import Verdict
from tagwise.corpus.post import Post
from tagwise.corpus.sessions import Session, open_session
from tagwise.corpus.table import Corpus
from tagwise.corpus.writer import commit_corpus, write_corpus
from tagwise.tags.fates import Labelling
from tagwise.tags.labelling import build_label_space
from tagwise.tags.space import LabelOptions

if TYPE_CHECKING:
    from tagwise.corpus.sessions import Engine

Posts = Sequence[tuple[Sequence[str], str | None]]
"""Tags and owner of each picture."""

SMALL: Posts = [(["cat", "Cats", "#dog"], "ann"), ([], None), (["dog", "dog"], None), (["cat"], "bob"), ([], "ann")]


def corpus_of(folder: Path, posts: Posts) -> Corpus:
    with write_corpus(folder) as writer:
        for number, (tags, owner) in enumerate(posts):
            writer.add(Post(key=str(number), picture=None, tags=tuple(tags), owner=owner), Verdict(bucket="used"))
    return commit_corpus(folder, writer.record(forms=[], rules={}, source_digest=""))


def content(labelling: Labelling) -> tuple[str, bytes, bytes, list[int]]:
    """All that a label space says of a corpus, in bytes."""
    ids, offsets = labelling.assignment.ids, labelling.assignment.offsets
    assert (ids.dtype, offsets.dtype) == (np.dtype(np.int32), np.dtype(np.int64))
    return labelling.space.to_json(), ids.tobytes(), offsets.tobytes(), labelling.fates.occurrences.tolist()


def by_engine(corpus: Corpus, options: LabelOptions, engine: Engine = "duckdb", workers: int | None = None) -> Any:
    with engine_tags(corpus, corpus.folder / "work", engine=engine, workers=workers) as tags:
        return content(build_label_space(tags, options))


words = st.sampled_from(
    ["cat", "Cat", "#cats", "dog", "dogs", "12", "x", "\N{BEAR FACE}", "éa", "", "a\x00b", "a\x00c"]
)
pictures = st.tuples(st.lists(words, max_size=4), st.none() | st.sampled_from(["", "ann", "bob"]))
option_sets = st.builds(
    LabelOptions, min_count=st.integers(1, 3), top=st.none() | st.integers(1, 3), plurals=st.booleans()
)


@pytest.mark.parametrize("engine", ["duckdb", "polars"])
@settings(max_examples=20, deadline=None)
@given(st.lists(pictures, min_size=1, max_size=9), option_sets, st.integers(1, 2))
def test_w4_engines_answer_as_numpy_does(
    tmp_path_factory: pytest.TempPathFactory, engine: Engine, posts: Posts, options: LabelOptions, min_owners: int
) -> None:
    corpus = corpus_of(tmp_path_factory.mktemp("corpus"), posts)
    table = corpus.tag_table()
    options = replace(options, min_owners=min_owners if table.has_owners else 1)
    assert by_engine(corpus, options, engine) == content(build_label_space(table, options))


def zipf_posts(pictures: int, seed: int = 0) -> Posts:
    generator = np.random.default_rng(seed)
    tags = [
        [f"#Tag{tag % 997}" if tag % 3 else f"tag{tag % 997}" for tag in generator.zipf(1.3, 3)]
        for _ in range(pictures)
    ]
    return [(said, f"owner {generator.integers(50)}" if row % 7 else None) for row, said in enumerate(tags)]


def shuffled(corpus: Corpus) -> None:
    """The rows of the tag table in another order."""
    table = pyarrow.parquet.read_table(corpus.tags_file)
    pyarrow.parquet.write_table(table.take(np.random.default_rng(1).permutation(len(table))), corpus.tags_file)


@pytest.mark.parametrize(("engine", "few", "many"), [("duckdb", 1, 8), ("polars", None, None)])
def test_w4_neither_order_nor_threads_change_a_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine, few: int | None, many: int | None
) -> None:
    """Blocks are so small that pictures lie across their borders."""
    monkeypatch.setattr(module, "BLOCK_TAGS", 101)
    corpus = corpus_of(tmp_path, zipf_posts(3000))
    options = LabelOptions(min_count=3, min_owners=3, top=200)
    expected = content(build_label_space(corpus.tag_table(), options))
    assert by_engine(corpus, options, engine, workers=few) == expected
    shuffled(corpus)
    assert by_engine(corpus, options, engine, workers=many) == expected


def test_w4_spark_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'tagwise[spark]'")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("there is no Java for Spark")
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", SPARK_ARGUMENTS)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    corpus = corpus_of(tmp_path, zipf_posts(300))
    options = LabelOptions(min_count=2, min_owners=2)
    assert by_engine(corpus, options, "pyspark") == content(build_label_space(corpus.tag_table(), options))


SPARK_ARGUMENTS = (
    "--master local[2] --conf spark.ui.enabled=false --conf spark.sql.shuffle.partitions=2 "
    "--conf spark.driver.extraJavaOptions=-Dlog4j2.level=error pyspark-shell"
)


def test_few_tags_are_counted_in_memory_and_many_by_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of(tmp_path / "corpus", SMALL)
    with corpus.tags(tmp_path / "work") as tags:
        assert not isinstance(tags, EngineTags)
    monkeypatch.setattr(corpus_table, "IN_MEMORY_TAGS", corpus.record.tags - 1)
    with corpus.tags(tmp_path / "work") as tags:
        assert isinstance(tags, EngineTags)


def test_a_corpus_without_tags_or_owners_has_none(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [([], None), ([], None)])
    assert by_engine(corpus, LabelOptions()) == content(build_label_space(corpus.tag_table()))


@contextmanager
def counted_queries(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What engines were asked, in order."""
    asked: list[str] = []
    write = Session.write

    def counting(self: Session, table: Any, path: Path, what: str) -> None:
        asked.append(path.name)
        write(self, table, path, what)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "write", counting)
        yield asked


def test_a_finished_phase_is_not_repeated_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies behind the label space; the second try reads everything from what the first left."""
    corpus, options = corpus_of(tmp_path / "corpus", SMALL), LabelOptions(min_owners=2)
    killed = (
        "import os, sys; from pathlib import Path; from tagwise.corpus.table import Corpus\n"
        "from tagwise.corpus.engine import engine_tags; from tagwise.tags.labelling import build_label_space\n"
        "from tagwise.tags.space import LabelOptions\n"
        "with engine_tags(Corpus.open(Path(sys.argv[1])), Path(sys.argv[2])) as tags:\n"
        "    build_label_space(tags, LabelOptions(min_owners=2)); os.kill(os.getpid(), 9)\n"
    )
    work = tmp_path / "work"
    assert subprocess.run([sys.executable, "-c", killed, corpus.folder, work], check=False).returncode == -9
    with counted_queries(monkeypatch) as asked, engine_tags(corpus, work) as tags:
        monkeypatch.setattr(EngineTags, "_blocks", None)  # any walk over the tags would fail
        assert content(build_label_space(tags, options)) == content(build_label_space(corpus.tag_table(), options))
    assert asked == []
    assert not work.exists()


KILLED = """
import os, shutil, sys
from pathlib import Path
from tagwise.base import files
from tagwise.corpus import engine, sessions
from tagwise.corpus.table import Corpus
from tagwise.tags.labelling import build_label_space
from tagwise.tags.space import LabelOptions

def die():
    os.kill(os.getpid(), 9)

def arm(point, settle=files.settle, remove=shutil.rmtree, assigned=engine.EngineTags._assigned):
    def settled(temporary, path):
        if path.name.startswith(point):
            os.truncate(temporary, os.path.getsize(temporary) // 2)
            die()
        settle(temporary, path)

    def removed(folder, ignore_errors=False):
        if point == "removal" and folder.is_dir():
            (folder / "tags.json").unlink()
            die()
        remove(folder, ignore_errors)

    def half_assigned(self, label_ids):
        yield next(assigned(self, label_ids))
        die()

    files.settle = sessions.settle = settled
    shutil.rmtree = removed
    if point == "assigning":
        engine.EngineTags._assigned = half_assigned

children = {}
for point in sys.argv[3:]:  # forks, because to import everything takes longer than the work
    children[point] = os.fork()
    if not children[point]:
        arm(point)
        with engine.engine_tags(Corpus.open(Path(sys.argv[1])), Path(sys.argv[2]) / point / "work") as tags:
            build_label_space(tags, LabelOptions(min_owners=2))
        os._exit(0)
for point, child in children.items():
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9, point
"""
POINTS = (
    *("tags.json", "counted.parquet", "raw.parquet", "entries.parquet", "pictures-", "words-", "persons.parquet"),
    *("persons-", "owners", "digest", "assigning", "ids-", "offsets-", "removal"),
)
"""A file of each phase, half-written when the process dies; the middle of the last walk; the removal of them all."""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Path]:
    """A corpus, and a folder with what a kill at each point left."""
    folder = tmp_path_factory.mktemp("killed")
    corpus = corpus_of(folder / "corpus", SMALL)
    for point in POINTS:
        (folder / point).mkdir()
    subprocess.run([sys.executable, "-c", KILLED, corpus.folder, folder, *POINTS], check=True)
    return corpus, folder


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_costs_one_phase(
    killed: tuple[Corpus, Path], point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, folder = killed
    options, work = LabelOptions(min_owners=2), folder / point / "work"
    left = {path.name for path in work.glob("*")}
    with counted_queries(monkeypatch) as asked, engine_tags(corpus, work) as tags:
        assert content(build_label_space(tags, options)) == content(build_label_space(corpus.tag_table(), options))
        queries = {"counted.parquet", "entries.parquet", *(path.name for path in work.glob("persons*.parquet"))}
    assert len(queries) == 4
    assert sorted(asked) == sorted(queries - left)
    assert not any((folder / point).iterdir())


def test_a_failure_leaves_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of(tmp_path / "corpus", SMALL)
    with suppress(KeyboardInterrupt), engine_tags(corpus, tmp_path / "work") as tags:
        tags.occurrences()
        raise KeyboardInterrupt
    with counted_queries(monkeypatch) as asked, engine_tags(corpus, tmp_path / "work") as tags:
        tags.digest()
    assert asked == ["persons.parquet"]


def test_a_corpus_that_changed_is_counted_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work, options = tmp_path / "work", LabelOptions()
    corpus = corpus_of(tmp_path / "corpus", SMALL)
    with suppress(KeyboardInterrupt), engine_tags(corpus, work) as tags:
        build_label_space(tags, options)
        raise KeyboardInterrupt
    corpus = corpus_of(tmp_path / "corpus", [*SMALL, (["bird"], "cleo")])
    with engine_tags(corpus, work) as tags:
        assert content(build_label_space(tags, options)) == content(build_label_space(corpus.tag_table(), options))
    assert "before it changed" in capsys.readouterr().err


def test_a_corpus_that_changes_under_way_is_refused(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "corpus", SMALL)
    with engine_tags(corpus, tmp_path / "work") as tags:
        corpus_of(tmp_path / "corpus", zipf_posts(9))
        with pytest.raises(DataRefused, match="written anew"):
            tags.digest()


@pytest.mark.parametrize(("row", "told"), [(0, "7 tags instead of 6"), (5, "none of 5 pictures")])
def test_tables_that_do_not_fit_the_corpus_are_refused(tmp_path: Path, row: int, told: str) -> None:
    corpus = corpus_of(tmp_path / "corpus", SMALL)
    table = pyarrow.parquet.read_table(corpus.tags_file)
    more = pyarrow.table({"row": [row], "raw": ["cat"]}, schema=table.schema)
    kept = table if row == 0 else table.slice(1)
    pyarrow.parquet.write_table(pyarrow.concat_tables([kept, more]), corpus.tags_file)
    with pytest.raises(DataRefused, match=told), engine_tags(corpus, tmp_path / "work") as tags:
        tags.digest()


def test_two_processes_do_not_share_a_working_folder(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "corpus", SMALL)
    with (
        engine_tags(corpus, tmp_path / "work"),
        pytest.raises(UsageError, match=r"Another process is writing into .*; .* or give another --spill"),
        engine_tags(corpus, tmp_path / "work"),
    ):
        pass
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with (
        pytest.raises(UsageError, match=r"no tags.json, but thesis.tex.; give --spill a new or empty folder"),
        engine_tags(corpus, tmp_path / "mine"),
    ):
        pass


def test_no_space_left_names_the_place_and_the_remedy(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    corpus = corpus_of(tmp_path / "corpus", zipf_posts(3000))
    limited = (
        "import resource, sys; from pathlib import Path; from tagwise.corpus.table import Corpus\n"
        "from tagwise.corpus.engine import engine_tags; from tagwise.base.errors import TagwiseError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try:\n"
        "    with engine_tags(Corpus.open(Path(sys.argv[1])), Path(sys.argv[2])) as tags: tags.occurrences()\n"
        "except TagwiseError as error: print(error)\n"
    )
    command = [sys.executable, "-c", limited, str(corpus.folder), str(tmp_path / "work")]
    told = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    assert f"There is no space left in {tmp_path / 'work'}" in told
    assert "--spill" in told


def test_too_little_memory_names_the_flag(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "corpus", zipf_posts(3000))
    with (
        pytest.raises(TagwiseError, match=r"too small for .* tags apart; give --memory more"),
        engine_tags(corpus, tmp_path / "work", memory=0.001) as tags,
    ):
        tags.occurrences()


def test_unknown_engines_and_senseless_limits_are_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no engine 'duckbd'; the nearest is duckdb"), open_session("duckbd", tmp_path):  # type: ignore[arg-type]
        pass
    for memory in (0, -1, math.nan, math.inf, 1e300):
        with pytest.raises(UsageError, match="is no limit"), open_session("duckdb", tmp_path, memory=memory):
            pass
    with pytest.raises(UsageError, match="polars takes no --memory"), open_session("polars", tmp_path, memory=2):
        pass
    with pytest.raises(UsageError, match="polars takes no --workers"), open_session("polars", tmp_path, workers=2):
        pass
    few = corpus_of(tmp_path / "corpus", SMALL)
    for limits in ({"memory": 0}, {"workers": 0}):
        with pytest.raises(UsageError, match="0 is no limit"), few.tags(tmp_path / "work", **limits):  # type: ignore[arg-type]
            pass


@pytest.mark.parametrize(("engine", "memory"), [("pyspark", None), ("duckdb", math.nan)])
def test_what_fails_at_once_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine, memory: float | None
) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)  # as if it was not installed
    corpus = corpus_of(tmp_path / "corpus", SMALL)
    with pytest.raises(UsageError), engine_tags(corpus, tmp_path / "spill" / "work", engine=engine, memory=memory):
        pass
    assert not any((tmp_path / "spill").iterdir())


def test_what_a_bad_disk_left_is_told_with_the_remedy(tmp_path: Path) -> None:
    """Every file but those that only an engine reads is cut short, one at a time."""
    corpus, options, work = corpus_of(tmp_path / "corpus", SMALL), LabelOptions(min_owners=2), tmp_path / "work"
    with suppress(KeyboardInterrupt), engine_tags(corpus, work) as tags:
        build_label_space(tags, options)
        raise KeyboardInterrupt
    files = {path.name: path.read_bytes() for path in work.iterdir() if path.is_file()}
    for name in files:
        if name.startswith(("counted", "words-")):
            continue
        (work / name).write_bytes(files[name][:-2])
        for made_of_others in {"digest", "owners"} - {name}:
            (work / made_of_others).unlink()
        told = rf"{re.escape(name)} is damaged: .*; remove {re.escape(str(work))} and give the same command again"
        with pytest.raises(TagwiseError, match=told), engine_tags(corpus, work) as tags:
            build_label_space(tags, options)
        for whole, written in files.items():
            (work / whole).write_bytes(written)
    with engine_tags(corpus, work) as tags:
        assert content(build_label_space(tags, options)) == content(build_label_space(corpus.tag_table(), options))


def test_folders_may_be_called_as_patterns_are(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "a[b]*c", SMALL)
    assert by_engine(corpus, LabelOptions()) == content(build_label_space(corpus.tag_table()))


def test_counts_of_another_vocabulary_are_not_those_of_an_earlier_try(tmp_path: Path) -> None:
    """As after a stop, when the same tags are to extend a space with labels that nobody says here."""
    corpus = corpus_of(tmp_path / "corpus", [(["cat", "dog"], None), (["dog"], None)])
    with engine_tags(corpus, tmp_path / "work") as tags:
        words = np.array([0, 1], np.int32)
        assert tags.picture_counts(words, 2).tolist() == [1, 2]
        assert tags.picture_counts(words, 4).tolist() == [1, 2, 0, 0]


def test_a_query_that_panics_is_no_finished_phase(tmp_path: Path) -> None:
    class Panic(BaseException):
        """As Polars raises it."""

    class Table:
        def sink_parquet(self, path: str) -> None:
            Path(path).write_bytes(b"half")
            raise Panic("somewhere in Rust")

    with open_session("duckdb", tmp_path) as session, pytest.raises(TagwiseError, match=r"sorting: somewhere in Rust"):
        session.write(Table(), tmp_path / "entries.parquet", "sorting")  # type: ignore[arg-type]
    assert not (tmp_path / "entries.parquet").exists()


def test_a_module_that_the_block_misses_is_no_missing_engine(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError), open_session("duckdb", tmp_path):
        raise ModuleNotFoundError(name="else")
