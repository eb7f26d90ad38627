"""The part of docs/results.md on real tags: a curve over labelled pictures for each record of ``bench.curves``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.record import RESULTS, machine, read_record
from tagwise.base.durations import clock
from tagwise.pages.markdown import table_lines
from tagwise.pages.svg import standalone
from tagwise.transfer.contest import usual_epochs
from tagwise.transfer.records import SCRATCH
from tagwise.verbs.label_curve import RULE, SPREADS, curve_chart, curve_table, verdict
from tagwise.verbs.label_trials import Trial, chosen, reached, trials_of

ROADS = {
    "clothing": (
        "Shop photos to amateur photos",
        "20,000 studio photos of a shop with messy attributes as tags; the target is ten classes of clothing that "
        "amateurs photographed on beds and floors. Augmentation and net of the pretraining were chosen with all "
        "labelled pictures of the target's training and validation parts (`bench.photo_search`): few labels alone "
        "would not have found them.",
    ),
    "emoji": (
        "Emoji keywords to emoji groups",
        "Noto's drawings with their keywords; the target is the group of the emoji in Twemoji's drawings. No emoji of "
        "the test is in the corpus of `tags` in either drawing; the corpus of `leaky` has them, in Noto's, so that it "
        "shows what retrieval across styles would give away; it is larger, too, and the two cannot be told apart.",
    ),
    "types": (
        "Shop photos to their own kinds",
        "20,000 studio photos of a shop; the target is the twenty commonest values of articleType, on pictures that "
        "have no near copy among the 20,000 and are not in the corpus. The tags of `tags` name articleType too; from "
        "those of `without` it is removed; other tags often name it still, in the singular or another case.",
    ),
    "cifar": (
        "WordNet names to CIFAR-10",
        "4,000 photos of Tiny ImageNet with the WordNet names of their classes as tags, clean ones; the target is a "
        "part of CIFAR-10.",
    ),
}
"""Heading and description of each road of ``bench.curves``, in their order on the page."""

STARTS = {"leaky": "tags, with a leak of the test", "without": "tags without that attribute, often named by others"}
"""Starts of ``bench.curves`` whose names say too little."""

COLUMNS = (5, 10, 20, 50)
"""Labelled pictures a class in the summary, beside all of them."""

_HEAD = f"""## Real tags: `python -m bench.curves ROAD FOLDER_WITH_DATA`

What tags buy depends on how many labels there are, so every road is a curve. Each seed draws the pretraining, the
labelled pictures, the hold-outs and the orders anew; the test pictures stay. {SPREADS} {RULE}"""


def curve_sections() -> str:
    """A section for each road that has a record; nothing where none has."""
    sections = [_section(road, record) for road, record in _records().items()]
    return "\n\n".join([_HEAD, *sections]) if sections else ""


def curve_summary() -> str:
    """What tags bought on every road, a line a start, with few and with many labels; nothing where none was walked."""
    lines = []
    for road, record in _records().items():
        longer = read_record(f"longer_scratch_{road}")
        lines += _summary_lines(ROADS[road][0], record)
        if longer is not None:
            lines += _summary_lines(f"the same, scratch {longer['results']['times']} times as long", longer)
    if not lines:
        return "Not measured yet."
    columns = " | ".join([*map(str, COLUMNS), "all"])
    return "\n".join(
        [
            f"| points over scratch, by labelled pictures a class | pretrained on | seeds | {columns} |",
            f"|---|---|{'---:|' * (len(COLUMNS) + 2)}",
            *lines,
            "",
            "Mean ± standard deviation over the seeds of what the hold-out chose among kNN, linear probe and "
            "fine-tuning, less a net of the same design that saw the labelled pictures alone. That net had the search "
            "that fine-tuning had: two rates, stronger augmentation, four times the length, whichever a hold-out "
            "preferred. Bold where the 95 % interval, over seeds and test pictures, is clear of zero; a wide one with "
            "few seeds says that it is not known.",
            "",
            _edges(),
            "",
            f"The nets are small and the pictures 32 pixels wide: {_lengths()} for all seeds of a road on one core.",
        ]
    )


def _edges() -> str:
    """How often the rival's search ended with the longest training that it was offered."""
    rivals = [
        row
        for record in _records().values()
        for point in record["results"]["points"]
        for row in point["rows"]
        if row["model"] == SCRATCH
    ]
    ended = sum(
        row["settings"]["images"] > usual_epochs(row["train_pictures"]) * row["train_pictures"] for row in rivals
    )
    beside = ""
    if any(read_record(f"longer_scratch_{road}") for road in ROADS):
        beside = "; in the rows below each road that rival, and it alone, trained longer still with what it had chosen"
    return (
        f"In {ended} of {len(rivals)} comparisons the net from scratch chose the longest training that it was offered, "
        f"so these are gains over a rival with an equal search, not over the best one{beside}."
    )


