"""The table of contents of a tar archive, read by ourselves.

Python's `tarfile` follows whatever a header says (sizes below zero send old versions round in circles, odd
extended headers keep their patterns busy for hours). Here a header says where the bytes of a plain file are,
or it is passed over: no name is a path, no link is followed, and nothing is unpacked.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_MEMBERS = 1_000
"""Of an archive; the published ones have some five."""

MAX_EXTENSION_BYTES = 2**16
"""Of a header that holds a long name."""

_BLOCK = 512
_FILES = (b"0", b"\0", b"7")
# What has no content, whatever size its header gives: links, devices, folders, pipes.
_EMPTY = (b"1", b"2", b"3", b"4", b"5", b"6")
_LONG_NAME, _EXTENDED = b"L", b"x"
_SPARSE = b"S"


class TarError(ValueError):
    """It is no archive, or a damaged one."""


class TooManyError(TarError):
    """It has more members than any archive of a model."""


@dataclass(frozen=True, slots=True)
class TarMember:
    """A plain file in an archive: its bytes stand there as they are.

    Attributes:
        name: For comparison with other names and for messages; printable.
        position: Of its first byte.
        num_bytes: Its size.
    """

    name: str
    position: int
    num_bytes: int


def tar_members(file: BinaryIO) -> Iterator[TarMember]:
    """The plain files of an archive without compression, in its order.

    Raises:
        TarError: It is damaged or cut off, or has too many members.
    """
    end = os.fstat(file.fileno()).st_size
    position, extension = 0, _Extension()
    for _ in range(MAX_MEMBERS):
        file.seek(position)
        header = file.read(_BLOCK)
        if not header.strip(b"\0"):
            return
        _check(header)
        kind, size = header[156:157], _number(header[124:136])
        begin = position + _BLOCK
        if kind in _FILES:
            size = size if extension.size is None else extension.size
            if begin + size > end:
                raise TarError("it ends before its members do")
            if not extension.is_sparse:
                yield TarMember(_printable(extension.name or _name(header)), begin, size)
        if kind in (_LONG_NAME, _EXTENDED):
            extension = extension.with_more(kind, _content(file, size))
        else:
            extension = _Extension()
        if kind == _SPARSE:
            raise TarError("it has files with holes")
        position = begin + (0 if kind in _EMPTY else -(-size // _BLOCK) * _BLOCK)
    raise TooManyError


@dataclass(frozen=True, slots=True)
class _Extension:
    """What the headers before a header say of it."""

    name: bytes | None = None
    size: int | None = None
    is_sparse: bool = False

    def with_more(self, kind: bytes, content: bytes) -> "_Extension":
        """With what one more of them says."""
        if kind == _LONG_NAME:
            return _Extension(content.split(b"\0", 1)[0], self.size, self.is_sparse)
        words = dict(_words(content))
        size = words.get(b"size")
        if size is not None and not (size.isdigit() and len(size) < 20):
            raise TarError("a size that is none")
        sparse = self.is_sparse or any(word.startswith(b"GNU.sparse") for word in words)
        return _Extension(words.get(b"path", self.name), self.size if size is None else int(size), sparse)


def _words(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records of an extended header: `length word=value` and a line break each."""
    while content.strip(b"\0"):
        length, space, _ = content[:20].partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length) <= len(content):
            raise TarError("an extended header that is none")
        record, content = content[len(length) + 1 : int(length)], content[int(length) :]
        word, _, value = record.removesuffix(b"\n").partition(b"=")
        yield word, value


def _content(file: BinaryIO, size: int) -> bytes:
    if size > MAX_EXTENSION_BYTES:
        raise TarError("a header of an absurd size")
    content = file.read(size)
    if len(content) < size:
        raise TarError("it ends within a header")
    return content


def _check(header: bytes) -> None:
    if len(header) < _BLOCK:
        raise TarError("it ends within a header")
    if sum(header) - sum(header[148:156]) + 8 * ord(" ") != _number(header[148:156]):
        raise TarError("a header that does not add up")


def _number(field: bytes) -> int:
    """Octal digits, or the bytes of a larger number after a first one of 0x80."""
    if field[0] == 0x80:
        number = int.from_bytes(field[1:], "big")
        if number >= 2**62:
            raise TarError("a number that is too large")
        return number
    digits = field.strip(b" \0") or b"0"
    if not all(ord("0") <= digit <= ord("7") for digit in digits):
        raise TarError("a number that is none")
    return int(digits, 8)


def _name(header: bytes) -> bytes:
    name, prefix = header[:100].split(b"\0", 1)[0], header[345:500].split(b"\0", 1)[0]
    is_posix = header[257:263] == b"ustar\0"
    return prefix + b"/" + name if is_posix and prefix else name


def _printable(name: bytes) -> str:
    text = name.decode("utf-8", errors="replace")
    return "".join(character if character.isprintable() else "?" for character in text)
