"""``tagwise report``: one self-contained page out of run folders and comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.base.errors import UsageError
from tagwise.verbs.planning import several

if TYPE_CHECKING:
    from tagwise.pages.page import Section


@dataclass(frozen=True, kw_only=True)
class ReportResult:
    """A page that was written."""

    page: Path
    size: int
    """Bytes."""

    def __str__(self) -> str:
        return f"report: {self.page} ({self.size / 1e6:.1f} MB)"


def report(
    run: Sequence[Path | str],
    *,
    out: Path | str,
    title: str | None = None,
    overwrite: bool = False,
) -> ReportResult:
    """Writes one HTML page about runs and comparisons: no network, no script, pictures inside.

    Comparisons of one target with different numbers of labelled pictures become a curve.

    Args:
        run: Run folders of ``pretrain`` and ``train``, folders of ``compare``.
        out: The page, a file that ends in .html.
        title: Its heading; by default after what there is.
        overwrite: Replace a page that is there.

    Raises:
        UsageError: A folder is no run and no comparison, or ``out`` is there.
    """
    out = Path(out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{out} is no name of a page; end it in .html.")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} is there already; give --overwrite or another -o.")
    return write_report([Path(folder) for folder in several(run)], out, title, closing=())


def write_report(runs: list[Path], out: Path, title: str | None, closing: Sequence[Section]) -> ReportResult:
    """Writes the page with further sections at its end."""
    from tagwise.localise.comparisons import compares_located
    from tagwise.pages.page import Report, write
    from tagwise.verbs import compared_starts, label_curve, located_sections, sections
    from tagwise.verbs.run_results import LAWS_FILE

    if not runs:
        raise UsageError("There is nothing to report on; give run folders or comparisons.")
    located = [folder for folder in runs if compares_located(folder)]
    comparisons = [folder for folder in runs if sections.is_comparison(folder) and folder not in located]
    trainings = [folder for folder in runs if folder not in (*comparisons, *located)]
    for folder in trainings:
        sections.refuse_others(folder)
    pretrainings = [folder for folder in trainings if (folder / LAWS_FILE).is_file()]
    locating = [folder for folder in trainings if located_sections.is_located(folder)]
    curves = label_curve.curves_of(comparisons)
    alone = [folder for folder in comparisons if not any(folder in curve for curve in curves)]
    parts = [label_curve.curve_section(curve) for curve in curves]
    parts += [section for folder in alone for section in sections.of_comparison(folder)]
    parts += [section for folder in located for section in compared_starts.sections(folder)]
    parts += sections.of_pretrainings(pretrainings) if pretrainings else []
    parts += sections.of_trainings([folder for folder in trainings if folder not in (*pretrainings, *locating)])
    parts += located_sections.of_located(locating)
    facts = [located_sections.located_provenance(folder) for folder in locating]
    told = (sections.subtitle(comparisons, pretrainings), located_sections.located_subtitle(locating))
    write(
        Report(
            title=title or _title(tags=bool(comparisons or located or pretrainings), places=bool(locating)),
            subtitle="; ".join(filter(None, told)),
            summary=[
                *(finding for curve in curves for finding in label_curve.curve_findings(curve)),
                *(finding for folder in alone for finding in sections.findings(folder)),
                *(finding for folder in located for finding in compared_starts.findings(folder)),
                *located_sections.findings_of_runs(locating),
            ],
            sections=[*parts, *closing],
            provenance=sections.provenance(runs) | {name: fact for one in facts for name, fact in one.items()},
        ),
        out,
    )
    return ReportResult(page=out, size=out.stat().st_size)


def _title(*, tags: bool, places: bool) -> str:
    return "What the tags bought" if tags else "Where things are" if places else "How the training went"
