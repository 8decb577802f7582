"""Where a checkpoint file keeps its numbers: found and bounds-checked, and read only when asked for.

Nothing is mapped into memory: a tensor's bytes go straight from the file into the tensor, so that opening
a checkpoint takes the room of the tensors that are used (an optimizer's moments are not) and no more, and a
file that is replaced or cut off meanwhile is an error, not a crash.
"""

import io
import math
import os
import struct
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

MAX_DIMENSIONS = 16
"""Of a tensor."""

MAX_MEMBERS = 40_000
"""Of a zip archive; the largest published checkpoints have some 3,000 tensors."""

MAX_DIRECTORY_BYTES = 4 * 2**20
"""Of a zip archive's table of contents: 40,000 members."""

MAX_SHARING = 2
"""How many times over the file's size its tensors may take in memory: some stand in it under two names."""

STORAGE_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
"""torch's names for flat stretches of numbers."""

_MAX_READ = MAX_DIRECTORY_BYTES + 1
_MAX_ELEMENTS = 2**62
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    NotImplementedError,
    ValueError,
    OverflowError,
    IndexError,
    OSError,
    struct.error,
)


class DamagedError(ValueError):
    """The file is cut off, or says things about itself that cannot be."""


@dataclass(frozen=True, slots=True)
class Source:
    """The file that tensors are read from, as it was when it was opened."""

    path: Path
    identity: tuple[int, int, int, int]

    @classmethod
    def of(cls, path: Path, file: BinaryIO) -> "Source":
        """The open file `file` at `path`."""
        return cls(path, _identity(file))

    @property
    def num_bytes(self) -> int:
        """Of the file."""
        return self.identity[2]

    def read_into(self, buffer: memoryview, position: int) -> None:
        """Fill `buffer` from byte `position`.

        Raises:
            DamagedError: The file is another one by now, or shorter.
        """
        with open(self.path, "rb", buffering=0) as file:
            if _identity(file) != self.identity:
                raise DamagedError("it was changed while it was read")
            file.seek(position)
            while len(buffer):
                count = file.readinto(buffer)
                if not count:
                    raise DamagedError("it ends before its tensors do")
                buffer = buffer[count:]