def _summary_lines(name: str, record: dict[str, Any]) -> list[str]:
    points = record["results"]["points"]
    every, seeds = _labelled_of_all(points), len({point["seed"] for point in points})
    lines = []
    for start, gains in _gains(_trials(record)).items():
        few = [gains.get(labelled, "") if labelled < every else "" for labelled in COLUMNS]
        cells = [name, STARTS.get(start, start), str(seeds), *few, f"{gains[every]} ({every})"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _lengths() -> str:
    minutes = [record["results"]["minutes"] for record in _records().values()]
    return " to ".join(dict.fromkeys(clock(60 * edge) for edge in (min(minutes), max(minutes))))


def _longer(road: str) -> list[str]:
    """The road once more, over a rival that trained longer than its search went."""
    record = read_record(f"longer_scratch_{road}")
    if record is None:
        return []
    trials, times = _trials(record), record["results"]["times"]
    head = (
        f"Was the rival's search long enough? Scratch with the settings that it chose, trained {times} times as long "
        f"(`python -m bench.longer_scratch {road} FOLDER`, {clock(60 * record['results']['minutes'])}), in its place:"
    )
    rows = [point for point in reached(trials) if point.gain is None]
    return [f"{head} {_lowered(verdict(trials))}", table_lines(curve_table([*rows, *chosen(trials)]))]


def _lowered(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _gains(trials: list[Trial]) -> dict[str, dict[int, str]]:
    """By start and number of labels."""
    found: dict[str, dict[int, str]] = {}
    for line in chosen(trials):
        assert line.gain is not None
        clear = line.gain.interval[0] > 0 or line.gain.interval[1] < 0
        told = line.gain.told("+")
        found.setdefault(line.start, {})[line.labelled] = f"**{told}**" if clear else told
    return found


def drawings() -> dict[Path, str]:
    """Each record's curve as an SVG file."""
    return {
        RESULTS / f"curve_{road}.svg": standalone(curve_chart(reached(_trials(record))))
        for road, record in _records().items()
    }


def _trials(record: dict[str, Any]) -> list[Trial]:
    points = record["results"]["points"]
    every = _labelled_of_all(points)
    return [
        trial
        for point in points
        for trial in trials_of(point["rows"], point["gains"], labelled=point["labelled"] or every, seed=point["seed"])
    ]


def _records() -> dict[str, dict[str, Any]]:
    read = {road: read_record(f"curve_{road}") for road in ROADS}
    return {road: record for road, record in read.items() if record is not None}


def _section(road: str, record: dict[str, Any]) -> str:
    trials = _trials(record)
    heading, told = ROADS[road]
    return "\n\n".join(
        [
            f"### {heading}: `{road}`",
            told,
            f"![Accuracy by labelled pictures a class, from scratch and from tags](results/curve_{road}.svg)",
            verdict(trials),
            table_lines(curve_table([*reached(trials), *chosen(trials)])),
            *_longer(road),
            _facts(record),
            _commands(record["results"]["commands"]),
        ]
    )


def _facts(record: dict[str, Any]) -> str:
    points = record["results"]["points"]
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(point["seed"] for point in points))
    split = record["results"].get("split") or {}
    parts = [_counted(name, value) for name, value in split.items()]
    return " ".join(
        [
            f"Seeds {seeds}; {points[0]['rows'][0]['test_pictures']:,} test pictures. "
            f"{_labelled_of_all(points)} a class, on average, are all the labelled pictures "
            f"{'that the split sets aside' if 'train' in split else 'there are'}.",
            *([f"Split by the benchmark: {'; '.join(parts)}."] if parts else []),
            f"{clock(60 * record['results']['minutes'])} in all on {machine(record)}{_busy(record)}: {_times(record)}.",
            record["results"].get("note", ""),
        ]
    ).strip()


def _busy(record: dict[str, Any]) -> str:
    """Processor's time, which other work on the same machine does not lengthen."""
    minutes = record["results"].get("cpu_minutes")
    return f" ({clock(60 * minutes)} of one core)" if minutes else ""


def _times(record: dict[str, Any]) -> str:
    seconds: dict[str, list[float]] = {}
    for step in record["results"]["commands"]:
        seconds.setdefault(step["command"].split()[1], []).append(step["seconds"])
    return ", ".join(f"{verb} {clock(sum(spent))}" for verb, spent in seconds.items())


def _commands(steps: list[dict[str, Any]]) -> str:
    """The commands up to the first comparison: the rest differ from them in seed and number of labels."""
    lines = [step["command"].replace(" ;", " ';'") for step in steps]
    first = next(number for number, line in enumerate(lines) if line.startswith("tagwise compare"))
    return "\n".join(
        ["```", *lines[: first + 1], "```", "", f"{len(lines) - first - 1} more, of other seeds and numbers of labels."]
    )


def _labelled_of_all(points: list[dict[str, Any]]) -> int:
    """Pictures a class where all are used; the points with a number a class tell how many classes there are."""
    few = next(point for point in points if point["labelled"])
    classes = round(few["rows"][0]["train_pictures"] / few["labelled"])
    return round(max(point["rows"][0]["train_pictures"] for point in points) / classes)


def _counted(name: str, value: float) -> str:
    words = name.removesuffix("_fraction").replace("_", " ")
    return f"{words}: {value:.1%}" if name.endswith("_fraction") else f"{words}: {value:,}"
