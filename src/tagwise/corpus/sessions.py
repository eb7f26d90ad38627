"""Query engines, each opened with its limits; narwhals asks all of them the same.

An engine reads Parquet and writes Parquet. DuckDB and Polars write a file, Spark a folder of
parts whose names are in order.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from tagwise.base.errors import TagwiseError, UsageError, unknown
from tagwise.base.files import TEMPORARY_PREFIX, settle, sync
from tagwise.base.progress import progress

if TYPE_CHECKING:
    from narwhals import LazyFrame

Engine = Literal["duckdb", "polars", "pyspark"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
SCRATCH = "scratch"
"""The folder for what an engine's memory does not hold."""
_ENDLESS = 2**30
"""Of GiB or threads; engines know no larger limits."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """An engine at work."""

    engine: Engine
    spill: Path
    """Where it puts what its memory does not hold."""
    read: Callable[[str], Any]
    """The engine's own table of a Parquet file."""
    interrupt: Callable[[], None]
    """Ends the query under way."""
    percent: Callable[[], float] = lambda: 0.0
    """How much of it is done, as far as the engine says."""

    def scan(self, path: Path) -> LazyFrame[Any]:
        """A table on disk, not read yet."""
        import narwhals

        return narwhals.from_native(self.read(str(path))).lazy()

    def write(self, table: LazyFrame[Any], path: Path, what: str) -> None:
        """Runs a query into ``path``, which appears when the query is through.

        Args:
            table: The query.
            path: A file, of Spark a folder.
            what: The work, for the progress.

        Raises:
            TagwiseError: Neither memory nor disk holds it, or the engine fails.
        """
        temporary = path.with_name(TEMPORARY_PREFIX + path.name)
        _remove(temporary)
        try:
            self._run(lambda: table.sink_parquet(str(temporary)), what)
            for part in parts(temporary):
                sync(part)
            settle(temporary, path)
        except TagwiseError:
            raise
        except Exception as error:  # each engine has a tree of its own, one of them Java's
            raise self._refusal(error, what) from error

    def _run(self, query: Callable[[], None], what: str) -> None:
        """Beside this thread, so that it can tell the progress and be interrupted."""
        failures: list[Exception] = []
        ended = threading.Event()  # Thread.join believes that the thread is gone when it is interrupted itself

        def run() -> None:
            try:
                query()
            except Exception as error:
                failures.append(error)
            except BaseException as error:  # so Polars panics
                failures.append(RuntimeError(str(error)))
            finally:
                ended.set()

        threading.Thread(target=run, daemon=True).start()
        try:
            with progress(f"{self.engine}: {what}", 100, "%") as ticker:
                told = 0
                while not ended.wait(1):
                    done = min(100, max(told, int(self.percent())))
                    ticker.advance(done - told)
                    told = done
        except BaseException:
            while not ended.is_set():  # an engine cannot be closed under its query, and looks up only now and then
                self.interrupt()
                ended.wait(1)
            raise
        if failures:
            raise failures[0]

    def _refusal(self, error: Exception, what: str) -> TagwiseError:
        told = " ".join(str(error).split())[:300]
        if re.search(r"no space left|max_temp_directory_size|file too large|disk quota", told, re.IGNORECASE):
            return TagwiseError(
                f"There is no space left in {self.spill} for {what}; free some and give the same command again, or "
                "give `labels --spill`, or TMPDIR for all else, a larger place."
            )
        if re.search(r"out of ?memory|heap space", told, re.IGNORECASE):
            return TagwiseError(f"The memory that {self.engine} may use is too small for {what}; give --memory more.")
        return TagwiseError(
            f"{self.engine} cannot do its work in {self.spill}, {what}: {told}; if a file there is damaged, remove the "
            "folder and give the same command again."
        )


def parts(path: Path) -> list[Path]:
    """The files of what an engine wrote, in the order of the rows."""
    return sorted(path.glob("part-*")) if path.is_dir() else [path]


