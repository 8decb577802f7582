"""One file from a server to the disk: https only, resumed where a connection broke, never more than allowed.

What has arrived stands in ``NAME.partial`` and, beside it, ``NAME.partial.json`` says of which file it is
the beginning. The next attempt, be it after a crash, asks for the rest on the condition that the file is
still that one.
"""

import contextlib
import http.client
import ipaddress
import json
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from auricle.errors import UserError
from auricle.files import PARTIAL

TIMEOUT_SECONDS = 30.0
"""Without a byte from the server."""

WAITS_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""Before the attempts that follow one that brought nothing further; after the last we give up."""

_CHUNK = 2**20
_OVERLAP = 2**16
"""Bytes asked for again, and compared, where a server names nothing that tells one file from another."""
_GONE = (404, 410)
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)

Watch = Callable[[str, int, int | None], object]
"""Told how far a download is: the file's name, bytes so far, bytes in all where that is known."""


class MissingError(UserError):
    """The server has no such file."""


class _InterruptedError(Exception):
    """The attempt failed in a way that another may not."""


class _Response(Protocol):
    status: int
    headers: Message

    def read(self, amount: int, /) -> bytes: ...


def check_address(address: str, origin: str | None = None) -> None:
    """Refuse addresses over which anybody between here and there could send anything.

    Args:
        address: To be https, or plain http of this very machine.
        origin: Who redirects there; a server elsewhere may not send us to services of this machine.

    Raises:
        UserError: It is neither.
    """
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return
    local = origin is None or _is_loopback(urlsplit(origin).hostname)
    if parts.scheme == "http" and _is_loopback(parts.hostname) and local:
        return
    way = "redirects to" if origin else "is asked for at"
    raise UserError(f"a download {way} {_shown(address)}, which is not https: nothing was read from there")


def fetch(address: str, target: Path, *, max_bytes: int, watch: Watch) -> None:
    """Download to `target` with ``.partial`` behind its name, going on where an attempt before ended.

    Args:
        address: https, or http of this machine.
        target: Its folder exists.
        max_bytes: More are refused.
        watch: Told of every piece.

    Raises:
        MissingError: The server has no such file.
        UserError: It cannot be reached, or sends something else; or the disk is full. What arrived is kept.
    """
    check_address(address)
    part = _Part(target)
    best, failures = part.size, 0
    while True:
        try:
            _attempt(address, part, max_bytes, watch)
            return
        except _InterruptedError as error:
            failures = failures + 1 if part.size <= best else 1
            best = max(best, part.size)
            if failures > len(WAITS_SECONDS):
                kept = f"{part.size} bytes are kept, run it again to go on" if part.size else "try it later"
                raise UserError(f"{_shown(address)}: {error}; {kept}") from None
            time.sleep(WAITS_SECONDS[failures - 1])


@dataclass(frozen=True, slots=True)
class _Origin:
    """What the bytes in a partial file are the beginning of."""

    address: str
    etag: str | None = None
    last_modified: str | None = None
    total: int | None = None

    @property
    def validator(self) -> str | None:
        """Tells this version of the file from others; a weak ETag does not."""
        strong = self.etag if self.etag and not self.etag.startswith("W/") else None
        return strong or self.last_modified


