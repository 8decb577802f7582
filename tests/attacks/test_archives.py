"""Hostile tar archives: nothing is written outside, nothing is unpacked beyond bounds."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import forged
import text_models
from auricle.convert import archive
from auricle.convert import tar as tar_reader
from auricle.convert.load import load
from auricle.errors import UserError


def roberta_bytes(folder: Path) -> bytes:
    return forged.save(text_models.roberta_checkpoint(), folder / "made.pt").read_bytes()


def unchanged(member: tarfile.TarInfo) -> None:
    """What `tar` does to members by itself."""


def tar(path: Path, members: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] = unchanged) -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            change(member)
            file.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["../../escaped.pt", "/tmp/escaped.pt", "a/../../b.pt", "x\\..\\y.pt"])
def test_names_are_no_paths(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(inner))
    content = roberta_bytes(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    found = load(tar(tmp_path / "x.tar", {name: content}))
    assert found.config == text_models.ROBERTA and found.dictionary is None
    assert {path.name for path in tmp_path.iterdir()} == before | {"x.tar"}
    assert not os.listdir(inner)
    assert not Path("/tmp/escaped.pt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
def test_what_is_no_plain_file_is_no_checkpoint(kind: bytes, tmp_path: Path) -> None:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname, member.size = kind, "/etc/passwd", 0

    with pytest.raises(UserError, match="0 checkpoints"):
        load(tar(tmp_path / "x.tar", {"model.pt": b""}, change))


def test_several_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 checkpoints"):
        load(tar(tmp_path / "x.tar", {"a.pt": b"x", "b.pt": b"y"}))


def test_a_member_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.tar:a/b\.pt is not a checkpoint") as caught:
        load(tar(tmp_path / "x.tar", {"a/b.pt": b"hello"}))
    assert "auricle-" not in str(caught.value)


def test_a_broken_dictionary_is_named(tmp_path: Path) -> None:
    members = {"a/b.pt": roberta_bytes(tmp_path), "a/dict.txt": b"no count\n"}
    with pytest.raises(UserError, match=r"x\.tar:dict\.txt:1: expected 'symbol count'"):
        load(tar(tmp_path / "x.tar", members))


def test_members_beyond_the_end(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", {"a.pt": bytes(5000)})
    with open(path, "r+b") as file:
        file.truncate(3000)
    with pytest.raises(UserError, match="damaged"):
        load(path)


def test_a_header_that_asks_for_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 2**33
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(UserError, match="damaged"):
        load(path)


def test_a_compressed_archive_of_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MAX_READ", 4096)
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(bytes(2**22)))
    with pytest.raises(UserError, match="far larger"):
        load(path)


def test_too_many_members(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="more than 1000 members"):
        load(tar(tmp_path / "x.tar", {f"{i}.txt": b"" for i in range(tar_reader.MAX_MEMBERS + 1)}))


def test_a_dictionary_of_absurd_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_DICTIONARY_BYTES", 10)
    with pytest.raises(UserError, match=r"dict\.txt is larger"):
        load(tar(tmp_path / "x.tar", {"a.pt": b"x", "dict.txt": bytes(11)}))


@pytest.mark.parametrize(
    "content", [b"\x1f\x8b", b"\x1f\x8b" + bytes(600), bytes(257) + b"ustar" + bytes(900)]
)
def test_no_archives(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged|0 checkpoints"):
        load(path)


def raw(
    name: bytes = b"a.pt", size: bytes = b"00000000000", kind: bytes = b"0", fields: bytes = b""
) -> bytes:
    """A header, field by field, with the sum that belongs to it."""
    header = (
        b"a.pt".ljust(100, b"\0") + b"0000644\0" * 3 + size.ljust(12, b"\0") + b"0" * 12 + b" " * 8 + kind
    )
    header = header.ljust(257, b"\0") + b"ustar\00000"
    header = header.ljust(512, b"\0")
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def extended(*records: bytes) -> bytes:
    content = b"".join(records)
    return raw(b"%011o" % len(content), b"x") + content.ljust(-(-len(content) // 512) * 512, b"\0")


@pytest.mark.parametrize(
    "content",
    [
        raw(size=b"\xff" * 12),  # below zero: Python's own reader of 2025 never came back
        raw(size=b"\x80" + b"\xff" * 11),
        raw(size=b"77777777777"),
        raw(size=b"9"),
        raw(size=b"-1"),
        raw(kind=b"S"),
        raw(kind=b"L", size=b"77777777777"),
        raw(kind=b"L", size=b"00000000100"),
        raw()[:300] + b"?" + raw()[301:],
        extended(b"5 size=-1\n"),
        extended(b"20 size=" + b"9" * 11 + b"\n"),
        extended(b"99999 path=x\n"),
        extended(b"0 path=x\n"),
        extended(b"1 \n"),
        extended(b" " * 60_000),
        extended(b"1" * 60_000),
        extended(b"30 GNU.sparse.size=99999999999\n") + raw(),
        raw(kind=b"2", size=b"77777777777") + raw(kind=b"1") + raw(kind=b"3") + raw(kind=b"6"),
    ],
)
def test_headers_that_lie(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(content + bytes(1024))
    with pytest.raises(UserError, match=r"damaged|0 checkpoints") as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_honest_archives_of_every_form(tmp_path: Path, form: int) -> None:
    folder = "a" * 60 + "/" + "b" * (30 if form == tarfile.USTAR_FORMAT else 150)
    content = roberta_bytes(tmp_path)
    with tarfile.open(tmp_path / "x.tar", "w", format=form) as file:
        for name in ("other.txt", f"{folder}/model.pt", "link"):
            member = tarfile.TarInfo(name)
            member.mtime, member.size = 1.5, len(content)
            if name == "link":
                member.type, member.linkname, member.size = tarfile.SYMTYPE, f"{folder}/model.pt", 0
            file.addfile(member, io.BytesIO(content))
    with open(tmp_path / "x.tar", "rb") as opened:
        found = list(tar_reader.tar_members(opened))
        assert [(member.name, member.num_bytes) for member in found] == [
            ("other.txt", len(content)),
            (f"{folder}/model.pt", len(content)),
        ]
        opened.seek(found[1].position)
        assert opened.read(found[1].num_bytes) == content
    assert load(tmp_path / "x.tar").config == text_models.ROBERTA


def test_names_in_messages_cannot_drive_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(tar(tmp_path / "x.tar", {"a\x1b[2J.pt": b"hello"}))
    assert str(caught.value).isprintable()


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a file"):
        load(tmp_path / "pipe")
