"""Files and folders that appear on disk whole or not at all.

Everything is written beside its final place, flushed to the disk and then renamed, so that a full disk, a
crash or a kill at any moment leaves what was there before. Two names besides a folder's own may be seen:

* ``NAME.partial`` is unfinished work, or rubbish on its way out: never to be read;
* ``NAME.previous`` is the folder that a new one was about to replace: whole, and the one to read while
  ``NAME`` itself is missing (see `resolve_folder`).

There is one writer at a time for one name.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from auricle.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

PARTIAL = ".partial"
PREVIOUS = ".previous"

_FOLDERS_NOT_SYNCED = (errno.EINVAL, errno.ENOTSUP)


def atomic_write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Put `data` in the file `path`, replacing what is there.

    Raises:
        UserError: The disk is full or not writable; the old file is as it was.
    """
    target = Path(path)
    partial = _beside(target, PARTIAL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, target)
        _sync_folder(target.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise UserError(f"cannot write {target}: {_reason(error)}; {_remedy(error)}") from error


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Put `text` in a file as UTF-8, surrogate escapes as their bytes, as `atomic_write_bytes` does."""
    atomic_write_bytes(path, text.encode(errors="surrogateescape"))


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the path of a file to write; when the block ends well it takes the place of `path`.

    Raises:
        UserError: The disk is full or not writable. Any other exception of the block passes through; the old
            file is as it was.
    """
    target = Path(path)
    partial = _beside(target, PARTIAL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with open(partial, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise UserError(f"cannot write {target}: {_reason(error)}; {_remedy(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def growing_file(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """A text file that grows line by line, over several runs if need be, and gets its name when it is whole.

    Until then it is ``NAME.partial``. The block is given the file to append to and how many whole lines are
    in it from a run before; a line that was cut off is removed. When the block ends well, the file is
    flushed to the disk and renamed; otherwise it stays as it is, for the next run to go on.

    Raises:
        UserError: The disk is full or not writable.
    """
    target = Path(path)
    partial = _beside(target, PARTIAL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "ab+") as stream:
            lines = _cut_to_whole_lines(stream)
            yield stream, lines
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, target)
        _sync_folder(target.parent)
    except OSError as error:
        message = f"cannot write {target}: {_reason(error)}; {_remedy(error)}"
        raise UserError(f"{message}, then start again: it goes on from here") from error


def _cut_to_whole_lines(stream: BinaryIO) -> int:
    """Cuts off what follows the last line break; gives the number of lines, and stands at the end."""
    stream.seek(0)
    lines = size = 0
    for line in stream:
        if line.endswith(b"\n"):
            lines, size = lines + 1, size + len(line)
    stream.truncate(size)
    stream.seek(size)
    return lines


def atomic_copy(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Copy a file of any size, replacing what is there, as `atomic_write_bytes` does.

    Raises:
        UserError: It cannot be read, or the disk is full or not writable; the old file is as it was.
    """
    target = Path(path)
    partial = _beside(target, PARTIAL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(source, "rb") as original, open(partial, "wb") as copy:
            shutil.copyfileobj(original, copy)
            copy.flush()
            os.fsync(copy.fileno())
        os.replace(partial, target)
        _sync_folder(target.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise UserError(f"cannot copy {source} to {target}: {_reason(error)}; {_remedy(error)}") from error


def write_tensors(
    path: Path, tensors: Mapping[str, "Tensor"], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, plainly: the caller stands inside `atomic_folder`.

    A tensor that stands under two names is written under both.

    Raises:
        OSError: It cannot be written (safetensors has an error type of its own for that).
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    apart: dict[str, Tensor] = {}
    written: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().contiguous()
        apart[name] = own.clone() if own.data_ptr() in written else own
        written.add(own.data_ptr())
    try:
        save_file(apart, path, metadata)
    except SafetensorError as error:
        raise OSError(f"{path.name}: {error}") from error


def read_tensors(path: str | os.PathLike[str]) -> dict[str, "Tensor"]:
    """Read all of a safetensors file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(Path(path).read_bytes())
    except SafetensorError as error:
        raise ValueError(f"{Path(path).name}: {error}") from error


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty folder to write in; when the block ends well it takes the place of `path`.

    Every file and folder in it is flushed to the disk first. A folder that was there before is kept until
    the new one is in place, under its own name or, for an instant, as ``NAME.previous``.

    Raises:
        UserError: The disk is full, not writable or failing; the message says what was kept. Any other
            exception of the block passes through, and leaves the old folder in place as well.
    """
    folder = Path(path).resolve()
    partial = _beside(folder, PARTIAL)
    try:
        _remove(partial)
        partial.mkdir(parents=True)
        yield partial
        _sync_tree(partial)
        _swap_in(partial, folder)
    except (OSError, UserError) as error:
        # A writer in the block, `atomic_write_bytes` for one, may have put its own words to a full disk.
        cause = error.__cause__ if isinstance(error, UserError) else error
        if not isinstance(cause, OSError):
            raise
        raise UserError(f"cannot save {folder}: {_reason(cause)}; {_what_is_kept(folder)}") from cause
    finally:
        # Also rubbish that a swap moved here. What cannot be removed now is removed by the next save.
        with contextlib.suppress(OSError):
            _remove(partial)


def resolve_folder(path: str | os.PathLike[str]) -> Path:
    """The folder to read for `path`: itself, or ``NAME.previous`` where a save was interrupted.

    Gives `path` back where neither exists, for the caller to complain about.
    """
    folder = Path(path)
    previous = _beside(folder, PREVIOUS)
    return previous if previous.is_dir() and not folder.exists() else folder


def clean_leftovers(parent: Path) -> None:
    """Remove what interrupted saves left in `parent`, except the folders that still stand for a name."""
    for leftover in parent.glob(f"*{PARTIAL}"):
        _remove(leftover)
    for previous in parent.glob(f"*{PREVIOUS}"):
        if previous.with_name(previous.name.removesuffix(PREVIOUS)).exists():
            discard_folder(previous)


def discard_folder(folder: Path) -> None:
    """Remove a folder, under a name that no reader looks at: it is never seen half removed."""
    partial = _beside(folder, PARTIAL)
    _remove(partial)
    os.rename(folder, partial)
    _remove(partial)


def _swap_in(partial: Path, folder: Path) -> None:
    """Let `partial` become `folder`; on failure the old folder gets its name back."""
    previous = _beside(folder, PREVIOUS)
    if folder.exists():
        if previous.exists():
            discard_folder(previous)
        os.rename(folder, previous)
    try:
        os.rename(partial, folder)
        _sync_folder(folder.parent)
    except OSError:
        if folder.exists():
            os.rename(folder, partial)
        if previous.exists():
            os.rename(previous, folder)
        raise
    if previous.exists():
        # The new folder is in place and safe: failing to remove the old one is no failure of the save.
        with contextlib.suppress(OSError):
            discard_folder(previous)


def _what_is_kept(folder: Path) -> str:
    kept = resolve_folder(folder)
    if kept.exists():
        return f"the one saved before is kept in {kept}; free some space or check the disk, then resume"
    return "nothing was saved there before; free some space or check the disk, then try again"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync_tree(folder: Path) -> None:
    """Flush every file below `folder`, then the folders, innermost first."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            # Open for writing, as flushing demands on some systems.
            with open(os.path.join(root, name), "rb+") as stream:
                os.fsync(stream.fileno())
        _sync_folder(Path(root))


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _FOLDERS_NOT_SYNCED:  # some network file systems cannot, and need not
            raise
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return "a file stands where its folder should be"
    return error.strerror or str(error)


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space, or choose another folder"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "change its permissions, or choose another folder"
    return "choose another folder"