class _Part:
    """A file that is not complete yet."""

    def __init__(self, target: Path) -> None:
        self.name = target.name
        self.path = target.with_name(target.name + PARTIAL)
        self.note = target.with_name(target.name + PARTIAL + ".json")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def origin(self, address: str) -> _Origin | None:
        """Of the bytes that are there, if they are of this address."""
        try:
            found = _Origin(**json.loads(self.note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        typed = all(isinstance(text, str | None) for text in (found.etag, found.last_modified))
        return found if typed and found.address == address and self.size else None

    def begin(self, origin: _Origin) -> None:
        """Throw away what is there, and note what comes now."""
        with _disk(self.path):
            self.path.write_bytes(b"")
            self.note.write_text(json.dumps(asdict(origin)), encoding="utf-8")

    def discard(self) -> None:
        """Remove it."""
        for path in (self.path, self.note):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def discard(target: Path) -> None:
    """Remove what `fetch` left for a target."""
    _Part(target).discard()


def arrived(target: Path) -> Path:
    """Where the bytes are that `fetch` brought for a target."""
    return _Part(target).path


def complete(target: Path, final: Path) -> None:
    """Give the file that `fetch` brought its place, at once and whole."""
    part = _Part(target)
    with _disk(final):
        with open(part.path, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part.path, final)
    part.discard()


def _attempt(address: str, part: _Part, max_bytes: int, watch: Watch) -> None:
    known = part.origin(address)
    if known is not None and known.total == part.size:
        return
    overlap = 0 if known is None or known.validator else min(part.size, _OVERLAP)
    offset = part.size - overlap if known else 0
    with _answer(address, known, offset, part) as response:
        _refuse_other_content(address, response)
        start, total = _range_of(response, offset, known, part)
        if start:
            _compare(response, part, start)
        else:
            headers = response.headers
            part.begin(_Origin(address, headers.get("ETag"), headers.get("Last-Modified"), total))
        _check_room(address, part, total, max_bytes)
        _receive(address, response, part, total, max_bytes, watch)


def _receive(
    address: str, response: _Response, part: _Part, total: int | None, max_bytes: int, watch: Watch
) -> None:
    """Append the body to what is there."""
    size = part.size
    with _disk(part.path), open(part.path, "ab") as file:
        watch(part.name, size, total)
        while chunk := _read(response, _CHUNK):
            size += len(chunk)
            if size > max_bytes:
                raise UserError(f"{_shown(address)} sends more than {max_bytes} bytes, more than it can have")
            file.write(chunk)
            watch(part.name, size, total)
    if total is not None and size != total:
        raise _InterruptedError(f"the connection ended after {size} of {total} bytes")
    if not size:
        raise UserError(f"{_shown(address)} is an empty file: its publisher has to mend that")


def _read(response: _Response, amount: int) -> bytes:
    try:
        return response.read(amount)
    except http.client.HTTPException:
        raise _InterruptedError("the connection ended too early") from None
    except OSError as error:
        raise _InterruptedError(_reason(error)) from None


@contextlib.contextmanager
def _answer(address: str, known: _Origin | None, offset: int, part: _Part) -> Iterator[_Response]:
    """The server's answer to a request for the bytes from `offset`."""
    headers = {"User-Agent": "auricle", "Accept-Encoding": "identity"}
    if known is not None and offset + part.size:
        headers["Range"] = f"bytes={offset}-"
        if known.validator:
            headers["If-Range"] = known.validator
    try:
        response = _opener(address).open(
            urllib.request.Request(address, headers=headers), timeout=TIMEOUT_SECONDS
        )
    except urllib.error.HTTPError as error:
        error.close()
        raise _refusal(address, error, part) from None
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(address, error) from None
    with response:
        yield response


def _refusal(address: str, error: urllib.error.HTTPError, part: _Part) -> Exception:
    said = f"{error.code} {' '.join(str(error.reason).split())[:100]}"
    if error.code in _GONE:
        return MissingError(f"{_shown(address)} does not exist (the server says {said})")
    if error.code == 416:  # the file is shorter than what is here: it is another one
        part.discard()
        return _InterruptedError("the file has changed")
    if error.code in _TRY_AGAIN:
        return _InterruptedError(f"the server says {said}")
    return UserError(f"{_shown(address)} cannot be downloaded: the server says {said}")


def _unreachable(address: str, error: Exception) -> Exception:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError | http.client.HTTPException) or (
        isinstance(cause, ConnectionError) and not isinstance(cause, ConnectionRefusedError)
    ):
        return _InterruptedError(_reason(cause))
    advice = "check the network"
    if isinstance(cause, ssl.SSLCertVerificationError):
        advice = "somebody stands between, or the certificates of this system are old"
    return UserError(f"{_shown(address)} cannot be reached ({_reason(cause)}): {advice}")


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:g} seconds"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(str(text).split())[:200] or "the connection was closed"


def _refuse_other_content(address: str, response: _Response) -> None:
    """Web pages, as of networks that want a login first, and compressed content, of another length."""
    if response.headers.get_content_type() == "text/html":
        raise UserError(f"{_shown(address)} is a web page, not a file: open it in a browser to see why")
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise UserError(f"{_shown(address)}: the server compresses the file, which it was asked not to do")


def _range_of(response: _Response, offset: int, known: _Origin | None, part: _Part) -> tuple[int, int | None]:
    """Where in the file the answer begins, and how long the file is."""
    if response.status != 206:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() and len(length) < 20 else None
    unit, _, rest = response.headers.get("Content-Range", "").strip().partition(" ")
    span, _, whole = rest.partition("/")
    first = span.partition("-")[0]
    total = int(whole) if whole.isdecimal() and len(whole) < 20 else None
    other = known is not None and (
        known.total not in (None, total) or response.headers.get("ETag", known.etag) != known.etag
    )
    if unit != "bytes" or first != str(offset) or other:
        part.discard()
        raise _InterruptedError("the server sent another part than the one asked for")
    return offset, total


def _compare(response: _Response, part: _Part, start: int) -> None:
    """Hold the bytes that were asked for again against those that are here."""
    with _disk(part.path), open(part.path, "rb") as file:
        file.seek(start)
        while expected := file.read(_CHUNK):
            got = b""
            while len(got) < len(expected) and (more := _read(response, len(expected) - len(got))):
                got += more
            if not expected.startswith(got):
                part.discard()
                raise _InterruptedError("the file has changed")
            if len(got) < len(expected):
                raise _InterruptedError("the connection ended too early")


def _check_room(address: str, part: _Part, total: int | None, max_bytes: int) -> None:
    if total is None:
        return
    if total > max_bytes:
        raise UserError(f"{_shown(address)} is of {total} bytes, more than the {max_bytes} it can have")
    with _disk(part.path):
        free = shutil.disk_usage(part.path.parent).free
    if total - part.size > free:
        raise UserError(
            f"{part.path.parent} has {free // 2**20} MiB of room, and {part.name} takes"
            f" {total // 2**20} MiB: free some, or set AURICLE_CACHE to a folder on another disk"
        )


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Errors of the disk as a line that says what to do; those of the network have been told apart before."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free some space, change its permissions, or set"
            " AURICLE_CACHE to another folder"
        ) from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address, if that is as safe."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Checks the address first."""
        try:
            check_address(newurl, origin=req.full_url)
        except UserError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(address: str) -> urllib.request.OpenerDirector:
    """Speaks https and http only (no files, no ftp), and reaches this machine without a proxy."""
    opener = urllib.request.OpenerDirector()
    proxies: dict[str, str] | None = {} if _is_loopback(urlsplit(address).hostname) else None
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _shown(address: str) -> str:
    """An address in a message: without what may be secret, or steer a terminal."""
    parts = urlsplit(address)
    plain = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return "".join(character if character.isprintable() else "?" for character in plain)[:300]
