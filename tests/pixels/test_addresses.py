"""Whatever goes wrong at an address is one sentence: the address, what is wrong, what to do."""

from __future__ import annotations

import http.server
import io
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tagwise.base.errors import UsageError
from tagwise.corpus.post import Post
from tagwise.pixels.addresses import NothingThere, Unreachable, open_address, public, public_key
from tagwise.pixels.place import PictureRefused, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

fsspec = pytest.importorskip("fsspec")


class NoCredentialsError(Exception):
    """Named as the S3 driver's, which is no OSError either."""


@pytest.fixture
def failing() -> Callable[[Exception], str]:
    """An address whose file system raises an error whatever it is asked."""

    def register(error: Exception) -> str:
        class Failing(fsspec.AbstractFileSystem):  # type: ignore[misc, name-defined]
            cachable = False

            def info(self, *_: Any, **__: Any) -> Any:
                raise error

            def open(self, *_: Any, **__: Any) -> Any:
                raise error

        fsspec.register_implementation("failing", Failing, clobber=True)
        return "failing://bucket/cat.png"

    return register


def read(address: str) -> bytes:
    with open_address(address) as handle:
        return handle.read()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://ann:secret@host:80/a.tar?signature=secret#x", "https://host:80/a.tar"),
        ("HTTPS://host/a.tar?signature=secret", "HTTPS://host/a.tar"),
        ("ftp://ann:s@cret@host/@b/c.csv", "ftp://host/@b/c.csv"),
        ("sftp://ann:secret@host/c.csv", "sftp://host/c.csv"),
        ("simplecache::https://ann:secret@host/c.csv?sig=se::cret", "simplecache::https://host/c.csv"),
        ("zip://in/a@b.png::https://host/c.zip?token", "zip://in/a@b.png::https://host/c.zip"),
        ("s3://bucket/a@b*.tar", "s3://bucket/a@b*.tar"),
        ("photos/what?#1@x.png", "photos/what?#1@x.png"),
    ],
)
def test_logins_and_signatures_are_not_shown(address: str, shown: str) -> None:
    assert public(address) == shown
    assert public(shown) == shown


def test_addresses_that_differ_in_what_is_not_shown_keep_two_names() -> None:
    met: dict[str, str] = {}
    addresses = [f"https://host/image?id={number}" for number in range(3)] + ["https://host/b.png?sig=secret"]
    names = [public_key(address, met) for address in addresses]
    assert (names[0], names[3]) == ("https://host/image", "https://host/b.png")
    assert len({*names}) == 4
    assert names[1].startswith("https://host/image ")
    assert [public_key(address, met) for address in addresses] == names, "the same address has the same name again"


def test_no_error_shows_a_login_or_a_signature(failing: Callable[[Exception], str]) -> None:
    hidden = f"{failing(RuntimeError('at https://ann:secret@host/a?secret'))}?sig=secret"
    with pytest.raises(Unreachable) as refusal:
        read(hidden)
    assert "secret" not in str(refusal.value)
    assert "at https://host/a" in str(refusal.value)
    with pytest.raises(PictureRefused) as refused:
        Place(hidden).read()
    assert "secret" not in str(refused.value)
    assert "secret" not in Post(key="a", picture=Place(hidden), tags=()).where


@pytest.mark.parametrize(
    "error", [NoCredentialsError("Unable to locate credentials"), PermissionError("Access Denied")]
)
def test_a_refused_login_says_so(error: Exception, failing: Callable[[Exception], str]) -> None:
    address = failing(error)
    with pytest.raises(Unreachable, match=r"^failing://bucket/cat\.png cannot be read: the login is refused.*give "):
        read(address)
    with pytest.raises(PictureRefused, match=r"the login is refused .*credentials that may read it\.$"):
        Place(address).read()
    assert Place(address).stamp() == "unreachable"


