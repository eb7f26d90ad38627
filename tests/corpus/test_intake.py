"""Every post ends in exactly one bucket."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.corpus.intake import BUCKETS, judge_posts
from tagwise.corpus.post import Post

if TYPE_CHECKING:
    from collections.abc import Callable


def post(picture: Path, *tags: str, key: str | None = None) -> Post:
    return Post(key=key or picture.name, picture=picture, tags=tags)


def test_p7_every_post_ends_in_exactly_one_bucket(tmp_path: Path, draw: Callable[..., Path]) -> None:
    good = draw(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(good.read_bytes()[:60])
    posts = [
        post(good, "x"),
        post(tmp_path / "bad.png", "x"),
        post(tmp_path / "none.png", "x"),
        post(tmp_path, "x"),
        post(tmp_path / "nul\0l", "x"),
        post(tmp_path / ("x" * 5000), "x"),
        post(good, "y", key="good.png"),
        post(good, key="untagged"),
        post(good, "\ud800", key="surrogate"),
        post(Path(f"{tmp_path}/\udcff.png"), "x"),
    ]
    judged = list(judge_posts(posts, workers=3))
    assert [judged_post for judged_post, _ in judged] == posts
    found = [verdict.bucket for _, verdict in judged]
    assert found == ["used", "damaged", *["missing"] * 4, "duplicate", "untagged", "damaged", "damaged"]
    assert set(found) == set(BUCKETS)
    assert all(bool(verdict.reason) == (verdict.bucket != "used") for _, verdict in judged)


def test_a_used_picture_is_measured_upright(tmp_path: Path, draw: Callable[..., Path]) -> None:
    path = draw(tmp_path / "a.png")
    [(_, verdict)] = judge_posts([post(path, "x")])
    content = path.read_bytes()
    assert (verdict.width, verdict.height, verdict.bytes) == (20, 12, len(content))
    assert verdict.sha256 == hashlib.sha256(content).hexdigest()
    assert verdict.notes == ("tiny",)


def test_p7_the_first_post_of_a_key_counts_whatever_became_of_it(tmp_path: Path, draw: Callable[..., Path]) -> None:
    path = draw(tmp_path / "a.png")
    buckets = Counter(verdict.bucket for _, verdict in judge_posts([post(path, "x")] * 50, workers=4))
    assert buckets == {"used": 1, "duplicate": 49}
