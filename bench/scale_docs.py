"""The parts of docs/results.md on many tags: out of the records of bench.corpus, bench.sampling and bench.cluster."""

from __future__ import annotations

import math
from typing import Any

from bench.corpus import same
from bench.record import machine, read_record
from tagwise.pages.markdown import table_lines
from tagwise.pages.page import Table

CPU_TARGET, MEMORY_TARGET_MIB = 1.3, 1024
"""Of our engine: times the best query by hand, and anonymous memory at 10^7 pictures, at most."""
POSITIONS_TARGET, ITEMS_TARGET = 20e6, 1e6
"""A second, at least."""
_LARGE = 10**9


def corpus_table() -> str:
    """Contenders on each table, and what the growth between tables says of 10^9 pictures."""
    record = read_record("corpus")
    if record is None:
        return "Not measured yet."
    found = record["results"]
    rows = [
        [f"{int(size):,}", name, _range(of["cpu_seconds"], 1), _range(of["wall_seconds"], 1),
         _range(of["peak_mib"], 0), _range(table["cpu_over_best_by_hand"][name], 2)]
        for size, table in found["tables"].items()
        for name, of in table["contenders"].items()
    ]  # fmt: skip
    columns = ("pictures", "contender", "processor's seconds", "seconds", "peak MiB", "over the best by hand")
    parts = [table_lines(Table(columns=columns, rows=rows, numeric=columns[2:]))]
    alike = all(map(same, found["tables"].values()))
    parts.append(
        f"{'All wrote the same labels, counts and factors.' if alike else 'What they wrote differs.'} Medians of "
        f"{found['rounds']} rounds, least and most in brackets; {found['threads']} threads and "
        f"{found['engine_memory_gib']:g} GiB for each engine, on {machine(record)}. {_reached(found['tables'])}"
    )
    if len(found["tables"]) > 1:
        parts.append(_extrapolated(found["tables"]))
    return "\n\n".join(parts)


def _reached(tables: dict[str, Any]) -> str:
    largest = tables[max(tables, key=int)]
    ours, memory = largest["cpu_over_best_by_hand"]["ours"]["median"], largest["contenders"]["ours"]["peak_mib"]
    held = [name for name in ("median", "most") if memory[name] <= MEMORY_TARGET_MIB]
    words = {0: "missed", 1: "reached by the median alone", 2: "reached"}[len(held)]
    return (
        f"On the largest table ours takes {ours:.2f} times the best query by hand (target {CPU_TARGET} at most, "
        f"{_said(ours <= CPU_TARGET)}) and {memory['median']:,.0f} MiB, {memory['most']:,.0f} in the worst round "
        f"(target {MEMORY_TARGET_MIB:,} at most, {words})."
    )


def _extrapolated(tables: dict[str, Any]) -> str:
    """What a further picture cost between the two largest tables, for so many more."""
    small, large = sorted(map(int, tables))[-2:]
    seconds = [tables[str(size)]["contenders"]["ours"]["cpu_seconds"]["median"] for size in (small, large)]
    further = (seconds[1] - seconds[0]) / (large - small)
    growth = math.log(_LARGE) / math.log(large)
    minutes = (seconds[1] + further * (_LARGE - large)) / 60
    each = f"{1e6 * further:.1f} microseconds of one core, {minutes:,.0f} minutes for so many"
    return (
        f"To {_LARGE:,} pictures: from {small:,} to {large:,} a further picture cost {each}. What grows with them is "
        "the engine's sort of picture and number and the walks in blocks; keys and labels grow with the distinct raw "
        f"tags alone. A sort takes more for each row the more there are, at most {growth:.2f} times by the logarithm, "
        "and reads and writes the table twice where it is larger than the memory; Spark shares it out over machines. "
        "This is a reckoning, not a measurement: beyond one disk's speed, and one machine's memory of distinct raw "
        "tags, it does not hold."
    )


def sampling_table() -> str:
    """An epoch's start, memory and speed."""
    record = read_record("sampling")
    if record is None:
        return "Not measured yet."
    found = record["results"]
    virtual = found["virtual"]
    rows = [
        [name, _range(of["start_seconds"], 4), _range(of["seconds"], 2), _range(of["cpu_seconds"], 2),
         _range(of["megabytes"], 1)]
        for name, of in found["contenders"].items()
    ]  # fmt: skip
    drawn = f"an epoch of {found['items']:,} pictures"
    columns = (drawn, "seconds to the first batch", "seconds", "processor's seconds", "MiB")
    positions, items = (virtual[name]["median"] for name in ("positions_per_second", "items_per_second"))
    start, memory = virtual["start_seconds"]["median"], virtual["start_megabytes"]["most"]
    return "\n\n".join(
        [
            table_lines(Table(columns=columns, rows=rows, numeric=columns[1:])),
            f"Of {virtual['rows']:,} virtual pictures an epoch begins in {1000 * start:.1f} ms with {memory:.2f} MiB; "
            f"one core finds {positions / 1e6:.1f} million positions a second (target {POSITIONS_TARGET / 1e6:.0f} at "
            f"least, {_said(positions >= POSITIONS_TARGET)}) and {items / 1e6:.1f} million pictures (target "
            f"{ITEMS_TARGET / 1e6:.0f} at least, {_said(items >= ITEMS_TARGET)}).",
            f"Medians of {found['rounds']} rounds, least and most in brackets, on {machine(record)}.",
        ]
    )


def cluster_words() -> str:
    """A label space made by Spark with a worker killed."""
    record = read_record("cluster")
    if record is None:
        return "Not measured yet."
    found = record["results"]
    alike = found["in_memory"] == found["by_cluster"]
    return (
        f"{found['pictures']:,} pictures, two executors, one of them killed after {found['killed_after_seconds']:.1f} "
        f"seconds while the tags were sorted: {'every byte is that of one process' if alike else 'the bytes differ'}; "
        f"on {machine(record)}."
    )


def _range(of: dict[str, float], places: int) -> str:
    return f"{of['median']:,.{places}f} ({of['least']:,.{places}f} to {of['most']:,.{places}f})"


def _said(reached: bool) -> str:
    return "reached" if reached else "missed"
