"""Tar shards: what WebDataset writes is read, what is hostile is not followed, and no damage goes unsaid."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused, UsageError
from tagwise.corpus.readers import open_source
from tagwise.corpus.readers.shards import ShardSource
from tagwise.corpus.readers.tables import Columns
from tagwise.pixels.place import PictureRefused, Place
from tagwise.tags.key import split_tags

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Members = list[tuple[str, bytes]]
TAGGED = b'{"tags": ["x", "y"]}'


def pack(path: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]], **options: Any) -> Path:
    mode: Any = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode, **options) as archive:
        for name, content in members:
            header = tarfile.TarInfo(name) if isinstance(name, str) else name
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path


def pairs(count: int) -> Members:
    return [
        item
        for number in range(count)
        for item in ((f"{number:03}.jpg", b"p%03d" % number * 100), (f"{number:03}.json", TAGGED))
    ]


def opened(path: Path, **columns: Any) -> ShardSource:
    source = open_source(path, Columns(**columns))
    assert isinstance(source, ShardSource)
    return source


def tags(path: Path) -> dict[str, tuple[str, ...]]:
    return {post.key: post.tags for post in opened(path).posts()}


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_picture_of_an_uncompressed_tar_is_a_stretch_of_it(tmp_path: Path, layout: int) -> None:
    long = f"{'folder/' * 13}é.jpg"
    members = [*pairs(3), (long, b"long"), (long.replace(".jpg", ".json"), TAGGED)]
    path = pack(tmp_path / "a.tar", members, format=layout)
    for post in opened(path).posts():
        assert isinstance(post.picture, Place)
        assert post.picture.path == str(path)
        assert post.picture.read() == dict(members)[post.key]
        assert (post.tags, post.source) == (("x", "y"), str(path))


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz"])
def test_a_picture_of_a_compressed_tar_comes_as_bytes(tmp_path: Path, name: str) -> None:
    posts = list(opened(pack(tmp_path / name, pairs(3))).posts())
    assert [(post.key, post.picture) for post in posts] == [(key, content) for key, content in pairs(3)[::2]]


def test_a_gzip_of_several_pieces_is_read_to_its_end(tmp_path: Path) -> None:
    content = pack(tmp_path / "a.tar", pairs(3)).read_bytes()
    path = tmp_path / "b.tgz"
    path.write_bytes(gzip.compress(content[:3000]) + gzip.compress(content[3000:]))
    assert len(tags(path)) == 3


def test_webdataset_members_of_one_name_are_one_post(tmp_path: Path) -> None:
    members = [
        ("./dog/1.txt", b"a dog, brown"),
        ("./dog/1.jpg", b""),
        ("dog/2.jpg", b""),
        ("dog/2.cls", b"207\n"),
        ("dog/3.PNG", b""),
        ("dog/3.json", b'{"tags": ["x"], "owner": "ann", "license": "CC0-1.0"}'),
        ("dog/3.txt", b"not, read"),
        ("dog/3.npy", b"0"),
        ("dog/4.jpg", b""),
        ("._4.jpg", b""),
        ("b.c/IMG.1.jpg", b""),
        ("b.c/IMG.1.txt", b"x, y"),
        ("b.c/IMG.2.jpg", b""),
        ("b.c/IMG.2.jpg.txt", b"z, w"),
    ]
    path = pack(tmp_path / "a.tar", members)
    assert tags(path) == {
        "dog/1.jpg": ("a dog", "brown"),
        "dog/2.jpg": ("207",),
        "dog/3.PNG": ("x",),
        "dog/4.jpg": (),
        "b.c/IMG.1.jpg": ("x", "y"),
        "b.c/IMG.2.jpg": ("z", "w"),
    }
    third = next(post for post in opened(path).posts() if post.key == "dog/3.PNG")
    assert (third.owner, third.licence) == ("ann", "CC0-1.0")


def test_p6_form_and_samples_are_told(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", [(name.replace("json", "txt"), b"x, y") for name, _ in pairs(4)])
    source = opened(path)
    assert source.form() == {"source": str(path), "form": "shards", "separator": ","}
    assert source.described()[1:] == [f"  00{number}.jpg -> x | y" for number in range(3)]


def test_tags_apart_from_their_pictures_are_refused_and_not_lost(tmp_path: Path) -> None:
    members = [*pairs(2), ("a.jpg", b""), ("b.jpg", b""), ("a.json", TAGGED), ("b.json", TAGGED)]
    with pytest.raises(DataRefused, match=r"picture and the tags of a do not follow each other"):
        list(opened(pack(tmp_path / "a.tar", members)).posts())


def test_a_name_that_comes_twice_gives_two_posts(tmp_path: Path) -> None:
    posts = list(opened(pack(tmp_path / "a.tar", [*pairs(2), *pairs(2)[2:], *pairs(1)])).posts())
    assert [post.key for post in posts] == ["000.jpg", "001.jpg", "001.jpg", "000.jpg"]
    assert all(post.tags for post in posts)


def test_captions_pictures_alone_and_tags_alone_are_refused(tmp_path: Path) -> None:
    caption = b'{"caption": "a dog, a cat", "url": "u", "key": "0"}'
    with pytest.raises(UsageError, match="img2dataset"):
        open_source(pack(tmp_path / "a.tar", [("0.jpg", b""), ("0.json", caption), ("0.txt", b"a dog, a cat")]))
    with pytest.raises(UsageError, match="no file of tags"):
        open_source(pack(tmp_path / "b.tar", pairs(3)[::2]))
    with pytest.raises(UsageError, match="holds no pictures"):
        open_source(pack(tmp_path / "c.tar", pairs(3)[1::2]))


LEADING = ("/e.jpg", "../f.jpg")


def hostile(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header, b""


def test_links_devices_and_names_that_lead_out_are_not_followed_but_counted(tmp_path: Path) -> None:
    bad = [
        hostile("a.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        hostile("b.jpg", tarfile.LNKTYPE, "000.jpg"),
        hostile("c.jpg", tarfile.CHRTYPE),
        hostile("d.jpg", tarfile.FIFOTYPE),
        hostile("/e.jpg", tarfile.REGTYPE),
        hostile("x/../../f.jpg", tarfile.REGTYPE),
        hostile("g.jpg", tarfile.GNUTYPE_SPARSE),
    ]
    many = [(f"{number:04}.{name}", TAGGED) for number in range(1100) for name in ("jpg", "json")]
    posts = list(opened(pack(tmp_path / "a.tar", [*many, *bad])).posts())
    assert [post.key for post in posts if post.picture is None] == [*(f"{x}.jpg" for x in "abcd"), *LEADING, "g.jpg"]
    assert {post.damage for post in posts[:1100]} == {""}
    assert all("link" in post.damage and not post.tags for post in posts[1100:])
    untrusted = hostile("1.json", tarfile.SYMTYPE, "/etc/passwd")
    [*_, last] = opened(pack(tmp_path / "c.tar", [*many, ("1.jpg", b""), untrusted])).posts()
    assert last.damage.startswith("its tags are damaged: 1.json: it is a link")
    (tmp_path / "c.tar").unlink()
    with pytest.raises(DataRefused, match="7 links or names that lead out of the tar beside 5 pictures"):
        list(opened(pack(tmp_path / "b.tar", [*pairs(5), *bad])).posts())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "b.tar"]


def test_a_picture_that_would_fill_the_memory_is_refused_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagwise.corpus.readers.tars.MAX_BYTES", 1000)
    monkeypatch.setattr("tagwise.pixels.place.MAX_BYTES", 1000)
    path = pack(tmp_path / "a.tgz", [*pairs(1), ("big.jpg", b"0" * 1001), ("big.json", TAGGED)])
    big = list(opened(path).posts())[1].picture
    assert isinstance(big, Place)
    with pytest.raises(PictureRefused, match="1,001 bytes are above the limit"):
        big.read()


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_cut_tar_gives_its_posts_up_to_the_cut_and_then_says_where(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    path = pack(tmp_path / name, [(key, rng.bytes(5000) if "jpg" in key else TAGGED) for key, _ in pairs(20)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    posts: list[Any] = []
    with pytest.raises(DataRefused, match=rf"{name} is damaged or cut off from byte [\d,]+ of the tar on"):
        posts.extend(opened(path).posts())
    assert 11 <= len(posts) <= 16
    assert all(len(post.picture.read() if name == "a.tar" else post.picture) == 5000 for post in posts)


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
@pytest.mark.parametrize("content", [b"", b"no tar", b"PK\3\4" + bytes(2000), bytes(2000), b"\x1f\x8b" + b"x" * 2000])
def test_what_is_no_tar_is_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name == "a.tgz" else content)
    with pytest.raises((DataRefused, UsageError), match=name) as caught:
        open_source(path)
    assert "\n" not in str(caught.value)


def test_tars_joined_by_cat_do_not_lose_all_but_the_first(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", pairs(3))
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(DataRefused, match="something follows the archive's end"):
        list(opened(path).posts())


def test_a_flipped_bit_in_a_header_is_not_the_end_of_the_archive(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", pairs(4))
    content = bytearray(path.read_bytes())
    third = next(post.picture for post in opened(path).posts() if post.key == "002.jpg")
    assert isinstance(third, Place)
    content[third.offset - 512] ^= 1
    path.write_bytes(content)
    posts: list[Any] = []
    with pytest.raises(DataRefused, match=rf"byte {third.offset - 512:,} of the tar on \(bad checksum\)"):
        posts.extend(opened(path).posts())
    assert [post.key for post in posts] == ["000.jpg"]


def test_mutated_tars_give_posts_or_a_known_error(tmp_path: Path) -> None:
    rng, known = np.random.default_rng(7), 0
    for number in range(300):
        layout = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)[number % 3]
        members = [*pairs(3), (f"{'long' * 40}é.jpg", b"p"), (f"{'long' * 40}é.txt", b"x, y")]
        if layout == tarfile.USTAR_FORMAT:
            members = members[:-2]
        path = pack(tmp_path / ("a.tgz" if number % 5 == 0 else "a.tar"), members, format=layout)
        content = np.frombuffer(path.read_bytes(), np.uint8).copy()
        used = max(1, int(np.flatnonzero(content).max()))
        for _ in range(rng.integers(1, 5)):
            place = rng.integers(used)
            content[place] ^= 1 << rng.integers(8)
            if rng.random() < 0.5:
                fix_checksums(content)
        path.write_bytes(content[: rng.integers(len(content))].tobytes() if number % 4 == 0 else content.tobytes())
        try:
            list(open_source(path).posts())
        except (DataRefused, UsageError) as error:
            known += "\n" not in str(error)
    assert known > 100


def fix_checksums(content: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """Makes damaged headers pass their own check, so that what lies behind it is tried too."""
    for start in range(0, len(content) - 511, 512):
        header = content[start : start + 512]
        if header[257:262].tobytes() == b"ustar":
            header[148:156] = 32
            header[148:156] = np.frombuffer(b"%06o\0 " % int(header.sum()), np.uint8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(min_size=1), min_size=1))
def test_any_unicode_tag_survives_a_tar(tmp_path: Path, written: list[str]) -> None:
    members = [("a.jpg", b""), ("a.json", json.dumps({"tags": [*written, "x"]}).encode())]
    for name in ("a.tar", "a.tgz"):
        assert tags(pack(tmp_path / name, members)) == {"a.jpg": tuple(split_tags([*written, "x"]))}
