"""Files between the phases of a count, read so that a damaged one is told by its name; see ``corpus.engine``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import TagwiseError
from tagwise.corpus.sessions import parts


@contextmanager
def sound(path: Path) -> Iterator[None]:
    """Files appear whole, but disks fail: what reading them raises becomes one sentence.

    Raises:
        TagwiseError: The file cannot be read, or its length is wrong.
    """
    try:
        yield
    except (OSError, EOFError, ValueError) as error:  # so pyarrow and numpy tell
        told = " ".join(str(error).split())[:200]
        raise TagwiseError(
            f"{path} is damaged: {told}; remove {path.parent} and give the same command again."
        ) from error


def read_columns(path: Path, *columns: str) -> Any:
    """An Arrow table of some columns, all of them in memory."""
    import pyarrow.parquet

    with sound(path):
        return pyarrow.concat_tables(
            pyarrow.parquet.read_table(part, columns=list(columns), partitioning=None) for part in parts(path)
        )


def read_batches(path: Path, rows: int) -> Iterator[Any]:
    """Arrow batches of at most so many rows, none of them empty."""
    import pyarrow.parquet

    for part in parts(path):
        with sound(path), pyarrow.parquet.ParquetFile(part) as file:
            yield from (batch for batch in file.iter_batches(rows) if len(batch))


def map_array(path: Path, dtype: type[np.integer[Any]], length: int) -> NDArray[Any]:
    """A flat array on disk."""
    with sound(path):
        check_length(path.stat().st_size, length * np.dtype(dtype).itemsize)
        return np.memmap(path, dtype, "r") if length else np.empty(0, dtype)


def check_length(found: int, wanted: int) -> None:
    """For the time of ``sound``.

    Raises:
        ValueError: They differ.
    """
    if found != wanted:
        raise ValueError(f"its length is {found} instead of {wanted}")