def refuse_wrong_limits(engine: Engine, memory: float | None, workers: int | None) -> None:
    """Told before the work begins.

    Args:
        engine: Which works, if it comes to that.
        memory: GiB that it may use.
        workers: Threads of it.

    Raises:
        UsageError: There is no such engine, a limit is none, or the engine takes none.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    for flag, value, engines in (("--memory", memory, ("duckdb", "pyspark")), ("--workers", workers, ("duckdb",))):
        if value is not None and not 0 < value < _ENDLESS:  # nor is NaN
            raise UsageError(f"{flag} {value} is no limit; give a number above 0, or leave it away.")
        if value is not None and engine not in engines:
            raise UsageError(f"The engine {engine} takes no {flag}; leave it away, or give --engine duckdb.")


@contextmanager
def open_session(
    engine: Engine, spill: Path, *, memory: float | None = None, workers: int | None = None
) -> Iterator[Session]:
    """Starts an engine, and ends it after the block.

    Args:
        engine: Which.
        spill: An existing folder, of nobody else at that time; what its memory does not hold goes into one in it,
            without what a killed process left there.
        memory: GiB that it may use; the engine's own choice unless given. Polars takes no limit.
        workers: Threads of DuckDB; as many as cores unless given. Spark goes by its own settings, Polars by
            ``POLARS_MAX_THREADS``.

    Raises:
        UsageError: The engine is unknown or not installed, or has no use for a limit.
    """
    refuse_wrong_limits(engine, memory, workers)
    mebibytes = None if memory is None else max(1, round(memory * 1024))
    shutil.rmtree(spill / SCRATCH, ignore_errors=True)
    with ExitStack() as stack:
        try:
            session = {"duckdb": _duckdb, "polars": _polars, "pyspark": _spark}[engine](
                stack, spill, mebibytes, workers
            )
        except ModuleNotFoundError as error:
            package = {"pyspark": "'tagwise[spark]'", "polars": "'tagwise[polars]'"}.get(engine, error.name)
            raise UsageError(
                f"The engine {engine} needs {error.name}, which is not installed; pip install {package}."
            ) from error
        yield session


def _duckdb(stack: ExitStack, spill: Path, mebibytes: int | None, workers: int | None) -> Session:
    import duckdb

    limits = {"memory_limit": f"{mebibytes}MiB" if mebibytes else None, "threads": workers}
    connection = duckdb.connect(
        config={
            "temp_directory": str(spill / SCRATCH),
            "preserve_insertion_order": False,  # sorted results stay sorted; the others need no memory for it
            **{name: value for name, value in limits.items() if value is not None},
        }
    )
    stack.callback(connection.close)
    return Session(
        engine="duckdb",
        spill=spill,
        read=lambda path: connection.read_parquet(_literal(path)),
        interrupt=connection.interrupt,
        percent=connection.query_progress,
    )


def _literal(path: str) -> str:
    """A path as a pattern that nothing else matches; Spark's folders by their parts."""
    escaped = re.sub(r"([*?\[])", r"[\1]", path)
    return f"{escaped}/part-*" if Path(path).is_dir() else escaped


def _polars(_stack: ExitStack, spill: Path, _mebibytes: int | None, _workers: int | None) -> Session:
    import polars

    return Session(
        engine="polars", spill=spill, read=lambda path: polars.scan_parquet(path, glob=False), interrupt=lambda: None
    )


def _spark(stack: ExitStack, spill: Path, mebibytes: int | None, _workers: int | None) -> Session:
    """Spark's own settings say where the cluster is (PYSPARK_SUBMIT_ARGS); a session that runs is used."""
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    running = SparkSession.getActiveSession()
    builder = SparkSession.builder.appName("tagwise").config("spark.local.dir", str(spill / SCRATCH))
    if mebibytes:
        builder = builder.config("spark.driver.memory", f"{mebibytes}m")
    try:
        session = builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise UsageError(f"The engine pyspark does not start ({error}); it needs Java 17 or later.") from error
    if running is None:
        stack.callback(session.stop)
    session.sparkContext.setLogLevel("ERROR")
    return Session(
        engine="pyspark",
        spill=spill,
        read=session.read.parquet,
        interrupt=session.sparkContext.cancelAllJobs,
    )


def _remove(path: Path) -> None:
    """What a killed process left half-written."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
