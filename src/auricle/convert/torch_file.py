"""Files that torch wrote, read without torch's reader and without Python's: as data, and nothing is run.

Both layouts are read: the zip archive of torch 1.6 and later, and the row of pickles and raw storages
before that, which the files of 2019 and 2020 have.
"""

import io
import os
import stat
import struct
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from auricle.convert.pickle_values import MAX_TEXT
from auricle.convert.storages import DamagedError, Member, Source, Storage, zip_members
from auricle.convert.unpickle import RefusedError, unpickle
from auricle.errors import UserError

MAX_PICKLE_BYTES = 64 * 2**20
"""Of the pickled part, which holds no tensor data: 64 MiB do for a dictionary of a million symbols."""

_MAX_HEAD_INSTRUCTIONS = 1_000
"""Of each of the pickles that say what follows; they have some 20."""

_MAX_LIST_INSTRUCTIONS = 1_000_000
"""Of the list of storages: three for each."""

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_BIG_ENDIAN = "its numbers are big-endian, which is not supported"
DAMAGE = (ValueError, IndexError, KeyError, OverflowError, AssertionError, struct.error)
"""What the machine, and what it reads its instructions with, do with a damaged pickle."""


class NotACheckpointError(Exception):
    """The file is of another kind."""


def read(path: str | os.PathLike[str]) -> Any:
    """What a file that torch wrote holds.

    Returns:
        Plain Python data, with `StandIn` for instances of classes and `StoredTensor` for tensors.

    Raises:
        UserError: It cannot be read, is no such file, is damaged, or names something that is not on the
            allow-list.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path} is not a file")
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's decoders have opinions on odd text in old pickles
            return _read_open(file, Source.of(path, file))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except NotACheckpointError as error:
        raise UserError(f"{path} is not a checkpoint ({error}): choose another file") from None
    except RefusedError as error:
        raise UserError(f"{path} {error}; nothing of it was run: get the file from its publisher") from None
    except DAMAGE as error:
        reason = str(error) if isinstance(error, DamagedError) else "its pickle does not hold together"
        raise UserError(f"{path} is damaged or cut off ({reason}): copy or download it again") from None


def _read_open(file: BinaryIO, source: Source) -> Any:
    is_zip = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    return _read_zip(file, source) if is_zip else _read_legacy(file, source)


def _read_zip(file: BinaryIO, source: Source) -> Any:
    members = zip_members(file)
    prefix = _prefix(members)
    byte_order = members.get(f"{prefix}byteorder")
    if byte_order is not None and _bytes_of(file, byte_order) != b"little":
        raise NotACheckpointError(_BIG_ENDIAN)

    def find_storage(dtype: torch.dtype, key: str, count: int) -> Storage:
        member = members.get(f"{prefix}data/{key}")
        if member is None or count * dtype.itemsize > member.num_bytes:
            raise DamagedError("a storage is missing or too short")
        return Storage(source, dtype, count, member.position)

    return unpickle(io.BytesIO(_bytes_of(file, members[f"{prefix}data.pkl"])), find_storage)


def _prefix(names: Iterable[str]) -> str:
    """The name of the folder that everything in the archive is in."""
    prefixes = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(prefixes) != 1 or len(prefixes[0]) > MAX_TEXT:
        raise NotACheckpointError("it is a zip archive of another kind")
    return prefixes[0]


def _bytes_of(file: BinaryIO, member: Member) -> bytes:
    if member.num_bytes > MAX_PICKLE_BYTES:
        raise DamagedError(f"its pickle is larger than {MAX_PICKLE_BYTES // 2**20} MiB")
    file.seek(member.position)
    return file.read(member.num_bytes)


def _read_legacy(file: BinaryIO, source: Source) -> Any:
    """Three pickles that say what follows, the content, the list of storages; then their numbers."""
    stream = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    _check_legacy_head(stream)
    storages: dict[str, Storage] = {}

    def find_storage(dtype: torch.dtype, key: str, count: int) -> Storage:
        storage = storages.setdefault(key, Storage(source, dtype, count))
        if storage.dtype is not dtype or storage.count != count:
            raise DamagedError("two storages share a name")
        return storage

    content = unpickle(stream, find_storage)
    keys = unpickle(stream, max_instructions=_MAX_LIST_INSTRUCTIONS)
    _place_storages(keys, storages, file, stream.tell())
    return content


def _check_legacy_head(stream: BinaryIO) -> None:
    try:
        magic_number = unpickle(stream, max_instructions=_MAX_HEAD_INSTRUCTIONS)
    except (*DAMAGE, RefusedError):
        magic_number = None
    if not isinstance(magic_number, int) or magic_number != _MAGIC_NUMBER:
        raise NotACheckpointError("it is neither a zip archive nor the pickles that torch wrote before")
    if unpickle(stream, max_instructions=_MAX_HEAD_INSTRUCTIONS) != _LEGACY_PROTOCOL:
        raise NotACheckpointError("torch wrote it in a format that is not supported")
    system = unpickle(stream, max_instructions=_MAX_HEAD_INSTRUCTIONS)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise NotACheckpointError(_BIG_ENDIAN)


def _place_storages(keys: object, storages: dict[str, Storage], file: BinaryIO, position: int) -> None:
    """Find where each storage begins: they follow in the order of `keys`, each after its length."""
    if not isinstance(keys, list) or not all(isinstance(key, str) and len(key) <= MAX_TEXT for key in keys):
        raise DamagedError("it has no list of its storages")
    if sorted(keys) != sorted(storages):
        raise DamagedError("its list of storages is of another file")
    for key in keys:
        storage = storages[key]
        file.seek(position)
        (count,) = struct.unpack("<q", file.read(8))
        storage.position = position + 8
        position = storage.position + storage.count * storage.dtype.itemsize
        if count != storage.count or position > storage.source.num_bytes:
            raise DamagedError("a storage is too short")
