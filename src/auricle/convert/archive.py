"""A checkpoint and its dictionary out of a `.tar`, as fairseq publishes RoBERTa.

No name in the archive is used as a path, and nothing but the two members is written, under names of our own,
into a folder that goes away again.
"""

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from auricle.convert.tar import MAX_MEMBERS, TarError, TarMember, TooManyError, tar_members
from auricle.dictionary import MAX_DICTIONARY_BYTES
from auricle.errors import UserError

MAX_RATIO = 16
"""How much larger than the file its content may be; numbers hardly shrink at all."""

_MAX_READ = 2**20
_GZIP = b"\x1f\x8b"
_DAMAGE = (TarError, EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was found in an archive.

    Attributes:
        checkpoint: A copy of its one `.pt` member.
        dictionary: A copy of the `dict.txt` beside that, or None.
        name: The checkpoint's name in the archive, for messages.
    """

    checkpoint: Path
    dictionary: Path | None
    name: str


def is_archive(path: Path) -> bool:
    """Whether a file is a tar archive, compressed or not."""
    try:
        if not path.is_file():  # a pipe would wait for somebody to write in it
            return False
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError:
        return False
    return head.startswith(_GZIP) or head[257:262] == b"ustar"


@contextmanager
def unpacked(path: Path) -> Iterator[Unpacked]:
    """The checkpoint and the dictionary of an archive, for as long as the block lasts.

    Raises:
        UserError: It cannot be read, is damaged, or has no checkpoint or several.
    """
    with tempfile.TemporaryDirectory(prefix="auricle-") as folder:
        try:
            found = _unpack(_expanded(path, Path(folder)), Path(folder))
        except TooManyError:
            raise UserError(
                f"{path} has more than {MAX_MEMBERS} members: it is no archive of a model"
            ) from None
        except _DAMAGE:
            raise UserError(f"{path} is no tar archive, or is damaged: download it again") from None
        except OSError as error:
            raise UserError(f"{path} cannot be unpacked: {error.strerror or error}") from None
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        yield found


def _expanded(path: Path, folder: Path) -> Path:
    """The archive without compression: itself, or a copy."""
    with open(path, "rb") as file:
        if file.read(2) != _GZIP:
            return path
        file.seek(0)
        target = folder / "archive"
        limit = MAX_RATIO * path.stat().st_size + _MAX_READ
        with gzip.GzipFile(fileobj=file) as source, open(target, "wb") as copy:
            while chunk := source.read(_MAX_READ):
                limit -= len(chunk)
                if limit < 0:
                    raise UserError("its content is far larger than numbers in so small a file can be")
                copy.write(chunk)
    return target


def _unpack(path: Path, folder: Path) -> Unpacked:
    with open(path, "rb") as file:
        members = list(tar_members(file))
        checkpoint = _only_checkpoint(members)
        beside = PurePosixPath(checkpoint.name).with_name("dict.txt").as_posix()
        dictionary = next((member for member in members if member.name == beside), None)
        if dictionary is not None and dictionary.num_bytes > MAX_DICTIONARY_BYTES:
            raise UserError(f"its dict.txt is larger than {MAX_DICTIONARY_BYTES // 2**20} MiB")
        return Unpacked(
            _copied(file, checkpoint, folder / "checkpoint.pt"),
            None if dictionary is None else _copied(file, dictionary, folder / "dict.txt"),
            checkpoint.name,
        )


def _only_checkpoint(members: list[TarMember]) -> TarMember:
    found = [member for member in members if member.name.endswith(".pt")]
    if len(found) != 1:
        raise UserError(
            f"it holds {len(found)} checkpoints (*.pt), not one: unpack it, and give the path of one of them"
        )
    return found[0]


def _copied(file: BinaryIO, member: TarMember, target: Path) -> Path:
    file.seek(member.position)
    left = member.num_bytes
    with open(target, "wb") as copy:
        while left and (chunk := file.read(min(left, _MAX_READ))):
            left -= len(chunk)
            copy.write(chunk)
    if left:
        raise EOFError
    return target
