"""Downloads from a server on this machine that breaks off, lies, moves files and changes them."""

import json
import random
import resource
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auricle.errors import UserError
from auricle.zoo import transfer
from auricle.zoo.transfer import MissingError, arrived, check_address, complete, fetch
from file_server import FileServer, serving

BODY = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(transfer, "WAITS_SECONDS", (0.0, 0.0))
    with serving(files={"/a/model.pt": BODY}) as started:
        yield started


def get(server: FileServer, folder: Path, path: str = "/a/model.pt", **options: Any) -> bytes:
    arguments = {"max_bytes": 10**6, "watch": lambda *_: None, **options}
    fetch(server.address + path, folder / "model.pt", **arguments)
    return arrived(folder / "model.pt").read_bytes()


def test_a_whole_file(server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    assert get(server, tmp_path, watch=lambda *progress: seen.append(progress)) == BODY
    assert seen[0] == ("model.pt", 0, len(BODY)) and seen[-1] == ("model.pt", len(BODY), len(BODY))
    complete(tmp_path / "model.pt", tmp_path / "final.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["final.pt"]


@pytest.mark.parametrize("validator", ["etag", "last modified", "neither"])
def test_a_broken_connection_is_resumed_at_once(server: FileServer, tmp_path: Path, validator: str) -> None:
    server.etags = {"/a/model.pt": '"one"'} if validator == "etag" else {}
    server.last_modified = server.last_modified if validator == "last modified" else None
    server.cut_after = [100_000, 50_000 if validator != "neither" else 115_536]
    assert get(server, tmp_path) == BODY
    ranges = [asked for _, asked, _ in server.requests]
    if validator == "neither":  # the last of what is here is asked for once more, and compared
        assert ranges == [None, f"bytes={100_000 - 65_536}-", f"bytes={150_000 - 65_536}-"]
    else:
        assert ranges == [None, "bytes=100000-", "bytes=150000-"]
        assert server.requests[1][2] == ('"one"' if validator == "etag" else server.last_modified)


def test_a_connection_that_ends_within_what_is_compared(server: FileServer, tmp_path: Path) -> None:
    server.last_modified, server.cut_after = None, [100_000, 50_000]
    assert get(server, tmp_path) == BODY


def stopped(server: FileServer, folder: Path) -> None:
    """A run that was ended after 100,000 bytes."""

    def stop(_: str, done: int, __: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    server.cut_after = [100_000]
    with pytest.raises(KeyboardInterrupt):
        get(server, folder, watch=stop)
    assert (folder / "model.pt.partial").stat().st_size == 100_000


def test_a_run_that_ended_is_resumed_by_the_next(server: FileServer, tmp_path: Path) -> None:
    stopped(server, tmp_path)
    assert get(server, tmp_path) == BODY
    assert server.requests[1][1] == "bytes=100000-"


@pytest.mark.parametrize("etags", [('"one"', '"two"'), (None, None)])
def test_a_file_that_changed_meanwhile_begins_anew(
    server: FileServer, tmp_path: Path, etags: tuple[str | None, str | None]
) -> None:
    before, after = ({"/a/model.pt": etag} if etag else {} for etag in etags)
    server.etags, server.last_modified = before, None
    stopped(server, tmp_path)
    server.files["/a/model.pt"], server.etags = OTHER, after
    assert get(server, tmp_path) == OTHER


def test_a_server_that_sends_ranges_of_a_changed_file_regardless(server: FileServer, tmp_path: Path) -> None:
    part = tmp_path / "model.pt.partial"
    part.write_bytes(OTHER[:1000])
    note = {"address": f"{server.address}/a/model.pt", "etag": '"old"', "total": len(BODY)}
    (tmp_path / "model.pt.partial.json").write_text(json.dumps(note))
    server.etags, server.last_modified, server.conditions = {"/a/model.pt": '"new"'}, None, False
    assert get(server, tmp_path) == BODY


def test_a_server_that_knows_no_ranges(server: FileServer, tmp_path: Path) -> None:
    server.ranges, server.cut_after = False, [100_000, 200_000]
    assert get(server, tmp_path) == BODY


@pytest.mark.parametrize("content", ["", "{", "[]", '{"address": 1}', "null", "[" * 5000])
def test_a_note_that_is_damaged_is_not_trusted(server: FileServer, tmp_path: Path, content: str) -> None:
    (tmp_path / "model.pt.partial").write_bytes(OTHER[:1000])
    (tmp_path / "model.pt.partial.json").write_text(content)
    assert get(server, tmp_path) == BODY
    assert server.requests[0][1] is None


def test_a_part_that_is_longer_than_the_file(server: FileServer, tmp_path: Path) -> None:
    server.cut_after = [200_000] * 9
    server.ranges = False
    with pytest.raises(UserError, match="run it again"):
        get(server, tmp_path)
    server.files["/a/model.pt"], server.ranges, server.cut_after = BODY[:100], True, []
    assert get(server, tmp_path) == BODY[:100]


def test_a_connection_that_always_ends_too_early(server: FileServer, tmp_path: Path) -> None:
    server.false_length = 10
    with pytest.raises(UserError, match=r"ended after 300000 of 300010 bytes.*300000 bytes are kept"):
        get(server, tmp_path)
    assert len(server.requests) <= 1 + 2 * len(transfer.WAITS_SECONDS)


def test_a_file_of_unknown_length(server: FileServer, tmp_path: Path) -> None:
    server.lengths = False
    assert get(server, tmp_path) == BODY
    with pytest.raises(UserError, match="sends more than 1000 bytes"):
        get(server, tmp_path / ".", max_bytes=1000)


def test_what_is_too_large_is_not_begun(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="300000 bytes, more than the 1000"):
        get(server, tmp_path, max_bytes=1000)


def test_an_empty_file_and_a_web_page(server: FileServer, tmp_path: Path) -> None:
    server.files["/empty"] = b""
    with pytest.raises(UserError, match="empty file"):
        get(server, tmp_path, "/empty")
    server.headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(UserError, match="web page"):
        get(server, tmp_path)


def test_compressed_content_is_refused(server: FileServer, tmp_path: Path) -> None:
    server.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(UserError, match="compresses"):
        get(server, tmp_path)


def test_missing_and_forbidden(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"does not exist .* 404"):
        get(server, tmp_path, "/b.pt")
    server.errors = {"/a/model.pt": [403]}
    with pytest.raises(UserError, match="says 403"):
        get(server, tmp_path)
    assert len(server.requests) == 2


def test_a_server_that_is_busy_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.errors = {"/a/model.pt": [503, 429]}
    assert get(server, tmp_path) == BODY
    server.errors = {"/a/model.pt": [500] * 9}
    (tmp_path / "model.pt.partial").unlink()
    with pytest.raises(UserError, match=r"says 500 .*try it later"):
        get(server, tmp_path)


def test_redirects(server: FileServer, tmp_path: Path) -> None:
    server.redirects = {"/old": "/a/model.pt", "/loop": "/loop"}
    assert get(server, tmp_path, "/old") == BODY
    with pytest.raises(UserError, match="redirect"):
        get(server, tmp_path / ".", "/loop")


@pytest.mark.parametrize(
    "target",
    ["http://192.0.2.1/x.pt", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://localhost.example/x"],
)
def test_redirects_to_what_is_not_safe(server: FileServer, tmp_path: Path, target: str) -> None:
    server.redirects = {"/old": target}
    with pytest.raises(UserError) as caught:
        get(server, tmp_path, "/old")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("address", "origin", "fine"),
    [
        ("https://example.org/x", None, True),
        ("http://example.org/x", None, False),
        ("http://127.0.0.1:8000/x", None, True),
        ("http://localhost/x", None, True),
        ("http://[::1]:80/x", None, True),
        ("http://127.0.0.1.example.org/x", None, False),
        ("http://127.0.0.1@example.org/x", None, False),
        ("http://0.0.0.0/x", None, False),
        ("https:///x", None, False),
        ("file:///etc/passwd", None, False),
        ("s3://bucket/x", None, False),
        ("", None, False),
        ("http://127.0.0.1/x", "https://example.org/x", False),
        ("http://127.0.0.1/x", "http://127.0.0.1/y", True),
        ("https://example.org/x", "http://127.0.0.1/y", True),
    ],
)
def test_which_addresses_are_safe(address: str, origin: str | None, fine: bool) -> None:
    if fine:
        check_address(address, origin)
    else:
        with pytest.raises(UserError, match="not https"):
            check_address(address, origin)


def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "WAITS_SECONDS", (0.0,))
    monkeypatch.setattr(transfer, "TIMEOUT_SECONDS", 0.05)
    no_answer = pytest.raises(UserError, match=r"no answer within 0\.05 seconds")
    with serving(files={"/a/model.pt": BODY}, pause=0.5) as server, no_answer:
        get(server, tmp_path)
    with pytest.raises(UserError, match="cannot be reached"):  # nobody listens there any more
        get(server, tmp_path)


def test_noise_instead_of_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "WAITS_SECONDS", ())
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(10_000)
                connection.sendall(b"\x00\xff nonsense\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UserError):
            fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/x", tmp_path / "x", max_bytes=9, watch=print)
        thread.join()


def test_a_full_disk(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    with pytest.raises(UserError, match="0 MiB of room"):
        get(server, tmp_path)
    monkeypatch.undo()

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # no file may grow beyond that
    try:
        with pytest.raises(UserError, match=r"cannot write .*model\.pt\.partial: File too large; free some"):
            get(server, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert get(server, tmp_path) == BODY
    assert server.requests[-1][1] == "bytes=100000-"
