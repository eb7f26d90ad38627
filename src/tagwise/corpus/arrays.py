"""Small plain pictures copied into the corpus decoded, in one array for each size, which ``np.load`` maps.

Line n of ``arrays/24x32.jsonl`` gives row in the corpus, key, tags, owner, licence and hash of the file of picture n of
``arrays/24x32.npy``. The corpus table points at the bytes inside, like at those of a shard.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tagwise.base.files import open_atomically
from tagwise.corpus.shards import described
from tagwise.pixels.arrays import array_name, write_header
from tagwise.pixels.decode import decode
from tagwise.pixels.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from tagwise.corpus.intake import Verdict
    from tagwise.corpus.post import Post

ARRAYS = "arrays"
"""The folder inside a corpus."""
LONGEST_SIDE = 64
"""Pixels of the longer side up to which a picture is small: decoded it is then hardly larger than its file."""
MAX_SIZES = 64
"""Arrays of a corpus, of the sizes that come first; each is two open files while the corpus is written."""

_PLAIN = frozenset({"greyscale", "tiny", "extreme aspect ratio"})
"""Notes on pictures whose pixels are all there is: not a turn, a profile, a palette, further frames or transparency."""


class ArrayWriter:
    """Writes small plain pictures behind each other, those of one size into one file; see ``write_corpus``.

    Args:
        folder: Of the corpus.
        stack: Closes the files.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder / ARRAYS, stack
        self._arrays: dict[tuple[int, int], _Array] = {}

    def add(self, row: int, post: Post, verdict: Verdict, content: bytes) -> Place | None:
        """Copies a picture; returns its place, relative to the corpus, or None where it belongs into a shard.

        Raises:
            PictureRefused: It is no longer the picture that was looked at.
        """
        if not verdict.is_decoded or max(verdict.height, verdict.width) > LONGEST_SIDE:
            return None
        picture = decode(content)
        height, width, _ = picture.pixels_HWC.shape
        is_new = (height, width) not in self._arrays
        if not _PLAIN.issuperset(picture.notes) or (is_new and len(self._arrays) == MAX_SIZES):
            return None
        name = array_name(height, width)
        if is_new:
            self._arrays[height, width] = self._stack.enter_context(_open_array(self._folder / name, height, width))
        offset = self._arrays[height, width].append(picture.pixels_HWC, described(post, verdict, row=row))
        return Place(f"{ARRAYS}/{name}", offset, picture.pixels_HWC.size)


@dataclass(kw_only=True)
class _Array:
    pixels: IO[bytes]
    facts: IO[bytes]
    pictures: int = 0

    def append(self, pixels_HWC: NDArray[np.uint8], facts: bytes) -> int:
        """Writes a picture; returns where its bytes begin."""
        begins = self.pixels.tell()
        self.pixels.write(pixels_HWC.tobytes())
        self.facts.write(facts + b"\n")
        self.pictures += 1
        return begins


@contextmanager
def _open_array(path: Path, height: int, width: int) -> Iterator[_Array]:
    with open_atomically(path) as pixels, open_atomically(path.with_suffix(".jsonl")) as facts:
        begins = write_header(pixels, 0, height, width, 3)
        array = _Array(pixels=pixels, facts=facts)
        yield array
        pixels.seek(0)
        assert write_header(pixels, array.pictures, height, width, 3) == begins
