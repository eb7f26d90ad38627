"""A corpus under a label space and a law: what a pretraining is planned with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagwise.base.progress import say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tagwise.corpus.table import Corpus
    from tagwise.tags.law_report import LawReport
    from tagwise.tags.laws import Law
    from tagwise.tags.space import LabelSpace
    from tagwise.tags.table import Assignment


@dataclass(frozen=True, kw_only=True, eq=False)
class Tagged:
    """A corpus under a label space, a sampling law and weights of the tags."""

    corpus: Corpus
    space: LabelSpace
    assignment: Assignment
    counts: Any
    """Pictures of this corpus with each label."""
    threshold: float | None
    report: LawReport
    weights: NDArray[np.float32] | None
    """What each label's part of the loss is multiplied by; None: 1."""

    @classmethod
    def read(cls, corpus: Path, labels: Path, law: Law, threshold: float | None, tag_weights: Path | None) -> Tagged:
        """Reads corpus, space and weights, and chooses the law's threshold where none is given.

        Raises:
            UsageError: A file is missing or wrong.
            DataRefused: No picture has a label of the space.
        """
        from tagwise.corpus.table import Corpus
        from tagwise.tags.law_report import report_laws
        from tagwise.tags.space import LabelSpace
        from tagwise.tags.weighting import read_tag_weights
        from tagwise.verbs.labels import choose_threshold

        opened, space = Corpus.open(corpus), LabelSpace.load(labels)
        assignment = space.encode_table(opened.tag_table())
        counts = _counted(assignment, space, corpus, labels)
        chosen = choose_threshold(assignment.ids, assignment.offsets, counts, law, threshold)
        report = report_laws(assignment.ids, assignment.offsets, counts, law, chosen)
        return cls(
            corpus=opened,
            space=space,
            assignment=assignment,
            counts=counts,
            threshold=chosen,
            report=report,
            weights=None if tag_weights is None else read_tag_weights(tag_weights, space),
        )

    @property
    def pictures(self) -> int:
        """Those with a label."""
        return self.report.natural.pictures


def _counted(assignment: Assignment, space: LabelSpace, corpus: Path, labels: Path) -> Any:
    """Pictures of this corpus with each label; the space may not be its own."""
    import numpy as np

    from tagwise.base.errors import DataRefused

    counts = np.bincount(assignment.ids, minlength=len(space)).astype(np.int64)
    if not counts.any():
        raise DataRefused(
            f"No picture of {corpus} has a label of {labels}: the space comes from another corpus "
            "whose tags this one does not use; build it with: tagwise labels."
        )
    missing = int((counts == 0).sum())
    if missing:
        say(f"{missing:,} of {len(space):,} labels of {labels} occur on no picture of {corpus}.")
    return counts
