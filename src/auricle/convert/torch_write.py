"""Files that torch reads: a zip archive of a pickle and of the numbers that it refers to.

torch's own writer pickles objects by the class that Python finds under their name, and the one class that a
checkpoint of fairseq needs, its dictionary's, is not here. So the pickle is written by hand: plain data,
tensors, and instances given as `StandIn`, which is what reading such a file gives (`unpickle.py`).
"""

import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auricle.convert.pickle_values import Global, StandIn
from auricle.convert.storages import STORAGE_DTYPES

_ALIGNMENT = 64
"""Of each storage in the file, so that it can be mapped into memory; torch's own files have the same."""

_ROOT = "archive"
_HEADER_BYTES = 30
_EXTRA = struct.Struct("<2sH")
_ZIP64_BYTES = 20
_LARGE = 2**31 / 1.05
"""Bytes from which on zipfile keeps sizes in eight bytes."""

_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every member: the same model gives the same file."""

_STORAGE_NAMES = {dtype: name for name, dtype in STORAGE_DTYPES.items()}
_REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
_ORDERED = Global("collections", "OrderedDict")


def write(path: Path, content: Any) -> None:
    """Write a file, plainly: the caller sees to it that no half of one stays behind.

    Args:
        path: A new file.
        content: None, booleans, numbers, text, lists, tuples and dictionaries, tensors, and `StandIn` with a
            class, arguments and perhaps a state. Tensors that share memory share it in the file.

    Raises:
        OSError: The disk is full or not writable.
        TypeError: There is something else in it.
    """
    pickler = _Pickler()
    pickled = b"\x80\x02" + b"".join(pickler.pieces(content)) + b"."
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "data.pkl", pickled)
        _add(archive, "byteorder", b"little")
        for key, tensor in enumerate(pickler.storages):
            _add(archive, f"data/{key}", _bytes_of(tensor))
        _add(archive, "version", b"3\n")


def _add(archive: zipfile.ZipFile, name: str, data: bytes | memoryview) -> None:
    entry = zipfile.ZipInfo(f"{_ROOT}/{name}", _TIME)
    entry.file_size = len(data)
    large = len(data) > _LARGE
    before = archive.fp.tell() if archive.fp else 0
    before += _HEADER_BYTES + len(entry.filename) + _EXTRA.size + _ZIP64_BYTES * large
    padding = -before % _ALIGNMENT
    entry.extra = _EXTRA.pack(b"FB", padding) + b"Z" * padding
    with archive.open(entry, "w", force_zip64=large) as member:
        member.write(data)


def _bytes_of(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, uncopied."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


@dataclass(slots=True)
class _Pickler:
    """Makes a pickle of protocol 2, and collects the tensors that it refers to."""

    storages: list[Tensor] = field(default_factory=list)
    keys: dict[tuple[int, int], int] = field(default_factory=dict)

    def pieces(self, value: Any) -> Iterator[bytes]:
        """The instructions that leave `value` on the stack."""
        match value:
            case None | bool() | int() | float() | str():
                yield _plain(value)
            case list():
                yield b"](" + b"".join(piece for item in value for piece in self.pieces(item)) + b"e"
            case tuple():
                yield b"(" + b"".join(piece for item in value for piece in self.pieces(item)) + b"t"
            case OrderedDict():
                yield from self.pieces(_ORDERED)
                yield b")R" + self._items(value)
            case dict():
                yield b"}" + self._items(value)
            case Tensor():
                yield from self._tensor(value)
            case Global():
                yield f"c{value.module}\n{value.name}\n".encode()
            case StandIn():
                yield from self._instance(value)
            case _:
                raise TypeError(f"{type(value).__name__} cannot be written into a checkpoint")

    def _items(self, values: dict[Any, Any]) -> bytes:
        pairs = (piece for pair in values.items() for item in pair for piece in self.pieces(item))
        return b"(" + b"".join(pairs) + b"u"

    def _instance(self, instance: StandIn) -> Iterator[bytes]:
        yield from self.pieces(instance.kind)
        yield from self.pieces(instance.args)
        yield b"\x81"
        if instance.state is not None:
            yield from self.pieces(instance.state)
            yield b"b"

    def _tensor(self, tensor: Tensor) -> Iterator[bytes]:
        """A call that rebuilds it from a storage, which a reference names, and then its sizes."""
        tensor = tensor.detach().cpu().contiguous()
        key = self.keys.setdefault((tensor.data_ptr(), tensor.nbytes), len(self.storages))
        if key == len(self.storages):
            self.storages.append(tensor)
        kind = Global("torch", _STORAGE_NAMES[tensor.dtype])
        yield from self.pieces(_REBUILD)
        yield b"("
        yield from self.pieces(("storage", kind, str(key), "cpu", tensor.numel()))
        yield b"Q"
        for argument in (0, tuple(tensor.shape), tensor.stride(), False):
            yield from self.pieces(argument)
        yield from self.pieces(_ORDERED)
        yield b")RtR"


def _plain(value: str | float | bool | None) -> bytes:
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return _whole(value)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            encoded = value.encode("utf-8", "surrogatepass")
            return b"X" + struct.pack("<I", len(encoded)) + encoded


def _whole(value: int) -> bytes:
    """A whole number: in four bytes where it fits, else as many as it takes."""
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded
