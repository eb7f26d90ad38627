"""Every post ends in exactly one bucket."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tagwise.corpus.intake import ALL_DECODED, BUCKETS, Rules, Verdict, judge_posts
from tagwise.corpus.post import Post
from tagwise.corpus.survey import survey_posts
from tagwise.pixels.place import PictureRefused, Place

if TYPE_CHECKING:
    from collections.abc import Callable


def post(picture: Path, *tags: str, key: str | None = None, **facts: Any) -> Post:
    return Post(key=key or picture.name, picture=Place(str(picture)), tags=tags, **facts)


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
        post(good, "x", key="private", opted_out=True),
        post(good, "x", key="theirs", licence="all rights reserved"),
    ]
    judged = list(judge_posts(posts, Rules(licences=frozenset({""})), workers=3))
    assert [judged_post for judged_post, _ in judged] == posts
    found = [verdict.bucket for _, verdict in judged]
    assert found == [
        "used",
        "damaged",
        *["missing"] * 4,
        "duplicate",
        "untagged",
        "damaged",
        "damaged",
        "opted out",
        "licence",
    ]
    assert set(found) == set(BUCKETS)
    assert all(bool(verdict.reason) == (verdict.bucket != "used") for _, verdict in judged)


def test_a_used_picture_is_measured_upright(tmp_path: Path, draw: Callable[..., Path]) -> None:
    path = draw(tmp_path / "a.png")
    [(_, verdict)] = judge_posts([post(path, "x")])
    content = path.read_bytes()
    assert (verdict.width, verdict.height, verdict.bytes) == (20, 12, len(content))
    assert verdict.sha256 == hashlib.sha256(content).hexdigest()
    assert verdict.notes == ("tiny",)


def test_p7_the_first_post_of_a_key_that_can_be_used_counts(
    tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reads, read = draw(tmp_path / "a.png"), list[Place](), Place.read

    def noted(place: Place) -> bytes:
        reads.append(place)
        return read(place)

    monkeypatch.setattr(Place, "read", noted)
    buckets = Counter(verdict.bucket for _, verdict in judge_posts([post(path, "x")] * 50, workers=4))
    assert buckets == {"used": 1, "duplicate": 49}
    assert len(reads) == 1
    (tmp_path / "cut.png").write_bytes(path.read_bytes()[:60])
    key: dict[str, Any] = {"key": "a.png"}
    posts = [
        post(path, **key),
        post(path, "y", damage="its tags are damaged", **key),
        post(tmp_path / "none.png", "x", **key),
        post(tmp_path / "cut.png", "x", **key),
        post(path, "x", **key),
        post(path, **key),
        post(tmp_path / "none.png", "x", **key),
    ]
    judged = [verdict for _, verdict in judge_posts(posts, workers=2)]
    expected = ["untagged", "damaged", "missing", "damaged", "used", "duplicate", "duplicate"]
    assert [verdict.bucket for verdict in judged] == expected
    assert judged[1].reason == "its tags are damaged"


def test_what_could_not_be_read_is_tried_again_next_time(
    tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network or the rights may be mended since; a picture that was read and is damaged stays so."""

    def refused(_: Place) -> bytes:
        raise PictureRefused("the network fails")

    path = draw(tmp_path / "a.png")
    with monkeypatch.context() as patch:
        patch.setattr(Place, "read", refused)
        [(_, unread)] = judge_posts([post(path, "x")])
    assert (unread.bucket, unread.reason, unread.stamp) == ("damaged", "the network fails", "")
    [(_, verdict)] = judge_posts([post(path, "x")], Rules(known={unread.stamp: unread}))
    assert verdict.bucket == "used"


def test_w22_people_come_before_everything_that_is_counted(tmp_path: Path, draw: Callable[..., Path]) -> None:
    """An opt-out, then the licence; only then duplicates, tags and files. No later post brings such a picture in."""
    path = draw(tmp_path / "a.png")
    rules = Rules(licences=frozenset({"cc0"}))
    posts = [
        post(path, "x", key="a.png", owner="ann", licence="cc0", opted_out=True),
        post(path, "x", key="b.png", owner="bob", licence="cc0", opted_out=True),
        post(path, "x", key="a.png", owner="bob", licence="CC0"),
        post(path, "x", key="a.png", owner="ann", opted_out=True),
        post(path, "x", key="c.png", owner="bob"),
        post(path, key="d.png", owner="bob", licence="by"),
    ]
    buckets = [verdict.bucket for _, verdict in judge_posts(posts, rules)]
    assert buckets == ["opted out", "opted out", "duplicate", "opted out", "licence", "licence"]


