"""Where downloads are kept, what is remembered of them, and who may change them at a time.

* ``models/NAME/...`` are complete files, as their publishers name them;
* ``records/NAME.json`` has the checksum of each, from when it was first seen here; it outlives the files;
* ``incoming/NAME/...`` is what has arrived so far;
* ``locks/NAME.lock`` is held by the one process that downloads.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from auricle.errors import UserError
from auricle.files import atomic_write_text

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

CACHE = "AURICLE_CACHE"
OFFLINE = "AURICLE_OFFLINE"

_SECONDS_BETWEEN_TRIES = 0.2
_MAX_RECORD_BYTES = 10**6


def cache_folder() -> Path:
    """What AURICLE_CACHE names, else `auricle` in the user's folder of caches."""
    if named := os.environ.get(CACHE):
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "auricle"


def is_offline() -> bool:
    """Whether nothing shall be downloaded."""
    return os.environ.get(OFFLINE, "0").strip().lower() not in ("", "0", "false", "no")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry's files are."""

    files: Path
    incoming: Path
    record: Path
    lock: Path

    @classmethod
    def of(cls, name: str) -> "Place":
        """The place of an entry; a name of two parts is one folder."""
        root, flat = cache_folder(), name.replace("/", "--")
        return cls(
            root / "models" / flat,
            root / "incoming" / flat,
            root / "records" / f"{flat}.json",
            root / "locks" / f"{flat}.lock",
        )

    def make(self) -> None:
        """Make the folders to write in.

        Raises:
            UserError: They cannot be made or written in.
        """
        for folder in (self.files, self.incoming, self.record.parent, self.lock.parent):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(_unwritable(folder, error.strerror)) from error
            if not os.access(folder, os.W_OK | os.X_OK):
                raise UserError(_unwritable(folder, "it is read-only"))


def _unwritable(folder: Path, reason: str | None) -> str:
    return (
        f"the cache folder {folder} cannot be written ({reason}): set {CACHE} to a folder that can, or have"
        " the model downloaded by somebody who may"
    )


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file as it was when it was first seen here.

    Attributes:
        sha256: Of all its bytes.
        num_bytes: Its size.
        mtime_ns: Of the copy that has this checksum: while size and time are these, it is not read again.
        address: Where it came from; "" for one that was found in the cache.
        seen: When, as ISO 8601.
    """

    sha256: str
    num_bytes: int
    mtime_ns: int
    address: str
    seen: str

    @classmethod
    def of(cls, path: Path, address: str) -> "FileRecord":
        """Of a file that is seen for the first time."""
        status = path.stat()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(sha256_of(path), status.st_size, status.st_mtime_ns, address, now)

    def looks_same(self, path: Path) -> bool:
        """Whether a file has the size and the time of the one recorded."""
        status = path.stat()
        return (status.st_size, status.st_mtime_ns) == (self.num_bytes, self.mtime_ns)


@dataclass(slots=True)
class Record:
    """What is remembered of an entry.

    Attributes:
        files: By name.
        complete: Whether all files were downloaded that the publisher had.
    """

    files: dict[str, FileRecord] = field(default_factory=dict)
    complete: bool = False

    @classmethod
    def read(cls, path: Path) -> "Record":
        """The record in a file; an empty one where there is none.

        Raises:
            UserError: It is damaged.
        """
        try:
            with open(path, encoding="utf-8") as file:
                content = json.loads(file.read(_MAX_RECORD_BYTES))
            files = {str(name): FileRecord(**values) for name, values in content["files"].items()}
            if not all(_is_sound(name, record) for name, record in files.items()):
                raise ValueError
            return cls(files, content["complete"] is True)
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UserError(f"{path} is damaged: remove it, and the checksums are recorded anew") from None

    def write(self, path: Path) -> None:
        """Put it in a file, whole or not at all."""
        atomic_write_text(path, json.dumps(asdict(self), indent=2) + "\n")


def _is_sound(name: str, record: Any) -> bool:
    texts = (record.sha256, record.address, record.seen)
    numbers = (record.num_bytes, record.mtime_ns)
    plain = "/" not in name and "\\" not in name and name not in ("", ".", "..")
    return plain and all(type(t) is str for t in texts) and all(type(n) is int for n in numbers)


def sha256_of(path: Path) -> str:
    """The checksum of a file; some two seconds a gigabyte."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(path: Path, on_wait: Callable[[], object]) -> Iterator[None]:
    """Hold a lock while the block runs; the system frees it when the process ends, however it ends.

    Args:
        path: The lock's file, which stays.
        on_wait: Called once if another process holds it.

    Raises:
        UserError: The file cannot be opened, or the file system has no locks.
    """
    try:
        file = open(path, "a")  # noqa: SIM115 closed below
    except OSError as error:
        raise UserError(_unwritable(path.parent, error.strerror)) from error
    with file:
        waiting = False
        while not _try_lock(file, path):
            if not waiting:
                on_wait()
            waiting = True
            time.sleep(_SECONDS_BETWEEN_TRIES)
        yield


def _try_lock(file: IO[str], path: Path) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        raise UserError(
            f"{path} cannot be locked, as keeps two downloads apart ({error.strerror}): set {CACHE} to"
            " a folder on another disk"
        ) from None
    return True
