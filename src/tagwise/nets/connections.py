"""One file over HTTP: as many connections as it takes, each going on where the last one ended."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import IO, Any

from tagwise.base.progress import progress, say

STALL_SECONDS = 30.0
"""Without a byte for so long, a connection counts as cut."""
TRIES = 8
"""Connections made for one file by one call; the next call goes on where it ended."""
FIRST_WAIT_SECONDS = 1.0
"""Before the second try; it doubles with each further one, up to sixteen times this."""
MOST_BYTES = 8 * 10**9
"""Where a body counts as endless; the largest published file has 3.3 GB."""
_CHUNK_BYTES = 1 << 20
_MB = 10**6
_WAS_CUT = "the connection was cut"


class _Cut(Exception):
    """A connection ended early; another one may bring the rest."""


class _Unreachable(_Cut):
    """There was no answer at all."""


class Refused(Exception):  # noqa: N818 - as above
    """An answer that another try would not change."""


def download(partial: IO[bytes], address: str, name: str) -> None:
    """Fills the partial file up to the length that the server declares.

    Args:
        partial: Open to append; it may hold the file's beginning.
        address: An http or https address.
        name: What it is, for the progress line.

    Raises:
        Refused: It is not to be had there, in words that follow a colon.
        OSError: It cannot be stored.
    """
    reached = False
    for attempt in range(1, TRIES + 1):
        try:
            with _answer(address, partial) as answer:
                _receive(answer, partial, name)
        except _Cut as cut:
            trouble = str(cut)
            reached = reached or not isinstance(cut, _Unreachable)
        else:
            return
        if not reached:
            raise Refused(trouble)  # without a network, waiting is of no use
        if attempt < TRIES:
            say(f"{name}: {trouble}; trying again ({attempt + 1} of {TRIES}).")
            time.sleep(FIRST_WAIT_SECONDS * min(2 ** (attempt - 1), 16))
    raise Refused(f"{trouble}, in the last of {TRIES} tries")


def _answer(address: str, partial: IO[bytes]) -> HTTPResponse:
    start = partial.seek(0, os.SEEK_END)
    headers = {"User-Agent": "tagwise", **({"Range": f"bytes={start}-"} if start else {})}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - the caller gives http and https only
    try:
        answer: HTTPResponse = urllib.request.build_opener(_SafeRedirects).open(request, timeout=STALL_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        reason = str(error.reason).partition("\n")[0].rstrip(".")
        trouble = f"the server answered {error.code}{reason and f', {reason}'}"
        if error.code == 416:  # it has no more than is here already, which is not the file
            partial.truncate(0)
        elif error.code < 500 and error.code not in (408, 429):
            raise Refused(trouble) from error
        raise _Cut(trouble) from error
    except urllib.error.URLError as error:
        raise _Unreachable(_words(error.reason)) from error
    except (OSError, HTTPException) as error:
        raise _Cut(_words(error)) from error
    return answer


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to anything weaker."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlparse(newurl).scheme
        if scheme != "https" and (req.type, scheme) != ("http", "http"):
            fp.close()
            raise Refused(f"it redirects from {req.type} to {newurl}, which is not safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _receive(answer: HTTPResponse, partial: IO[bytes], name: str) -> None:
    """Appends what comes, if it starts where the partial file ends; else the file starts anew."""
    if answer.headers.get_content_type() == "text/html":
        raise Refused("the server sent a web page instead")
    start = _start(answer)
    if start != partial.seek(0, os.SEEK_END):
        partial.truncate(0)
        if start != 0:
            raise _Cut("the server sent another part than was asked for")
    total = _declared(answer, start, Path(partial.name).parent)
    with progress(f"downloading {name}", (total or 0) // _MB, "MB", start // _MB) as ticker:
        end = start
        try:
            while chunk := _read(answer):
                end += partial.write(chunk)
                if end > MOST_BYTES:
                    partial.truncate(0)
                    raise Refused(f"the server sends more than {_mb(MOST_BYTES)}, without an end")
                if total is not None:
                    ticker.advance(end // _MB - (end - len(chunk)) // _MB)
        except _Cut as cut:
            raise _Cut(f"{cut} after {_mb(end)}{f' of {_mb(total)}' if total else ''}") from cut
        finally:
            partial.flush()
    if total is not None and end < total:
        raise _Cut(f"{_WAS_CUT} after {_mb(end)} of {_mb(total)}")


def _declared(answer: HTTPResponse, start: int, folder: Path) -> int | None:
    """The length of the whole file, if the server says it and there is room for the rest."""
    length = answer.headers.get("Content-Length")
    if length is None or not length.isdecimal():
        return None
    total = start + int(length)
    if total > MOST_BYTES:
        raise Refused(f"the server announces {_mb(total)}, more than any published file has")
    if shutil.disk_usage(folder).free < int(length):
        raise OSError(errno.ENOSPC, f"the disk has no room for its {_mb(total)}")
    return total


def _start(answer: HTTPResponse) -> int:
    """The first byte's place in the file; -1 where an answer to a range does not say it."""
    if answer.status != 206:
        return 0
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _read(answer: HTTPResponse) -> bytes:
    try:
        return answer.read1(_CHUNK_BYTES)
    except (OSError, HTTPException, ValueError) as error:
        raise _Cut(_words(error)) from error


def _mb(size: int) -> str:
    return f"{size / _MB:,.1f} MB"


def _words(trouble: object) -> str:
    if isinstance(trouble, TimeoutError):
        return f"nothing came for {STALL_SECONDS:g} seconds"
    if isinstance(trouble, IncompleteRead):
        return _WAS_CUT
    said = trouble.strerror if isinstance(trouble, OSError) and trouble.strerror else str(trouble)
    return said or type(trouble).__name__
