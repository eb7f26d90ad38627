"""What the README's picture shows of the emoji road."""

from __future__ import annotations

from pathlib import Path

import tagwise
from bench.emoji_picture import shown
from tests.verbs.comparisons import write


def test_the_picture_has_verdict_and_curve_and_no_tables(tmp_path: Path) -> None:
    folders = [
        write(tmp_path / f"{labelled}-{seed}", labelled, seed, {"scratch": {"train": 100}, "tags": {"train": 160}})
        for labelled in (5, 10)
        for seed in range(3)
    ]
    page = shown(tagwise.report(folders, out=tmp_path / "page.html").page.read_text("utf-8"))
    assert "tags paid with 5 and 10" in page
    assert 'role="img" aria-label="Accuracy by labelled pictures a class.' in page
    assert "</figure>" in page
    assert not any(tag in page for tag in ("<table", "<details", "<footer"))
    assert page.rstrip().endswith("</html>")
