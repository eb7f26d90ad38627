"""``tagwise predict``: tags or classes for pictures, and of a detector or segmenter where things are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable, progress, say
from tagwise.verbs.evaluate_located import LookFlags
from tagwise.verbs.lines import read_lines
from tagwise.verbs.located_answers import LocatedPredictResult
from tagwise.verbs.planning import refuse_given, refuse_no_answers, refuse_no_workers, several
from tagwise.verbs.predict_located import predict_located

if TYPE_CHECKING:
    from tagwise.transfer.tagger import Answer

Format = Literal["table", "csv", "jsonl", "parquet", "txt", "coco"]

_FORMATS: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}
"""By suffix of the file to write."""


@dataclass(frozen=True, kw_only=True)
class PredictResult:
    """One answer a picture, in the order of the pictures."""

    answers: tuple[Answer, ...]
    format: Format
    written: Path | None = None
    """The file, or the folder of sidecars."""

    def __str__(self) -> str:
        if self.written is not None:
            broken = [answer.picture for answer in self.answers if answer.problem is not None]
            silent = sum(answer.problem is None and not answer.outputs for answer in self.answers)
            pictures = "1 picture" if len(self.answers) == 1 else f"{len(self.answers):,} pictures"
            first = f" (first {printable(broken[0])})" if broken else ""
            without = f", {silent:,} with nothing above the threshold" if silent else ""
            return f"{pictures}, {len(broken):,} unreadable{first}{without}: {self.written}"
        return {"table": _table, "csv": _csv, "jsonl": _jsonl}[self.format](self.answers).rstrip("\n")


def predict(
    picture: Sequence[Path | str],
    *,
    model: str | Path,
    design: str | None = None,
    classes: Path | str | None = None,
    top: int | None = None,
    threshold: float | None = None,
    scales: list[float] | None = None,
    mirror: bool = False,
    window: int | None = None,
    summed: Literal["probabilities", "exponentials"] | None = None,
    format: Format | None = None,  # noqa: A002 - the flag's name
    out: Path | str | None = None,
    device: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> PredictResult | LocatedPredictResult:
    """Says what is in pictures, and of a detector or segmenter where; of one that cannot be read, why.

    A detector's ``-o FOLDER`` is pictures with boxes, masks and keypoints drawn on them; a segmenter's holds maps,
    whose values are the places of the classes from 0, and overlays.

    ``--format txt -o FOLDER`` writes a sidecar for each picture, in the form of captions for training
    (kohya): ``cat, sofa, red`` on one line, best first, under the picture's name and in its subfolder.
    A picture without a tag above the threshold gets an empty line, one that cannot be read gets none.

    Args:
        picture: Files, folders whose pictures are all taken, or globs of either.
        model: A run folder, a file of ours or of others, or published weights.
        design: What the net is, for a file of others that leaves it open.
        classes: A file that names the outputs, one a line, for a file of others.
        top: Tags or classes a picture, by default 5; or boxes, by default all.
        threshold: Least score, 0 to 1; a softmax's scores sum to 1 and rank, they do not decide. By default 0 of
            labels and of COCO results, else 0.3 of boxes.
        scales: Sizes at which a segmenter sees pictures, against its own, such as 0.5 1 1.5.
        mirror: A segmenter sees pictures in the mirror too.
        window: Side of square windows through which a segmenter sees pictures, in pixels.
        summed: Of all that a segmenter saw: probabilities, or exponentials of logits as PyTorch-Encoding does.
        format: table, csv, jsonl, parquet, txt or coco; else the suffix of -o says it.
        out: A .csv, .jsonl or .parquet file to write instead of printing; for txt a folder, for coco a .json file of a
            detector's results, in which pictures count from 1 in their order and have their file_name.
        device: cpu, cuda or mps.
        workers: Threads that decode pictures.
        overwrite: Replace the file or the sidecars.

    Raises:
        UsageError: No such model, design or format; a folder without pictures, or a glob that matches nothing;
            ``out`` is there, or two pictures would have one sidecar; a list of classes has another length.
        DataRefused: No picture can be read.
    """
    from tagwise.localise.released import tells_where
    from tagwise.pixels.quiet import quiet_libraries
    from tagwise.training.loading import load
    from tagwise.transfer.tagger import Tagger

    refuse_no_answers(top, threshold)
    look = LookFlags(scales=scales, mirror=mirror, window=window, summed=summed)
    if tells_where(model):
        refuse_given({"workers": workers}, f"{model} tells where things are")
        return predict_located(
            listed_pictures(picture),
            look,
            model=model,
            design=design,
            classes=None if classes is None else read_lines(classes, "--classes"),
            top=top,
            threshold=threshold,
            form=format,
            out=None if out is None else Path(out),
            device=device,
            overwrite=overwrite,
        )
    refuse_given(vars(look), f"{model} tells labels of whole pictures")
    if format == "coco":
        raise UsageError(f"--format coco is of boxes, and {model} tells labels of whole pictures; leave it away.")
    top, threshold = 5 if top is None else top, 0.0 if threshold is None else threshold
    refuse_no_workers(workers)
    out = None if out is None else Path(out)
    chosen = _chosen_format(format, out)
    pictures = listed_pictures(picture)
    files = [] if out is None else sidecars(pictures, out) if chosen == "txt" else [out]
    if not overwrite:
        refuse_existing(files)
    loaded = load(model, design=design, classes=None if classes is None else read_lines(classes, "--classes"))
    tagger = Tagger(loaded, top=top, threshold=threshold, device=device)
    answers = []
    with quiet_libraries(), progress("predicting", len(pictures)) as ticker:
        for answer in tagger.answers([path for path, _ in pictures], workers):
            answers.append(answer)
            ticker.advance()
    if all(answer.problem is not None for answer in answers):
        raise DataRefused(
            f"None of {len(answers)} pictures can be read; {printable(answers[0].picture)}: "
            f"{printable(answers[0].problem or '')}."
        )
    if out is not None:
        _write(answers, files, chosen)
    return PredictResult(answers=tuple(answers), format=chosen, written=out)


def _chosen_format(asked: Format | None, out: Path | None) -> Format:
    """The format that flag and suffix agree on."""
    if out is None:
        if asked in ("parquet", "txt"):
            where = "FOLDER" if asked == "txt" else "tags.parquet"
            raise UsageError(f"--format {asked} is not printed; say where it goes with -o {where}.")
        return asked or "table"
    by_suffix = _FORMATS.get(out.suffix.lower())
    if asked is not None:
        if asked != (by_suffix or "txt"):
            raise UsageError(f"--format {asked} and -o {out} do not go together; leave --format away or rename -o.")
        return asked
    if by_suffix is None:
        raise UsageError(
            f"{out} has a suffix of no format; end it in {', '.join(_FORMATS)}, or give --format txt for a folder."
        )
    return by_suffix


def _meant(name: str) -> list[str]:
    """The places that a pattern stands for, as ``gather`` finds them, relative where it is; of any other name itself.

    Raises:
        UsageError: Nothing matches, or folders and files do.
    """
    from tagwise.corpus.readers.patterns import is_pattern, match
    from tagwise.pixels.addresses import is_address

    if is_address(name) or not is_pattern(name):
        return [name]
    places = match(name) if Path(name).is_absolute() else [os.path.relpath(place) for place in match(name)]
    folders = [place for place in places if Path(place).is_dir()]
    if folders and len(folders) < len(places):
        file = next(place for place in places if place not in folders)
        raise UsageError(f"{name} matches folders ({folders[0]}) and files ({file}); write a pattern of one form.")
    return places


def listed_pictures(given: Path | str | Sequence[Path | str]) -> list[tuple[Path, Path]]:
    """The pictures, each with its path inside the folder that was given.

    Raises:
        UsageError: A folder without pictures, a glob that matches nothing, or no picture.
    """
    from tagwise.pixels.decode import SUFFIXES

    things = [Path(place) for thing in several(given) for place in _meant(str(thing))]
    pictures: list[tuple[Path, Path]] = []
    for thing in things:
        if thing.is_dir():
            inside = sorted(path for path in thing.rglob("*") if _may_be_picture(path.relative_to(thing), SUFFIXES))
            inside = [path for path in inside if path.is_file()]
            if not inside:
                raise UsageError(f"{thing} holds no pictures.")
            pictures += [(path, path.relative_to(thing)) for path in inside]
        else:
            pictures.append((thing, Path(thing.name)))  # a missing file gets a row that says so
    if not pictures:
        raise UsageError("There is no picture; give files or folders.")
    return pictures


def sidecars(
    pictures: list[tuple[Path, Path]], folder: Path, suffix: str = ".txt", what: str = "sidecar"
) -> list[Path]:
    """The file below a folder for each picture, no two the same and none a picture.

    Args:
        pictures: Each with its path inside the folder that was given.
        folder: To be.
        suffix: Of the files.
        what: They are.

    Raises:
        UsageError: Two would be the same, or one is a picture.
    """
    if folder.is_file():
        raise UsageError(f"{folder} is a file; give -o a folder for the {what}s.")
    owner: dict[Path, Path] = {}
    for picture, inside in pictures:
        sidecar = folder / inside.with_suffix(suffix)
        if sidecar in owner:
            raise UsageError(
                f"{owner[sidecar]} and {picture} would both have the {what} {sidecar}; "
                "rename one, or give the folder that holds them both."
            )
        if sidecar.exists() and picture.exists() and sidecar.samefile(picture):
            raise UsageError(f"{picture} would be overwritten by its own {what}; rename it, or give another -o.")
        owner[sidecar] = picture
    return list(owner)


def refuse_existing(files: list[Path]) -> None:
    """Keeps files that are there.

    Raises:
        UsageError: One is.
    """
    there = [path for path in files if path.exists()]
    if there:
        beside = f" (and {len(there) - 1:,} more)" if len(there) > 1 else ""
        raise UsageError(f"{there[0]}{beside} is there already; give --overwrite or another -o.")


def _write(answers: list[Answer], files: list[Path], form: Format) -> None:
    from tagwise.base.files import write_text

    if form == "txt":
        for answer, sidecar in zip(answers, files, strict=True):
            if answer.problem is None:
                write_text(sidecar, _line(answer))
            else:
                say(f"{printable(answer.picture)} gets no sidecar: {printable(answer.problem)}")
    elif form == "parquet":
        _write_parquet(answers, files[0])
    else:
        write_text(files[0], {"csv": _csv, "jsonl": _jsonl}[form](answers))


def _line(answer: Answer) -> str:
    """The tags of a sidecar; a comma or a line's end inside a tag would make two of it."""
    return ", ".join(" ".join(valid(name).replace(",", " ").split()) for name, _ in answer.outputs) + "\n"


