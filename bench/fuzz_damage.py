"""What ``bench.fuzz`` starts from and does to it: a picture in every format and mode, and damages of any file."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.random import Generator
from PIL import Image

from tagwise.base import rng
from tagwise.corpus.drawn.pictures import draw_pictures
from tagwise.corpus.drawn.scenes import draw_scenes

TOKENS = (b'"', b'""', b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n\n", b"[", b"{", b"\\ud800", b",", b";", b"NaN")
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def _pictures() -> dict[str, bytes]:
    generator = rng.stream(0, "fuzz pictures")
    colour = Image.fromarray(draw_pictures(draw_scenes(1, generator), generator)[0])
    grey = np.array(colour.convert("L"))
    sixteen, unit = Image.fromarray(grey.astype(np.uint16) * 257), Image.fromarray(grey.astype(np.float32) / 255)
    turned = Image.Exif()
    turned[0x0112] = 6
    film: dict[str, Any] = {"save_all": True, "append_images": [colour.rotate(90), colour.rotate(180)]}
    forms: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "jpeg": (colour, "JPEG", {"quality": 80}),
        "progressive jpeg": (colour, "JPEG", {"progressive": True}),
        "CMYK jpeg": (colour.convert("CMYK"), "JPEG", {}),
        "rotated jpeg": (colour, "JPEG", {"exif": turned}),
        "png": (colour, "PNG", {"exif": turned}),
        "stored png": (colour, "PNG", {"compress_level": 0}),
        "palette png": (colour.quantize(32), "PNG", {"transparency": 3}),
        "16-bit png": (sixteen, "PNG", {"transparency": 7}),
        "1-bit png": (colour.convert("1"), "PNG", {}),
        "animated png": (colour, "PNG", film),
        "alpha webp": (colour.convert("RGBA"), "WEBP", {"exif": turned}),
        "lossless webp": (colour, "WEBP", {"lossless": True}),
        "animated webp": (colour, "WEBP", film),
        "gif": (colour.quantize(16), "GIF", {"transparency": 1}),
        "animated gif": (colour, "GIF", film),
        "plain tiff": (colour, "TIFF", {}),
        "LZW tiff": (colour, "TIFF", {"compression": "tiff_lzw", "exif": turned}),
        "JPEG tiff": (colour, "TIFF", {"compression": "jpeg"}),
        "1-bit tiff": (colour.convert("1"), "TIFF", {"compression": "group4"}),
        "float tiff": (unit, "TIFF", {}),
        "Lab tiff": (Image.frombytes("LAB", colour.size, colour.tobytes()), "TIFF", {}),
        "bmp": (colour, "BMP", {}),
        "palette bmp": (colour.quantize(16), "BMP", {}),
        "ico": (colour, "ICO", {"sizes": [(16, 16), (32, 32)]}),
        "ppm": (colour, "PPM", {}),
        "avif": (colour, "AVIF", {"exif": turned}),
        "jpeg 2000": (colour, "JPEG2000", {}),
    }
    return {f"picture {name}": _saved(*form) for name, form in forms.items()}


def _saved(image: Image.Image, form: str, options: dict[str, Any]) -> bytes:
    handle = io.BytesIO()
    image.save(handle, form, **options)
    return handle.getvalue()


PICTURES = _pictures()


def damaged(content: bytes, generator: Generator) -> bytes:
    """One or two damages; most often the checksums are then set right, so that what lies behind them is tried."""
    data, inside = bytearray(content), generator.random() < 0.6
    for _ in range(int(generator.integers(1, 3))):
        if data and not (inside and _damage_chunk(data, generator)):
            DAMAGES[generator.integers(len(DAMAGES))](data, generator)
    return _with_checksums(data) if generator.random() < 0.8 else bytes(data)


def _turn_bits(data: bytearray, generator: Generator) -> None:
    for place in generator.integers(len(data), size=generator.integers(1, 8)).tolist():
        data[place] ^= 1 << int(generator.integers(8))


def _cut(data: bytearray, generator: Generator) -> None:
    del data[int(generator.integers(len(data))) :]


def _put_token(data: bytearray, generator: Generator) -> None:
    at = int(generator.integers(len(data)))
    data[at:at] = TOKENS[generator.integers(len(TOKENS))]


def _put_number(data: bytearray, generator: Generator) -> None:
    """Sizes, counts and offsets mostly stand near the beginning."""
    at = int(generator.integers(len(data) if generator.random() < 0.3 else min(len(data), 128)))
    form = str(generator.choice(["<H", ">H", "<I", ">I"]))
    size = struct.calcsize(form)
    data[at : at + size] = struct.pack(form, NUMBERS[generator.integers(len(NUMBERS))] % 256**size)


def _blank(data: bytearray, generator: Generator) -> None:
    at, length = int(generator.integers(len(data))), int(generator.integers(1, 40))
    data[at : at + length] = bytes(length)


def _move(data: bytearray, generator: Generator) -> None:
    at, length = int(generator.integers(len(data))), int(generator.integers(1, 200))
    stretch = data[at : at + length]
    del data[at : at + length]
    place = int(generator.integers(len(data) + 1))
    data[place:place] = stretch


def _join_another(data: bytearray, generator: Generator) -> None:
    """The head of one file, the tail of another."""
    other = list(PICTURES.values())[generator.integers(len(PICTURES))]
    data[int(generator.integers(len(data))) :] = other[int(generator.integers(len(other))) :]


DAMAGES = (_turn_bits, _turn_bits, _put_number, _put_number, _put_token, _blank, _move, _cut, _join_another)


def _chunks(data: bytearray) -> list[tuple[int, int]]:
    """Where the chunks of a PNG begin and where their contents end."""
    found, at = [], 8 if data.startswith(b"\x89PNG\r\n\x1a\n") else len(data)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        found.append((at, end))
        at = end + 4
    return found


def _damage_chunk(data: bytearray, generator: Generator) -> bool:
    """Damages what a chunk of a PNG holds, pixels after they were unpacked; False where there is none."""
    if not (chunks := _chunks(data)):
        return False
    begin, end = chunks[generator.integers(len(chunks))]
    content = data[begin + 8 : end]
    with suppress(zlib.error):
        content = bytearray(zlib.decompress(content))
    packed = len(content) != end - begin - 8
    if content:
        DAMAGES[generator.integers(len(DAMAGES))](content, generator)
    written = zlib.compress(content) if packed else bytes(content)
    data[begin:end] = struct.pack(">I", len(written)) + data[begin + 4 : begin + 8] + written
    return True


def _with_checksums(data: bytearray) -> bytes:
    for begin, end in _chunks(data):
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[begin + 4 : end]))
    for start in range(0, len(data) - 511, 512):
        header = data[start : start + 512]
        if header[257:262] == b"ustar":
            header[148:156] = b" " * 8
            data[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    return bytes(data)
