"""What a training leaves beside its model; of a pretraining its laws, exposures, scores and examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagwise.base.durations import clock
from tagwise.base.errors import UsageError
from tagwise.base.progress import say

if TYPE_CHECKING:
    import torch

    from tagwise.training.models import Model
    from tagwise.training.ranks import Ranks
    from tagwise.training.runs import Run
    from tagwise.verbs.tagged import Tagged

LAWS_FILE = "laws.json"
SCORES_FILE = "scores.json"
VALIDATION_FILE = "validation.json"
"""What the validation part was when the run began."""
EXAMPLES_FILE = "examples.json"
EXPOSURES_FILE = "exposures.json"
EXAMPLES = 12
"""Pictures of the corpus that a report shows with the model's own tags."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A training that is finished, or whose estimate was asked for."""

    folder: Path
    facts: dict[str, str]
    """What was decided and measured, by name."""
    finished: bool
    """False for ``--dry-run``."""
    scores: dict[str, Any]

    def __str__(self) -> str:
        width = max(map(len, self.facts))
        lines = [f"{name:<{width}}  {value}" for name, value in self.facts.items()]
        return "\n".join(
            [*lines, f"{'model' if self.finished else 'nothing was trained; it would go to'}: {self.folder}"]
        )


def refuse_other_parts(run: Run, ranks: Ranks, *, validation: str | None, test: str | None, tested_on: Any) -> None:
    """Holds a run that goes on, or is finished, to the parts that it had.

    Args:
        run: One that begins keeps its validation part.
        ranks: Of whom the first one writes.
        validation: Digest of the part that judges the epochs; None: there is none.
        test: Digest of the test part; None: there is none.
        tested_on: Where the test part is, for messages.

    Raises:
        UsageError: Epochs were judged by another part, or the run's score is that of another test part.
    """
    kept = run.read(VALIDATION_FILE)
    if kept is None and ranks.first and not run.finished:
        run.write(VALIDATION_FILE, {"digest": validation})
    if kept is not None and kept["digest"] != validation:
        raise UsageError(
            f"{run.folder} is judged by another validation part ({kept['digest'] or 'none'}) than this one "
            f"({validation or 'none'}); give the former one, or --overwrite to train anew."
        )
    measured = (run.read(SCORES_FILE) or {}).get("test_digest")
    if measured is not None and test not in (None, measured):
        raise UsageError(
            f"{run.folder} was scored on another test part ({measured}) than this one ({test}); "
            f"`tagwise evaluate {tested_on} --model {run.folder}` scores it here, --overwrite trains anew."
        )


def write_laws(run: Run, tagged: Tagged) -> None:
    """Writes how labels and pictures are drawn under each law, and what noise replaced."""
    from tagwise.verbs.laws import law_curves, law_facts

    noise = {} if tagged.noise is None else {"noise": tagged.noise}
    laws = {"statistics": law_facts(tagged.report), "laws": law_curves(tagged.report)}
    run.write(LAWS_FILE, {**laws, "labels": [label.spelling for label in tagged.space.labels], **noise})


def write_exposures(run: Run, tagged: Tagged, seen_V: torch.Tensor) -> None:
    """Writes how often each label was to be drawn, and was."""
    expected_V = tagged.report.chosen.drawn_fraction * (run.plan.steps * run.plan.batch)
    labels = [label.spelling for label in tagged.space.labels]
    run.write(EXPOSURES_FILE, {"labels": labels, "expected": expected_V.tolist(), "seen": seen_V.tolist()})


def write_scores(run: Run) -> None:
    """Writes the loss at first and over the last twentieth, and the speed, which is said too."""
    log = run.log()
    last = log[-max(1, len(log) // 20) :]
    seconds = sum((line.seen - before) / line.images_per_second for line, before in _stretches(log))
    scores = {
        "loss": sum(line.loss for line in last) / len(last),
        "excess_loss": sum(line.excess_loss for line in last) / len(last),
        "first_loss": log[0].loss,
        "images": log[-1].seen,
        "images_per_second": log[-1].seen / max(seconds, 1e-9),
        "seconds": seconds,
    }
    run.write(SCORES_FILE, scores)
    say(f"trained in {clock(seconds)}, {scores['images_per_second']:,.0f} pictures/s")


def write_examples(run: Run, model: Model, tagged: Tagged, device: torch.device) -> None:
    """Writes some tagged pictures: what people wrote, which labels that gave, and what the model says."""
    from tagwise.base import rng
    from tagwise.base.settings import to_plain
    from tagwise.transfer.tagger import Tagger

    ids, offsets = tagged.written.ids, tagged.written.offsets
    labelled = offsets[1:] > offsets[:-1]
    rows = rng.stream(run.plan.seed, "examples").permutation(labelled.nonzero()[0])[:EXAMPLES].tolist()
    places, written = tagged.corpus.picture_places(rows), tagged.corpus.raw_tags(rows)
    tagger = Tagger(model, top=4, device=str(device))
    told = [
        {
            "picture": to_plain(place),
            "written": written[row],
            "labels": [tagged.space.labels[label].key for label in ids[slice(*offsets[row : row + 2])]],
            "said": answer.outputs,
        }
        for row, place, answer in zip(rows, places, tagger.answers(places), strict=True)
    ]
    run.write(EXAMPLES_FILE, told)


def _stretches(log: list[Any]) -> list[tuple[Any, int]]:
    return list(zip(log, [0, *(line.seen for line in log[:-1])], strict=True))