def _identity(file: BinaryIO) -> tuple[int, int, int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(slots=True, eq=False)
class Storage:
    """A stretch of numbers of one type in a file.

    Attributes:
        dtype: Of each.
        count: How many.
        position: Byte of the file where they begin; None until that is known.
    """

    source: Source
    dtype: torch.dtype
    count: int
    position: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """A tensor that is still in its file; its bounds have been checked.

    Attributes:
        offset: Of its first element in the storage, in elements.
        shape: In elements.
        strides: In elements.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def checked(cls, storage: object, offset: object, shape: object, strides: object) -> "StoredTensor":
        """A tensor described by untrusted values.

        Raises:
            DamagedError: It is no description of a tensor, or reaches beyond its storage.
        """
        if not isinstance(storage, Storage):
            raise DamagedError("a tensor without a storage")
        sizes, steps = _counts(shape), _counts(strides)
        if len(sizes) != len(steps) or len(sizes) > MAX_DIMENSIONS:
            raise DamagedError("a tensor whose sizes and strides do not go together")
        if math.prod(size for size in sizes if size) >= _MAX_ELEMENTS:  # of empty ones too
            raise DamagedError("a tensor of more elements than can be counted")
        (start,) = _counts((offset,))
        tensor = cls(storage, start, sizes, steps)
        # Strides of 0 would let a few bytes stand for any number of elements.
        if start + tensor.extent > storage.count or tensor.num_elements > storage.count:
            raise DamagedError("a tensor that reaches beyond its storage")
        return tensor

    @property
    def num_elements(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """The room it takes when loaded."""
        return self.num_elements * self.storage.dtype.itemsize

    @property
    def extent(self) -> int:
        """Elements of the storage from its first to its last, both included."""
        if self.num_elements == 0:
            return 0
        return 1 + sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))

    def load(self) -> Tensor:
        """The tensor, contiguous, in memory of its own.

        Raises:
            DamagedError: The file has changed since it was opened.
        """
        dtype = self.storage.dtype
        if self.storage.position is None:
            raise DamagedError("a storage is missing")
        raw = torch.empty(self.extent * dtype.itemsize, dtype=torch.uint8)
        position = self.storage.position + self.offset * dtype.itemsize
        self.storage.source.read_into(raw.numpy().data, position)
        # A bool is a byte of 0 or 1; any other would make torch's behaviour undefined.
        flat = raw.ne(0) if dtype is torch.bool else raw.view(dtype)
        return flat.as_strided(self.shape, self.strides).contiguous()


def check_sharing(tensors: Collection[StoredTensor]) -> None:
    """Refuse tensors that are the same few numbers over and over: a small file could fill any memory.

    Raises:
        DamagedError: They take more room than their files can account for.
    """
    sources = {tensor.storage.source for tensor in tensors}
    held = sum(source.num_bytes for source in sources)
    if sum(tensor.num_bytes for tensor in tensors) > MAX_SHARING * held:
        raise DamagedError("its tensors share numbers to take more memory than the file can account for")


def _counts(values: object) -> tuple[int, ...]:
    if not isinstance(values, list | tuple):
        raise DamagedError("a tensor without sizes")
    if not all(type(value) is int and 0 <= value < _MAX_ELEMENTS for value in values):
        raise DamagedError("a tensor with a size, stride or offset that is none")
    return tuple(values)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a zip archive: its bytes stand in the archive as they are."""

    position: int
    num_bytes: int


def zip_members(file: BinaryIO) -> dict[str, Member]:
    """Where the members of a zip archive are; none is unpacked, and no name is ever used as a path.

    Raises:
        DamagedError: It is no such archive, its members overlap, reach beyond the file, share a name, or are
            compressed or encrypted.
    """
    try:
        with zipfile.ZipFile(_SmallReads(file)) as archive:
            entries = archive.infolist()
    except _ZIP_ERRORS:
        raise DamagedError("its table of contents cannot be read") from None
    if len(entries) > MAX_MEMBERS:
        raise DamagedError(f"an archive of more than {MAX_MEMBERS} members")
    members: dict[str, Member] = {}
    for entry in entries:
        if entry.filename in members:
            raise DamagedError("two of its members share a name")
        members[entry.filename] = _member(file, entry)
    _refuse_overlaps(members, os.fstat(file.fileno()).st_size)
    return members


class _SmallReads(io.RawIOBase):
    """A file that is never read in large pieces: the table of contents may claim any size."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self.file = file

    def seekable(self) -> bool:
        """As any file on a disk."""
        return True

    def tell(self) -> int:
        """Of the file."""
        return self.file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Of the file."""
        return self.file.seek(offset, whence)

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file, up to the size that a table of contents may have."""
        content = self.file.read(_MAX_READ if size is None or size < 0 else min(size, _MAX_READ))
        if len(content) > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("a table of contents of an absurd size")
        return content


def _member(file: BinaryIO, entry: zipfile.ZipInfo) -> Member:
    stored = entry.compress_type == zipfile.ZIP_STORED and entry.compress_size == entry.file_size
    if not stored or entry.flag_bits & 1:
        raise DamagedError("one of its members is compressed or encrypted, which no checkpoint's is")
    try:
        file.seek(entry.header_offset)
    except (ValueError, OSError, OverflowError):
        raise DamagedError("one of its members is nowhere") from None
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise DamagedError("one of its members has no header")
    _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    return Member(entry.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes, entry.file_size)


def _refuse_overlaps(members: Mapping[str, Member], file_bytes: int) -> None:
    """Check that no byte belongs to two members: otherwise a small file could hold any amount of data."""
    end = 0
    for member in sorted(members.values(), key=lambda member: (member.position, member.num_bytes)):
        if member.position < end:
            raise DamagedError("two of its members overlap")
        end = member.position + member.num_bytes
    if end > file_bytes:
        raise DamagedError("it ends before its members do")