def test_an_absent_bucket_says_so(failing: Callable[[Exception], str]) -> None:
    address = failing(FileNotFoundError("The specified bucket does not exist"))
    with pytest.raises(NothingThere, match=r"^There is no failing://bucket/cat\.png; correct the address\.$"):
        read(address)
    with pytest.raises(PictureRefused, match="there is no such file"):
        Place(address).read()
    assert Place(address).stamp() is None


def test_any_other_failure_is_told_with_its_name(failing: Callable[[Exception], str]) -> None:
    address = failing(RuntimeError("of a driver's own"))
    with pytest.raises(Unreachable, match=r"not reached \(RuntimeError: of a driver's own\); check the address"):
        read(address)
    with pytest.raises(PictureRefused, match="of a driver's own"):
        Place(address).read()


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("s3://bucket/a.png", "needs s3fs; install it with: pip install 'tagwise[remote]'"),
        ("abfs://bucket/a.png", "needs adlfs; install it with: pip install adlfs"),
    ],
)
def test_a_missing_driver_is_named(address: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for driver in ("s3fs", "adlfs"):
        monkeypatch.setitem(sys.modules, driver, None)
    readers: list[Callable[[], object]] = [lambda: read(address), Place(address).read, Place(address).stamp]
    for reads in readers:
        with pytest.raises(UsageError) as refusal:
            reads()
        assert str(refusal.value) == f"{address} is an address, which {remedy}"


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    readers: list[Callable[[], object]] = [lambda: read("gs://bucket/a.png"), Place("gs://bucket/a.png").read]
    for reads in readers:
        with pytest.raises(UsageError, match=r"which needs fsspec; .*pip install 'tagwise\[remote\]'$"):
            reads()


class _Server(http.server.BaseHTTPRequestHandler):
    """A picture, told without its size; everything else is refused with the status that its path names."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        status = self.path.strip("/").partition("?")[0]
        self.send_response(int(status) if status.isdigit() else 200)
        self.end_headers()
        if not status.isdigit() and self.command == "GET":
            for part in range(0, len(PICTURE), 100):
                self.wfile.write(PICTURE[part : part + 100])

    def log_message(self, *_: object) -> None: ...


def _picture() -> bytes:
    content = io.BytesIO()
    Image.effect_noise((40, 40), 50).save(content, "PNG")
    return content.getvalue()


PICTURE = _picture()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("aiohttp", reason="fsspec reads http through aiohttp")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_http_tells_login_absence_and_failure_apart(server: str) -> None:
    """Although fsspec says of each that there is no such file; and no signature comes into a message."""
    for status in (401, 403):
        with pytest.raises(PictureRefused, match="the login is refused") as refusal:
            Place(f"{server}/{status}?signature=secret").read()
        assert "secret" not in refusal.value.reason
        with pytest.raises(Unreachable, match=rf"^{server}/{status} cannot be read: the login is refused"):
            read(f"{server}/{status}?signature=secret")
    with pytest.raises(NothingThere, match="There is no http"):
        read(f"{server}/404")
    with pytest.raises(Unreachable, match=r"500.*check the address and the network"):
        read(f"{server}/500")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/a.png"
    with pytest.raises(Unreachable, match="not reached"):
        read(address)
    assert [Place(f"{server}/{status}").stamp() for status in (404, 403, 500)] == [None, "unreachable", "unreachable"]


def test_a_picture_of_unknown_size_is_read_whole_or_refused(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Place(f"{server}/cat.png").read() == PICTURE
    monkeypatch.setattr("tagwise.pixels.place.MAX_BYTES", len(PICTURE) - 1)
    with pytest.raises(PictureRefused, match="more bytes than the limit"):
        Place(f"{server}/cat.png").read()


def test_a_stretch_of_a_file_at_an_address_is_read() -> None:
    system = fsspec.filesystem("memory")
    system.pipe("/stretch/a.tar", b"0123456789")
    assert Place("memory://stretch/a.tar", 3, 4).read() == b"3456"
    assert Place("memory://stretch/a.tar").read() == b"0123456789"
    with pytest.raises(PictureRefused, match="cut off"):
        Place("memory://stretch/a.tar", 8, 4).read()
    system.rm("/stretch/a.tar")
