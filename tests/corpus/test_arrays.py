"""Small plain pictures of a packed corpus lie in arrays: the same pixels, and who they are beside them."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tagwise.base.views import View
from tagwise.corpus import arrays
from tagwise.corpus.intake import Rules, judge_posts
from tagwise.corpus.pack import pack
from tagwise.corpus.post import Post
from tagwise.corpus.table import Corpus
from tagwise.corpus.writer import commit_corpus, write_corpus
from tagwise.pixels.decode import decode
from tagwise.pixels.place import Place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

NOISE = np.random.default_rng(0).integers(0, 256, (80, 80, 4), np.uint8)


def encoded(mode: str, height: int, width: int, form: str = "PNG", **options: Any) -> bytes:
    image, target = Image.fromarray(NOISE[:height, :width]).convert(mode), io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def packed(folder: Path, contents: Sequence[bytes], rules: Rules | None = None) -> Corpus:
    posts = [
        Post(key=f"k{number}", picture=content, tags=("x", "é"), owner="ann") for number, content in enumerate(contents)
    ]
    with write_corpus(folder, packed=True) as writer:
        for post, verdict in judge_posts(posts, rules):
            writer.add(post, verdict)
    return commit_corpus(folder, writer.record(forms=[], rules={}, source_digest=""))


def folders(corpus: Corpus) -> list[str]:
    return [path.split("/")[0] for path in corpus.columns("path")["path"]]


sizes = st.tuples(st.integers(1, 70), st.integers(1, 70))


@given(
    st.lists(st.tuples(st.sampled_from(["RGB", "L", "1", "P", "RGBA", "LA"]), sizes), min_size=1, max_size=6),
    st.sampled_from([(255, 255, 255), (0, 90, 0)]),
)
def test_whatever_is_packed_decodes_to_the_pixels_of_its_file(
    tmp_path_factory: pytest.TempPathFactory, pictures: list[tuple[str, tuple[int, int]]], background: Any
) -> None:
    contents = [encoded(mode, *size) for mode, size in pictures]
    corpus = packed(tmp_path_factory.mktemp("any"), contents)
    for place, content in zip(corpus.picture_places(), contents, strict=True):
        wanted, read = (decode(source, background=background).pixels_HWC for source in (content, place))
        np.testing.assert_array_equal(read, wanted)
    small = [max(size) <= 64 and mode in ("RGB", "L", "1") for mode, size in pictures]
    assert [folder == "arrays" for folder in folders(corpus)] == small


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("RGB", 9, 8, exif=exif)


@pytest.mark.parametrize(
    "content",
    [
        encoded("RGBA", 9, 8),
        encoded("P", 9, 8),
        encoded("CMYK", 9, 8, "JPEG"),
        rotated(),
        encoded("RGB", 9, 8, icc_profile=b"odd"),
        encoded("RGB", 9, 8, "TIFF", save_all=True, append_images=[Image.new("RGB", (8, 9))]),
        encoded("RGB", 9, 65),
    ],
    ids=["transparent", "palette", "CMYK", "turned", "profile", "frames", "large"],
)
def test_what_pixels_alone_would_not_keep_goes_into_a_shard_as_it_is(tmp_path: Path, content: bytes) -> None:
    corpus = packed(tmp_path, [content])
    assert (folders(corpus), [place.read() for place in corpus.picture_places()]) == (["shards"], [content])


def test_a_picture_of_which_the_header_alone_was_read_is_not_decoded_to_pack_it(tmp_path: Path) -> None:
    cut = encoded("RGB", 9, 8)[:60]
    corpus = packed(tmp_path, [cut], Rules(decoded_below=0))
    assert (folders(corpus), [place.read() for place in corpus.picture_places()]) == (["shards"], [cut])


def test_an_array_tells_by_itself_what_its_pictures_are(tmp_path: Path) -> None:
    contents = [encoded(mode, *size) for mode, size in [("RGB", (9, 8)), ("P", (9, 8)), ("L", (8, 9)), ("L", (9, 8))]]
    packed(tmp_path, contents)
    images_NHWC = np.load(tmp_path / "arrays" / "9x8.npy", mmap_mode="r")
    assert (images_NHWC.shape, images_NHWC.dtype) == ((2, 9, 8, 3), np.uint8)
    facts = [json.loads(line) for line in (tmp_path / "arrays" / "9x8.jsonl").read_text().splitlines()]
    for image_HWC, fact, row in zip(images_NHWC, facts, (0, 3), strict=True):
        sha256 = hashlib.sha256(contents[row]).hexdigest()
        who = {"row": row, "key": f"k{row}", "tags": ["x", "é"], "owner": "ann", "licence": None}
        assert fact == who | {"sha256": sha256}
        np.testing.assert_array_equal(image_HWC, decode(contents[row]).pixels_HWC)
    assert sorted(path.name for path in (tmp_path / "arrays").iterdir()) == [
        *("8x9.jsonl", "8x9.npy", "9x8.jsonl", "9x8.npy")
    ]


def test_pictures_of_one_size_too_many_go_into_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each array is two open files while the corpus is written."""
    monkeypatch.setattr(arrays, "MAX_SIZES", 2)
    corpus = packed(tmp_path, [encoded("RGB", 9, width) for width in (1, 2, 3, 1)])
    assert folders(corpus) == ["arrays", "arrays", "shards", "arrays"]


def test_a_gathering_that_fails_leaves_no_array(tmp_path: Path) -> None:
    def interrupted() -> None:
        with write_corpus(tmp_path / "corpus", packed=True) as writer:
            for post, verdict in judge_posts([Post(key="a", picture=encoded("RGB", 9, 8), tags=("x",))]):
                writer.add(post, verdict)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path for path in (tmp_path / "corpus").rglob("*") if path.is_file()] == []


def test_a_training_sees_the_same_squares(tmp_path: Path) -> None:
    view = View(resolution=16, resize=16)
    contents = [encoded("RGB", 30, 20 + number) for number in range(3)]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)

    def squares(places: Sequence[Place]) -> NDArray[np.uint8]:
        return pack(places, view, tmp_path / "pixels").images_NHWC

    corpus = packed(tmp_path / "corpus", contents)
    wanted = squares([Place(str(path)) for path in paths])
    np.testing.assert_array_equal(squares(corpus.picture_places()), wanted)
