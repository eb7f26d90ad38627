"""``tagwise predict``: tags or classes for pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable, progress

if TYPE_CHECKING:
    from tagwise.transfer.tagger import Answer


@dataclass(frozen=True, kw_only=True)
class PredictResult:
    """One answer a picture, in the order of the pictures."""

    answers: tuple[Answer, ...]
    format: Literal["table", "csv", "jsonl"]
    written: Path | None = None

    def __str__(self) -> str:
        if self.written is not None:
            broken = sum(answer.problem is not None for answer in self.answers)
            return f"{len(self.answers):,} pictures, {broken} of them unreadable: {self.written}"
        return {"table": _table, "csv": _csv, "jsonl": _jsonl}[self.format](self.answers).rstrip("\n")


def predict(
    picture: list[Path],
    *,
    model: str,
    top: int = 5,
    threshold: float = 0.0,
    format: Literal["table", "csv", "jsonl"] = "table",  # noqa: A002 - the flag's name
    out: Path | None = None,
    device: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> PredictResult:
    """Says what is in pictures; of one that cannot be read, why.

    Args:
        picture: Files, or folders whose pictures are all taken.
        model: A run folder, a model file, or published weights.
        top: Tags or classes a picture.
        threshold: Least score, 0 to 1; a softmax's scores sum to 1 and rank, they do not decide.
        format: table, csv or jsonl.
        out: A .csv or .jsonl file to write instead of printing.
        device: cpu, cuda or mps.
        workers: Threads that decode pictures.
        overwrite: Replace the file.

    Raises:
        UsageError: No such picture, folder or model, or ``out`` is there.
        DataRefused: No picture can be read.
    """
    from tagwise.transfer.tagger import Tagger

    if top < 1 or not 0 <= threshold <= 1:
        raise UsageError(f"--top is 1 or more and --threshold 0 to 1; {top} and {threshold} were given.")
    paths = _listed(picture)
    if out is not None:
        format = _format_of(out, overwrite)  # noqa: A001 - the flag's name
    tagger = Tagger(model, top=top, threshold=threshold, device=device)
    answers = []
    with progress("predicting", len(paths)) as ticker:
        for answer in tagger.answers(paths, workers):
            answers.append(answer)
            ticker.advance()
    if all(answer.problem is not None for answer in answers):
        raise DataRefused(
            f"None of {len(answers)} pictures can be read; {printable(answers[0].picture)}: "
            f"{printable(answers[0].problem or '')}."
        )
    result = PredictResult(answers=tuple(answers), format=format, written=out)
    if out is not None:
        from tagwise.base.files import write_text

        write_text(out, {"csv": _csv, "jsonl": _jsonl}[format](answers))
    return result


def _listed(things: list[Path]) -> list[Path]:
    from tagwise.pixels.decode import SUFFIXES

    paths: list[Path] = []
    for thing in things:
        if thing.is_dir():
            inside = sorted(path for path in thing.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
            if not inside:
                raise UsageError(f"{thing} holds no pictures.")
            paths += inside
        else:
            paths.append(thing)  # a missing file gets a row that says so
    if not paths:
        raise UsageError("There is no picture; give files or folders.")
    return paths


def _format_of(out: Path, overwrite: bool) -> Literal["csv", "jsonl"]:
    if out.exists() and not overwrite:
        raise UsageError(f"{out} is there already; give --overwrite or another -o.")
    if out.suffix == ".csv":
        return "csv"
    if out.suffix == ".jsonl":
        return "jsonl"
    raise UsageError(f"{out} has a suffix of no format; end it in .csv or .jsonl.")


def _table(answers: tuple[Answer, ...] | list[Answer]) -> str:
    from tagwise.pages.page import Table
    from tagwise.pages.tables import text_table

    rows = [(printable(answer.picture, 60), _words(answer)) for answer in answers]
    return text_table(Table(columns=("picture", "found"), rows=rows))


def _words(answer: Answer) -> str:
    if answer.problem is not None:
        return f"not read: {printable(answer.problem, 100)}"
    return (
        "  ".join(f"{printable(name, 30)} {share:.2f}" for name, share in answer.outputs)
        or "nothing above the threshold"
    )


def _csv(answers: tuple[Answer, ...] | list[Answer]) -> str:
    import csv
    import io

    from tagwise.base.files import harmless

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    most = max((len(answer.outputs) for answer in answers), default=0)
    writer.writerow(
        ["picture", "problem", *(name for n in range(1, most + 1) for name in (f"output_{n}", f"score_{n}"))]
    )
    for answer in answers:
        cells = [cell for name, share in answer.outputs for cell in (harmless(name), f"{share:.6f}")]
        writer.writerow([harmless(answer.picture), harmless(answer.problem or ""), *cells])
    return text.getvalue()


def _jsonl(answers: tuple[Answer, ...] | list[Answer]) -> str:
    import json

    rows = [
        {"picture": answer.picture, "problem": answer.problem, "outputs": dict(answer.outputs)} for answer in answers
    ]
    # Names of files may hold bytes that are no text; such a name is escaped, never dropped.
    return "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
