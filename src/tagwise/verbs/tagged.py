"""A corpus under a label space and a law: what a pretraining is planned with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tagwise.base.progress import say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tagwise.corpus.table import Corpus
    from tagwise.tags.law_report import LawReport
    from tagwise.tags.space import LabelSpace
    from tagwise.tags.table import Assignment
    from tagwise.verbs.noising import NoiseFacts


@dataclass(frozen=True, kw_only=True, eq=False)
class Tagged:
    """A corpus under a label space, noise, a sampling law and weights of the tags."""

    corpus: Corpus
    space: LabelSpace
    assignment: Assignment
    """With the noise, if any."""
    written: Assignment
    """Without."""
    noise: NoiseFacts | None
    report: LawReport
    weights: NDArray[np.float32] | None
    """What each label's part of the loss is multiplied by; None: 1."""

    @classmethod
    def read(
        cls,
        corpus: Path,
        labels: Path,
        law: str,
        threshold: float | str | None,
        tag_weights: Path | None,
        noise: str | None,
        seed: int,
    ) -> Tagged:
        """Reads corpus, space and weights, adds noise, and chooses the law's threshold where none is given.

        Raises:
            UsageError: A file is missing or wrong, or the noise is none.
            DataRefused: No picture has a label of the space, or the noise cannot be made or leaves none.
        """
        import numpy as np

        from tagwise.corpus.table import Corpus
        from tagwise.tags.space import LabelSpace
        from tagwise.tags.weighting import read_tag_weights
        from tagwise.verbs.laws import refuse_wrong_law, report_law
        from tagwise.verbs.noising import add_noise

        refuse_wrong_law(law, threshold)
        opened, space = Corpus.open(corpus), LabelSpace.load(labels)
        with TemporaryDirectory() as folder, opened.tags(Path(folder) / "tags") as tags:
            written = space.encode_table(tags)  # of an engine memory maps, which outlive their files
        counts, assignment, noised = _counted(written, space, corpus, labels), written, None
        if noise is not None:
            assignment, noised = add_noise(noise, seed, opened, space, written)
            counts = np.bincount(assignment.ids, minlength=len(space)).astype(np.int64)
        return cls(
            corpus=opened,
            space=space,
            assignment=assignment,
            written=written,
            noise=noised,
            report=report_law(assignment, counts, space, law, threshold),
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
