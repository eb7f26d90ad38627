"""Small tables for the tests of benchmarks."""

from __future__ import annotations

import csv
from pathlib import Path

Row = dict[str, str]


def write(path: Path, rows: list[Row]) -> None:
    """Rows with a header line."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[Row]:
    """The rows again."""
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))
