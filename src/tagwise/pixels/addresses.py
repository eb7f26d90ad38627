"""Addresses such as ``s3://bucket/cat.jpg``, which fsspec reads; every kind of failure becomes one sentence."""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tagwise.base.errors import DataRefused, TagwiseError, UsageError
from tagwise.base.progress import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_IN_EXTRA = ("http", "https", "s3", "s3a", "gs", "gcs")  # kinds that tagwise[remote] installs the drivers of
_HIDDEN = re.compile(r"(?<=://)[^/?#]*@|[?#].*", re.DOTALL)
_ADDRESS = re.compile(r"\S+://\S+")


class NothingThere(UsageError):  # noqa: N818 - it says what happened
    """An address at which there is nothing: no such file or bucket."""


class Unreachable(DataRefused):
    """An address that cannot be read: the login is refused, the network fails, its kind is unknown.

    Args:
        name: The address, as the sentence should call it.
        reason: Why, and the remedy, as a clause.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} cannot be read: {reason}.")
        self.reason = reason


def is_address(name: str) -> bool:
    """Whether a name is an address of another machine."""
    return "://" in name


def public(address: str) -> str:
    """An address without the login, the query and the fragment in it, for all that people see or pass on.

    Of any kind, ``ftp`` and chains like ``simplecache::https`` too: what stands behind ``?`` is often a signature.
    A corpus's own tables keep whole addresses, because pictures are read again through them.
    """
    return _HIDDEN.sub("", address) if is_address(address) else address


def public_key(address: str, met: dict[str, str]) -> str:
    """A name for what is at an address: the public part, and where that is another's too, a hash of its query.

    Args:
        address: The whole of it.
        met: The addresses that were named before, by public part; this one is added.
    """
    shown = public(address)
    if met.setdefault(shown, address) == address:
        return shown
    hidden = address.partition("?")[2] or address.partition("#")[2]
    return f"{shown} {hashlib.sha256(hidden.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


@contextmanager
def reaching(address: str) -> Iterator[tuple[Any, str]]:
    """Yields fsspec's file system for an address and the path on it; what fails in the block becomes an error of ours.

    Raises:
        UsageError: fsspec or its driver for this kind of address is not installed.
        NothingThere: There is no such file or bucket.
        Unreachable: Anything else.
    """
    try:
        import fsspec

        yield fsspec.url_to_fs(address)
    except TagwiseError:
        raise
    except ImportError as error:
        raise _driver_missing(address, error) from error
    except Exception as error:  # every kind of file system has errors of its own
        raise _failure(address, _behind(error)) from error


@contextmanager
def open_address(address: str) -> Iterator[IO[bytes]]:
    """The file at an address, to be read from its beginning to its end.

    Raises:
        UsageError, NothingThere, Unreachable: As ``reaching``.
    """
    with reaching(address) as (system, path), system.open(path, "rb") as handle:
        yield handle


def _driver_missing(address: str, error: ImportError) -> UsageError:
    name = error.name or getattr(error.__cause__, "name", None) or "fsspec"
    in_extra = name == "fsspec" or urlsplit(address).scheme in _IN_EXTRA
    package = "'tagwise[remote]'" if in_extra else name
    return UsageError(
        f"{printable(public(address))} is an address, which needs {name}; install it with: pip install {package}"
    )


def _behind(error: Exception) -> BaseException:
    """The HTTP part of fsspec says that nothing is there whatever went wrong, and hides the error behind that."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or cause is None:
        return error
    return cause if isinstance(cause, OSError) or _status(cause) not in (None, 404) else error


def _failure(address: str, error: BaseException) -> NothingThere | Unreachable:
    name, text = printable(public(address)), str(error).partition(", url=")[0]  # the rest says the address again
    told = f"{type(error).__name__}: {printable(_ADDRESS.sub(lambda found: public(found[0]), text))}"
    if isinstance(error, FileNotFoundError) or _status(error) == 404:
        return NothingThere(f"There is no {name}; correct the address.")
    # Each cloud's own library has its own error for this: NoCredentialsError, DefaultCredentialsError, ...
    if isinstance(error, PermissionError) or _status(error) in (401, 403) or "Credentials" in type(error).__name__:
        return Unreachable(name, f"the login is refused ({told}); give this machine credentials that may read it")
    return Unreachable(name, f"it is not reached ({told}); check the address and the network")


def _status(error: BaseException) -> int | None:
    """Of an answer over HTTP: aiohttp and gcsfs name it differently."""
    status = getattr(error, "status", None) or getattr(error, "code", None)
    return status if isinstance(status, int) else None
