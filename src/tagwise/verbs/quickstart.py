"""``tagwise quickstart``: the whole story on a drawn corpus, in minutes on two cores."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tagwise.base.durations import clock
from tagwise.base.progress import say

if TYPE_CHECKING:
    from tagwise.transfer.records import Comparison
    from tagwise.verbs.labels import LabelsResult
    from tagwise.verbs.predict import PredictResult

PICTURES = 8_000
TRAIN_PER_CLASS = 10
TEST_PER_CLASS = 100
IMAGES = "88k"
"""Pictures seen in each pretraining."""
MIN_COUNT = 12
BATCH = 64
PRETRAINING: dict[str, Any] = {
    "design": "resnext20_8x4d_small",
    "recipe": "small",
    "resolution": 24,
    "batch": BATCH,
    "set_": ["augment.turn_degrees=20"],
}
"""Flags of both pretrainings."""
LAWS = ("natural", "sqrt")
T = TypeVar("T")

NEXT_STEPS = (
    "tagwise gather PICTURES_OR_TABLE -o corpus",
    "tagwise labels corpus -o space.json --min-count 10",
    "tagwise pretrain corpus --labels space.json -o runs/a",
)


@dataclass(frozen=True, kw_only=True)
class QuickstartResult:
    """What the tags of the drawn corpus bought."""

    folder: Path
    labels: LabelsResult
    comparison: Comparison
    tagged: PredictResult
    report: Path
    seconds: float

    def __str__(self) -> str:
        from tagwise.pages.tables import text_table
        from tagwise.verbs.compare import comparison_table
        from tagwise.verbs.sections import headline

        return "\n".join(
            [
                "",
                text_table(comparison_table(self.comparison)),
                headline(self.comparison),
                "",
                "Three new pictures, tagged:",
                str(self.tagged),
                "",
                f"Report: {self.report} (took {clock(self.seconds)} in all)",
                "",
                "The same on your own pictures:",
                *(f"  {line}" for line in NEXT_STEPS),
            ]
        )


def quickstart(
    *,
    out: Path | str = Path("quickstart"),
    seed: int = 0,
    images: str = IMAGES,
    pictures: int = PICTURES,
    test_per_class: int = TEST_PER_CLASS,
    device: str | None = None,
    overwrite: bool = False,
) -> QuickstartResult:
    """Shows what Tagwise is for, without any data: draws a tagged corpus and a labelled target.

    Makes labels of the tags, pretrains a small ResNeXt by the tags' own law and by the square-root
    law, holds both against a net trained on the same labelled pictures alone, tags new pictures
    and writes a report. Given again, it goes on where it stopped.

    Args:
        out: Folder of everything that is made.
        seed: Of everything random.
        images: Pictures seen in each of the two pretrainings.
        pictures: Pictures in the drawn corpus.
        test_per_class: Test pictures of each of the ten classes.
        device: cpu, cuda or mps.
        overwrite: Begin anew in a folder of another quickstart.
    """
    from tagwise.verbs.gather import gather
    from tagwise.verbs.labels import labels
    from tagwise.verbs.predict import PredictResult, predict
    from tagwise.verbs.pretrain import pretrain

    out = Path(out)
    _refuse_too_small(pictures, test_per_class, images)
    began = time.monotonic()
    drawn = _draw(out, seed, pictures, test_per_class, overwrite)
    corpus, space_file = out / "corpus", out / "space.json"
    say(str(_do(gather, [drawn / "pictures.csv"], out=corpus, separator=";")))
    space = _do(labels, corpus, out=space_file, min_count=MIN_COUNT, aliases=drawn / "aliases.tsv")
    say(str(space))
    for law in LAWS:
        run = {"labels": space_file, "out": out / law, "law": law, "images": images, "seed": seed, "device": device}
        _do(pretrain, corpus, **run, **PRETRAINING)
    comparison = _compare(out, seed, device)
    tagged = _do(predict, [drawn / "new"], model=str(out / "sqrt"), top=4, device=device)
    assert isinstance(tagged, PredictResult), "a tagger tells labels"
    page = _report(out, space, tagged)
    return QuickstartResult(
        folder=out,
        labels=space,
        comparison=comparison,
        tagged=tagged,
        report=page,
        seconds=time.monotonic() - began,
    )


def _refuse_too_small(pictures: int, test_per_class: int, images: str) -> None:
    from tagwise.base.durations import parse_images
    from tagwise.base.errors import UsageError

    for flag, value, least in (("pictures", pictures, 200), ("test-per-class", test_per_class, 1)):
        if not least <= value <= 1_000_000:
            raise UsageError(f"--{flag} is {least:,} to 1,000,000, not {value:,}.")
    if parse_images(images, pictures) < BATCH:
        raise UsageError(f"--images is at least one batch of {BATCH} pictures, not {images}.")


def _do(verb: Callable[..., T], thing: Any, **flags: Any) -> T:
    """Calls a verb and shows the command that does the same."""
    words = [str(part) for part in (thing if isinstance(thing, list) else [thing])]
    for name, value in flags.items():
        if value is not None:
            flag = "-o" if name == "out" else f"--{name.strip('_').replace('_', '-')}"
            words += [flag, *map(str, value if isinstance(value, list) else [value])]
    say(f"\n$ tagwise {verb.__name__} {shlex.join(words)}")
    return verb(thing, **flags)


def _draw(out: Path, seed: int, pictures: int, test_per_class: int, overwrite: bool) -> Path:
    """Draws corpus, target and three new pictures, or finds them drawn."""
    from tagwise.base.errors import UsageError
    from tagwise.base.files import claim_alone, read_json, write_json
    from tagwise.base.settings import difference
    from tagwise.corpus.drawn import files as drawn
    from tagwise.corpus.drawn.scenes import target_classes

    about = {"seed": seed, "pictures": pictures, "train": TRAIN_PER_CLASS, "test": test_per_class}
    marker = "quickstart.json"
    with claim_alone(out, marker, overwrite=overwrite):
        if (out / marker).is_file():
            before = read_json(out / marker)
            if changes := difference(before["about"], about):
                raise UsageError(
                    f"{out} is another quickstart ({'; '.join(changes)}); give another -o, or --overwrite."
                )
        else:
            write_json(out / marker, {"about": about, "drawn": False})
            before = {"drawn": False}
        folder = out / "drawn"
        if not before["drawn"]:
            say(f"Drawing {pictures:,} tagged pictures and a target of {len(target_classes())} classes.")
            drawn.write_corpus(folder, pictures=pictures, seed=seed)
            drawn.write_aliases(folder / "aliases.tsv")
            drawn.write_target(
                out / "target", train_per_class=TRAIN_PER_CLASS, test_per_class=test_per_class, seed=seed
            )
            drawn.write_new(folder / "new", count=3, seed=seed)
            write_json(out / marker, {"about": about, "drawn": True})
    return folder


def _compare(out: Path, seed: int, device: str | None) -> Comparison:
    """As ``compare`` does, but scratch has the net, schedule and length of a search made beforehand."""
    from tagwise.base.devices import choose_device
    from tagwise.training.loading import load
    from tagwise.transfer.comparison import Arena
    from tagwise.transfer.contest import Contest, fine_tuning_plans
    from tagwise.transfer.drawn import drawn_scratch
    from tagwise.transfer.opening import open_target
    from tagwise.transfer.records import PROTOCOLS

    say(f"\n$ tagwise compare {out / 'target'} --model {out / 'natural'} {out / 'sqrt'} -o {out / 'comparison'}")
    say("(scratch has the net, schedule and length that bench/scratch_search.py found best)")
    models = {law: load(out / law) for law in LAWS}
    target = open_target(out / "target", seed=seed)
    arena = Arena(target=target, pixels=out / "comparison" / "pixels", device=choose_device(device), seed=seed)
    contest = Contest(
        arena=arena,
        models=models,
        by=PROTOCOLS,
        fine_tuning={law: fine_tuning_plans(arena, model, epochs=40) for law, model in models.items()},
        scratch=[drawn_scratch(arena)],
    )
    return contest.hold(out / "comparison")


def _report(out: Path, space: LabelsResult, tagged: PredictResult) -> Path:
    from tagwise.verbs.report import write_report
    from tagwise.verbs.sections import commands_section, fates_section, pictures_section

    shown: list[Any] = [(Path(answer.picture), "", answer.outputs) for answer in tagged.answers]
    closing = [
        fates_section(space.fates, space.merges),
        pictures_section("Three new pictures, tagged", shown),
        commands_section("The same on your own pictures", list(NEXT_STEPS)),
    ]
    page = out / "report.html"
    write_report([out / "comparison", *(out / law for law in LAWS)], page, "What the tags bought", closing)
    return page
