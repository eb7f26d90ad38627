"""What a report says of runs and comparisons, read from their folders without torch."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.files import read_json
from tagwise.base.progress import say
from tagwise.base.settings import from_plain
from tagwise.pages import charts, pictures
from tagwise.pages.page import Chip, Code, Finding, Gallery, Picture, Section, Table
from tagwise.pixels.decode import decode
from tagwise.pixels.place import Place
from tagwise.transfer.records import COMPARISON_FILE, NAMES, SCRATCH, Comparison, Gain, ScoreRow, read_comparison
from tagwise.verbs.compare import comparison_table
from tagwise.verbs.laws import law_table
from tagwise.verbs.noising import NoiseFacts, noise_section
from tagwise.verbs.run_curves import exposure_table, pictures_seen, run_blocks
from tagwise.verbs.run_results import EXAMPLES_FILE, EXPOSURES_FILE, LAWS_FILE, SCORES_FILE

THUMBNAIL = 128
"""Longest side of a picture in a report, pixels."""


def is_comparison(folder: Path) -> bool:
    """Whether ``compare`` wrote the folder."""
    return (folder / COMPARISON_FILE).is_file()


def refuse_others(folder: Path) -> None:
    """Refuses a folder that is no finished run.

    Raises:
        UsageError: It is none.
    """
    if not (folder / SCORES_FILE).is_file():
        raise UsageError(f"{folder} is no finished run and no comparison; give what pretrain, train or compare wrote.")


def subtitle(comparisons: list[Path], pretrainings: list[Path]) -> str:
    """One line under the title."""
    tests = ", ".join(dict.fromkeys(read_comparison(folder).tested_on for folder in comparisons))
    told = f"{len(pretrainings)} pretraining{'s' if len(pretrainings) != 1 else ''} on tags"
    return ", ".join(filter(None, [told if pretrainings else "", f"judged on {tests}" if tests else ""]))


def best_gain(comparison: Comparison) -> tuple[ScoreRow, Gain] | None:
    """The score of the best hold-out accuracy and what it is above scratch: chosen without the test."""
    gains = {(gain.model, gain.protocol): gain for gain in comparison.gains}
    rows = [row for row in comparison.rows if (row.model, row.protocol) in gains]
    if not rows:
        return None
    best = max(rows, key=lambda row: row.hold_out_accuracy or 0.0)  # the first of equals, never by the test
    return best, gains[best.model, best.protocol]


def headline(comparison: Comparison) -> str:
    """What pretraining bought, in a sentence that says no more than the interval of one seed does."""
    found = best_gain(comparison)
    if found is None:
        return "Nothing stands beside training from scratch."
    gain = found[1]
    if gain.low > 0:
        return f"On one seed, pretraining bought {gain.points:.1f} points over training from scratch."
    if gain.high < 0:
        return f"On one seed, pretraining cost {-gain.points:.1f} points against training from scratch."
    return f"On one seed, pretraining did not plainly help: {gain.points:+.1f} points, and the interval holds 0."


def findings(folder: Path) -> list[Finding]:
    """The answers of a comparison; the first is the headline."""
    comparison = read_comparison(folder)
    found = best_gain(comparison)
    if found is None:
        return []
    best, gain = found
    rival = next(row for row in comparison.rows if row.model == SCRATCH)
    return [
        Finding(
            statement=headline(comparison),
            value=f"{gain.points:+.1f} points",
            spread=f"95 % interval {gain.low:+.1f} to {gain.high:+.1f}: chance of these {best.test_pictures:,} test "
            "pictures alone, not of other seeds",
            kind="good" if gain.low > 0 else "bad" if gain.high < 0 else "plain",
        ),
        Finding(
            statement=f"{NAMES[best.protocol]} on {best.model}, from {best.train_pictures:,} labelled pictures.",
            value=f"{best.accuracy:.1%}",
            spread=f"{best.low:.1%} to {best.high:.1%}; chosen by its hold-out, not by the test",
        ),
        Finding(
            statement="The rival: a net that saw the labelled pictures alone.",
            value=f"{rival.accuracy:.1%}",
            spread=f"{rival.low:.1%} to {rival.high:.1%}",
        ),
    ]


def of_comparison(folder: Path) -> list[Section]:
    """Scores, classes and pictures of a comparison."""
    comparison = read_comparison(folder)
    scores = [_score(row) for row in comparison.rows if row.model != SCRATCH]
    rival = next((row for row in comparison.rows if row.model == SCRATCH), None)
    looks = (
        f"From {comparison.rows[0].train_pictures:,} labelled pictures; no setting was chosen on the test part "
        f"({comparison.rows[0].test_pictures:,} pictures, digest {comparison.test_digest}), which was opened "
        f"{comparison.test_looks} times for {len(comparison.rows)} scores."
    )
    caption = "Accuracy on the test part; the bar is Wilson's 95 % interval for these pictures."
    blocks: list[Any] = [
        charts.score_chart(scores, _score(rival) if rival else None, caption=caption),
        comparison_table(comparison),
    ]
    sections = [Section(heading=f"Scores on {comparison.tested_on}", text=[looks], blocks=blocks)]
    found = best_gain(comparison)
    if found is not None and rival is not None:
        chart = charts.per_class_chart(
            comparison.classes,
            _fractions(rival),
            _fractions(found[0]),
            caption=f"Accuracy of each class: scratch, and {NAMES[found[0].protocol]} on {found[0].model}.",
        )
        sections.append(Section(heading="Class by class", blocks=[chart]))
        if gallery := _answers(comparison, found[0]):
            sections.append(Section(heading="Test pictures and the answers to them", blocks=[gallery]))
    return sections


def of_pretrainings(folders: list[Path]) -> list[Section]:
    """Laws, losses and tagged pictures of pretrainings."""
    laws = {folder: read_json(folder / LAWS_FILE) for folder in folders}
    drawn: dict[str, Any] = {}
    statistics: dict[str, Any] = {}
    for read in laws.values():
        drawn |= read["laws"]
        statistics |= read["statistics"]
    labels = next(iter(laws.values()))["labels"]
    same = {name: law for name, law in drawn.items() if len(law) == len(labels)}
    exposed = {
        folder.name: read_json(folder / EXPOSURES_FILE) for folder in folders if (folder / EXPOSURES_FILE).is_file()
    }
    told = (
        "The share of each label in what the loss sees, the commonest first: the tags' own law, and the law drawn; "
        "beside that the labels as they are drawn, and the law that was intended."
    )
    sections = [
        Section(
            heading="The law of the tags",
            text=["Few tags are on most pictures. Sampling repeats pictures of rare tags, so that the net sees them."],
            blocks=[
                charts.law_chart(labels, same, caption=told),
                law_table(statistics),
                *(exposure_table(name, exposures) for name, exposures in exposed.items()),
            ],
        )
    ]
    noisy = {
        folder.name: (read["labels"], from_plain(NoiseFacts, read["noise"], str(folder / LAWS_FILE)))
        for folder, read in laws.items()
        if "noise" in read
    }
    sections += [noise_section(noisy)] if noisy else []
    blocks = run_blocks(folders, "Loss above the least that any net could reach.")
    sections.append(Section(heading="Pretraining", blocks=blocks))
    if gallery := _tagged(folders[-1]):
        sections.append(Section(heading="What people wrote, what the tagger says", blocks=[gallery]))
    return sections


def of_trainings(folders: list[Path]) -> list[Section]:
    """Runs of ``train``."""
    if not folders:
        return []
    return [Section(heading="Trainings on the target", blocks=run_blocks(folders, "Loss on the training part."))]


def fates_section(fates: dict[str, int], merges: tuple[tuple[str, tuple[str, ...]], ...]) -> Section:
    """What became of the raw tags."""
    rows = [(key, ", ".join(spellings)) for key, spellings in merges]
    return Section(
        heading="From raw tags to labels",
        text=["Every raw tag has one fate. Spellings, plurals and aliases of one word become one label."],
        blocks=[
            charts.bar_chart(fates, caption="Tags by their fate."),
            Table(columns=("label", "written as"), rows=rows, caption="The labels with the most spellings."),
        ],
    )


def pictures_section(heading: str, answers: list[tuple[Path, str, tuple[tuple[str, float], ...]]]) -> Section:
    """Pictures with what a model says of them: path, caption, outputs with scores."""
    shown = [_picture(path, caption, _chips(outputs)) for path, caption, outputs in answers]
    return Section(heading=heading, blocks=[Gallery(pictures=[picture for picture in shown if picture is not None])])


def commands_section(heading: str, lines: list[str], text: str = "") -> Section:
    """Commands to copy."""
    return Section(heading=heading, text=[text] if text else [], blocks=[Code(lines=lines)])


def provenance(folders: list[Path]) -> dict[str, str]:
    """Versions and digests."""
    from importlib.metadata import version

    facts = {"tagwise": version("tagwise"), "torch": version("torch"), "Python": platform.python_version()}
    for folder in folders:
        if is_comparison(folder):
            facts[f"{folder.name}: test part"] = read_json(folder / COMPARISON_FILE)["about"]["test_digest"]
        else:
            plan = read_json(folder / "plan.json")
            facts[f"{folder.name}: seed, data, pictures seen"] = (
                f"{plan['seed']}, {plan['data']}, {pictures_seen(plan):,}"
            )
    return facts


def _fractions(row: ScoreRow) -> list[float]:
    return [float("nan") if value is None else value for value in row.class_accuracies]


def _score(row: ScoreRow) -> charts.Score:
    return charts.Score(
        method="from scratch" if row.model == SCRATCH else NAMES[row.protocol],
        model="labelled pictures alone" if row.model == SCRATCH else row.model,
        accuracy_fraction=row.accuracy,
        low_fraction=row.low,
        high_fraction=row.high,
    )


def _answers(comparison: Comparison, best: ScoreRow) -> Gallery | None:
    entries = {"scratch": f"{SCRATCH}/train", best.model: f"{best.model}/{best.protocol}"}
    shown = []
    for where, truth, row in comparison.examples:
        chips = []
        for name, entry in entries.items():
            answers = comparison.answers[entry]
            if row not in answers["rows"]:
                continue
            place = answers["rows"].index(row)
            said = comparison.classes[answers["predicted"][place]]
            chips.append(Chip(text=f"{name}: {said}", kind="good" if answers["right"][place] else "bad"))
        shown.append(_picture(where, comparison.classes[truth], chips))
    kept = [picture for picture in shown if picture is not None]
    return Gallery(pictures=kept, caption="The true class, and what the two nets say.") if kept else None


def _tagged(folder: Path) -> Gallery | None:
    path = folder / EXAMPLES_FILE
    shown = []
    for example in read_json(path) if path.is_file() else []:
        held = set(example["labels"])
        chips = [
            Chip(text=f"{name} {share:.2f}", kind="good" if name in held else "plain")
            for name, share in example["said"]
        ]
        shown.append(_picture(Place(**example["picture"]), "written: " + ", ".join(example["written"]), chips))
    kept = [picture for picture in shown if picture is not None]
    told = f"Tags said by {folder.name} with their share; those that people wrote too are marked."
    return Gallery(pictures=kept, caption=told) if kept else None


def _picture(place: Place | Path, caption: str, chips: list[Chip]) -> Picture | None:
    """A thumbnail, or None for a file that is gone since."""
    try:
        pixels_HWC = decode(place).pixels_HWC
    except TagwiseError as error:
        say(f"The report leaves out {place}: {error}")
        return None
    return Picture(uri=pictures.thumbnail(pixels_HWC, THUMBNAIL), alt=caption, caption=caption, chips=chips)


def _chips(outputs: tuple[tuple[str, float], ...]) -> list[Chip]:
    return [Chip(text=f"{name} {share:.2f}") for name, share in outputs]
