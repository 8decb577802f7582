"""Where embeddings are written: a file a recording, or many recordings in a part.

Every file appears whole or not at all (`auricle.files`), so what is there is done, and a run that was
interrupted goes on after it.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Literal, Protocol, get_args

import numpy as np

from auricle.errors import UserError
from auricle.extract.stream import Values
from auricle.files import atomic_write_bytes

FormatName = Literal["hdf5", "npy", "safetensors", "parquet"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)

PART_BYTES = 128 * 2**20
"""Of values, before a part of many recordings is written."""

_EXTRAS = {"h5py": "hdf5", "pyarrow.parquet": "parquet"}


class Store(Protocol):
    """Takes embeddings, by the keys of their clips."""

    def holds(self, key: str) -> bool:
        """Whether a run before has written them."""

    def put(self, key: str, values: Values) -> None:
        """Writes them, now or together with others."""

    def finish(self) -> None:
        """Writes what was held back."""


@contextmanager
def opened(name: FormatName, folder: Path, rate: int, part: str = "part") -> Iterator[Store]:
    """A store to write in; what it holds back is written when the block ends, also by an interruption.

    Args:
        name: The format.
        folder: Where the files go.
        rate: Frames a second.
        part: What parts are called, before their number.

    Raises:
        UserError: The library for the format is missing, or a part that is there cannot be read.
    """
    store: Store
    match name:
        case "npy":
            store = FileStore(folder, "npy", npy)
        case "hdf5":
            _library("h5py")
            store = FileStore(folder, "h5context", lambda values: hdf5(values, rate))
        case "safetensors":
            store = PartStore(folder, "safetensors", part, safetensors, keys_of_safetensors)
        case "parquet":
            _library("pyarrow.parquet")
            store = PartStore(folder, "parquet", part, lambda rows: parquet(rows, rate), keys_of_parquet)
    try:
        yield store
    finally:
        store.finish()


def _library(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        extra = _EXTRAS[name]
        raise UserError(
            f"--format {extra} needs {name.partition('.')[0]}: pip install 'auricle[{extra}]',"
            " or choose --format npy"
        ) from error


@dataclass(frozen=True, slots=True)
class FileStore:
    """A file a recording, `KEY.SUFFIX`."""

    folder: Path
    suffix: str
    encode: Callable[[Values], bytes]

    def path(self, key: str) -> Path:
        """Where a recording's file is."""
        return self.folder / f"{key}.{self.suffix}"

    def holds(self, key: str) -> bool:
        """See `Store`."""
        return self.path(key).exists()

    def put(self, key: str, values: Values) -> None:
        """See `Store`."""
        atomic_write_bytes(self.path(key), self.encode(values))

    def finish(self) -> None:
        """Nothing is ever held back."""


@dataclass(slots=True)
class PartStore:
    """Many recordings a file, `PART-00000.SUFFIX`; each part is written whole, and never again.

    Attributes:
        folder: Where the parts are.
        suffix: Of their names.
        part: What their names begin with; other runs may write parts of other names beside them.
        encode: Makes a part of recordings by their keys.
        keys_of: Reads the keys in a part.
        part_bytes: Of values in a part, at least, except in the last one.
    """

    folder: Path
    suffix: str
    part: str
    encode: Callable[[Mapping[str, Values]], bytes]
    keys_of: Callable[[Path], Iterable[str]]
    part_bytes: int = PART_BYTES
    _done: set[str] = field(default_factory=set)
    _held: dict[str, Values] = field(default_factory=dict)
    _held_bytes: int = 0
    _number: int = 0

    def __post_init__(self) -> None:
        for path in sorted(self.folder.glob(f"*.{self.suffix}")):
            try:
                self._done.update(self.keys_of(path))
            except (OSError, ValueError) as error:
                raise UserError(f"{path} cannot be read ({error}): remove it, and start again") from error
        numbers = [
            path.stem.removeprefix(f"{self.part}-")
            for path in self.folder.glob(f"{self.part}-*.{self.suffix}")
        ]
        self._number = max((int(number) + 1 for number in numbers if number.isdecimal()), default=0)

    def holds(self, key: str) -> bool:
        """See `Store`."""
        return printable(key) in self._done

    def put(self, key: str, values: Values) -> None:
        """See `Store`."""
        self._held[printable(key)] = values
        self._held_bytes += values.nbytes
        if self._held_bytes >= self.part_bytes:
            self.finish()

    def finish(self) -> None:
        """See `Store`."""
        if not self._held:
            return
        path = self.folder / f"{self.part}-{self._number:05d}.{self.suffix}"
        held, self._held, self._held_bytes = self._held, {}, 0
        atomic_write_bytes(path, self.encode(held))
        self._done.update(held)
        self._number += 1


def printable(key: str) -> str:
    """A key as UTF-8 text: names on a disk need not be that."""
    return key.encode(errors="surrogateescape").decode(errors="backslashreplace")


def npy(values: Values) -> bytes:
    """The format of numpy."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def hdf5(values: Values, rate: int) -> bytes:
    """The `.h5context` of fairseq: `features`, flat float32, a frame after the other, and `info`.

    Args:
        values: [N, C]; of [L, N, C] each frame has its layers side by side, L * C channels.
        rate: Frames a second.
    """
    import h5py

    frames = values if values.ndim == 2 else np.concatenate(list(values), axis=1)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["features"] = frames.reshape(-1)
        file["info"] = np.array([rate, *frames.shape], dtype=np.float64)
    return buffer.getvalue()


def safetensors(rows: Mapping[str, Values]) -> bytes:
    """A tensor a recording, under its key."""
    from safetensors.numpy import save

    return save({key: np.ascontiguousarray(values) for key, values in rows.items()})


def keys_of_safetensors(path: Path) -> Iterable[str]:
    """The keys, from the header alone."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return list(file.keys())
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def parquet(rows: Mapping[str, Values], rate: int) -> bytes:
    """A row a recording: `key`, `shape` ([N, C] or [L, N, C]), `rate`, and flat `features`."""
    import pyarrow
    import pyarrow.parquet

    features = pyarrow.array(
        [values.reshape(-1) for values in rows.values()], pyarrow.list_(pyarrow.float32())
    )
    table = pyarrow.table(
        {
            "key": pyarrow.array(rows, pyarrow.string()),
            "shape": pyarrow.array(
                [list(values.shape) for values in rows.values()], pyarrow.list_(pyarrow.int32())
            ),
            "rate": pyarrow.array([rate] * len(rows), pyarrow.int32()),
            "features": features,
        }
    )
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, buffer)
    data: bytes = buffer.getvalue().to_pybytes()
    return data


def keys_of_parquet(path: Path) -> Iterable[str]:
    """The column `key`, and no other."""
    import pyarrow.parquet

    keys: list[str] = pyarrow.parquet.read_table(path, columns=["key"])["key"].to_pylist()
    return keys