def _write_parquet(answers: list[Answer], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    from tagwise.base.files import open_atomically

    output = pyarrow.struct({"name": pyarrow.string(), "score": pyarrow.float32()})
    columns = {"picture": pyarrow.string(), "problem": pyarrow.string(), "outputs": pyarrow.list_(output)}
    rows = [
        {
            "picture": valid(answer.picture),
            "problem": None if answer.problem is None else valid(answer.problem),
            "outputs": [{"name": valid(name), "score": share} for name, share in answer.outputs],
        }
        for answer in answers
    ]
    with open_atomically(path) as handle:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(columns)), handle)


def valid(text: str) -> str:
    """Bytes of a file name that are no UTF-8, escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _table(answers: Sequence[Answer]) -> str:
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


def _may_be_picture(below: Path, suffixes: frozenset[str]) -> bool:
    """A picture's suffix or none, as ``gather`` takes them; hidden names and what lies in hidden folders are not."""
    return (below.suffix.lower() in suffixes or not below.suffix) and not any(
        part.startswith(".") for part in below.parts
    )


def _csv(answers: Sequence[Answer]) -> str:
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
        cells += [""] * (2 * most - len(cells))
        writer.writerow([harmless(answer.picture), harmless(answer.problem or ""), *cells])
    return text.getvalue()


def _jsonl(answers: Sequence[Answer]) -> str:
    import json

    rows = [
        {"picture": answer.picture, "problem": answer.problem, "outputs": dict(answer.outputs)} for answer in answers
    ]
    # Names of files may hold bytes that are no text; such a name is escaped, never dropped.
    return "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
