"""Safetensors files, read lazily: the header is checked, and the numbers stay in the file until asked for.

The safetensors library maps the file instead, whose pages then count besides the copies made of them: opening
a checkpoint would take twice its size.
"""

import json
import math
import os
import stat
import struct
from pathlib import Path
from typing import Any, BinaryIO

import torch

from auricle.convert.literals import shortened
from auricle.convert.storages import DamagedError, Source, Storage, StoredTensor
from auricle.errors import UserError

MAX_HEADER_BYTES = 4 * 2**20
"""Of the table of tensors; those of the largest published models have some 0.2 MiB."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

_LENGTH = struct.Struct("<Q")
_METADATA = "__metadata__"


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, StoredTensor]:
    """The tensors of a file, by name, not loaded yet.

    Raises:
        UserError: It cannot be read, is no such file, or is damaged.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path} is not a file")
        with open(path, "rb") as file:
            return _tensors(file, Source.of(path, file))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except DamagedError as error:
        raise UserError(f"{path} is damaged or cut off ({error}): use another checkpoint") from None


def _tensors(file: BinaryIO, source: Source) -> dict[str, StoredTensor]:
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise DamagedError("it has no header")
    (length,) = _LENGTH.unpack(head)
    if length > min(MAX_HEADER_BYTES, source.num_bytes - _LENGTH.size):
        raise DamagedError("its header is longer than can be")
    header = _parsed(file.read(length))
    if not isinstance(header, dict):
        raise DamagedError("its header is no table")
    begin = _LENGTH.size + length
    tensors = {
        name: _tensor(source, begin, name, entry) for name, entry in header.items() if name != _METADATA
    }
    _check_cover(tensors, begin, source.num_bytes)
    return tensors


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_without_repetition)
    except DamagedError:
        raise
    except (ValueError, RecursionError):
        raise DamagedError("its header is no JSON") from None


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Which of two entries of one name counts differs from reader to reader: there must be one."""
    table = dict(pairs)
    if len(table) != len(pairs):
        raise DamagedError("two entries of its header share a name")
    return table


def _tensor(source: Source, begin: int, name: str, entry: Any) -> StoredTensor:
    match entry:
        case {"dtype": str(kind), "shape": list(shape), "data_offsets": [int(first), int(last)]}:
            pass
        case _:
            raise DamagedError(f"{shortened(name)} is described as no tensor is")
    if kind not in DTYPES:
        raise DamagedError(f"{shortened(name)} is of the type {shortened(kind)}, which no model has")
    if any(type(number) is not int for number in (first, last)) or not 0 <= first <= last:
        raise DamagedError(f"{shortened(name)} is nowhere")
    dtype = DTYPES[kind]
    count = (last - first) // dtype.itemsize
    storage = Storage(source, dtype, count, begin + first)
    tensor = StoredTensor.checked(storage, 0, shape, _strides(shape))
    if tensor.num_bytes != last - first:
        raise DamagedError(f"{shortened(name)} has another size than its shape")
    return tensor


def _strides(shape: list[Any]) -> tuple[int, ...]:
    """Of a contiguous tensor; whether the sizes are any is checked later, with them."""
    sizes = [size if type(size) is int and 0 <= size < 2**62 else 0 for size in shape[:64]]
    return tuple(min(math.prod(sizes[axis + 1 :]), 2**62 - 1) for axis in range(len(sizes)))


def _check_cover(tensors: dict[str, StoredTensor], begin: int, end: int) -> None:
    """Every byte belongs to one tensor: a small file must not hold many, nor hide something."""
    position = begin
    for tensor in sorted(
        tensors.values(), key=lambda tensor: (tensor.storage.position or 0, tensor.num_bytes)
    ):
        if tensor.storage.position != position:
            raise DamagedError("its tensors overlap, or leave gaps")
        position += tensor.num_bytes
    if position != end:
        raise DamagedError("its tensors end elsewhere than the file")