def test_what_is_known_is_not_read_again(
    tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [draw(tmp_path / f"{level}.png", level) for level in range(4)]
    before = [verdict for _, verdict in judge_posts([post(path, "x") for path in paths])]
    known = {verdict.stamp: verdict for verdict in before}
    draw(paths[3], 99).touch()
    reads: list[str] = []
    read = Place.read

    def noted(place: Place) -> bytes:
        reads.append(place.path)
        return read(place)

    monkeypatch.setattr(Place, "read", noted)
    again = [verdict for _, verdict in judge_posts([post(path, "y") for path in paths], Rules(known=known))]
    assert reads == [str(paths[3])]
    assert again[:3] == before[:3]
    assert again[3].sha256 != before[3].sha256


def test_headers_alone_give_the_size_and_say_so(tmp_path: Path, draw: Callable[..., Path]) -> None:
    """Damage behind the header is not seen, which is what the note is for."""
    good = draw(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:-20])
    (tmp_path / "no.png").write_bytes(b"<html>")
    posts = [post(path, "x") for path in (good, tmp_path / "cut.png", tmp_path / "no.png")]
    judged = [verdict for _, verdict in judge_posts(posts, Rules(decoded_below=0))]
    assert [verdict.bucket for verdict in judged] == ["used", "used", "damaged"]
    assert (judged[0].width, judged[0].height, judged[0].notes) == (20, 12, ("header alone was read",))


def test_as_many_as_asked_are_decoded(tmp_path: Path, draw: Callable[..., Path]) -> None:
    path = draw(tmp_path / "a.png")
    posts = [post(path, "x", key=str(number)) for number in range(60)]
    rules = Rules(decoded_below=survey_posts(posts, decoded=20).decoded_below)
    assert [verdict.is_decoded for _, verdict in judge_posts(posts, rules)].count(True) == 20


def test_a_verdict_holds_where_it_looked_as_closely_as_is_asked_now(tmp_path: Path, draw: Callable[..., Path]) -> None:
    """A broken picture with a whole header is used where headers are asked, damaged where all is."""
    path = draw(tmp_path / "cut.png")
    path.write_bytes(path.read_bytes()[:60])
    for first, then in ((0, ALL_DECODED), (ALL_DECODED, 0)):
        [(_, before)] = judge_posts([post(path, "x")], Rules(decoded_below=first))
        known = {before.stamp: before}
        [(_, after)] = judge_posts([post(path, "x")], Rules(decoded_below=then, known=known))
        assert (before.bucket, after.bucket) == (("used", "damaged") if then else ("damaged", "used"))
        [(_, again)] = judge_posts([post(path, "x")], Rules(decoded_below=first, known=known))
        assert again is before


def test_a_table_of_tags_alone_has_no_picture_to_read() -> None:
    judged = list(judge_posts([Post(key="1", picture=None, tags=("x",)), Post(key="2", picture=None, tags=())]))
    assert [verdict.bucket for _, verdict in judged] == ["used", "untagged"]
    assert judged[0][1] == Verdict(bucket="used")


def test_bytes_of_a_table_are_judged_like_a_file(tmp_path: Path, draw: Callable[..., Path]) -> None:
    content = draw(tmp_path / "a.png").read_bytes()
    inside, file, broken = (
        verdict
        for _, verdict in judge_posts(
            [
                Post(key="1", picture=content, tags=("x",)),
                post(tmp_path / "a.png", "x"),
                Post(key="2", picture=b"", tags=("x",)),
            ]
        )
    )
    assert (inside.sha256, inside.bytes, inside.width) == (file.sha256, file.bytes, file.width)
    assert (broken.bucket, broken.reason) == ("damaged", "the file is empty")
