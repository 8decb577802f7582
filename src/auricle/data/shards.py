"""Audio packed into a few zip archives (*shards*), for file systems that are slow with many small files.

Members are stored, not compressed: the bytes of the files as they were, which a manifest addresses as
`archive.zip:offset:length` and training reads with one seek. The same files give the same archives, bit for
bit. Each archive appears whole or not at all; one that is there already is kept if it holds what it should.
"""

import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from auricle import audio
from auricle.errors import UserError
from auricle.files import atomic_file
from auricle.manifest import Entry, Manifest

_READERS = 8
_LOCAL_HEADER, _LENGTHS_IN_IT = 30, "<26xHH"
"""A member's own header: its size, and where the lengths of the name and of the extra field stand."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to pack.

    Attributes:
        path: Where it is; `archive.zip:offset:length` for one that is packed already.
        name: What it is called in the archive.
        size: In bytes.
        modified: When, in nanoseconds.
    """

    path: str
    name: str
    size: int
    modified: int


@dataclass(frozen=True, slots=True)
class Shard:
    """An archive, and what belongs in it."""

    path: Path
    recordings: tuple[Recording, ...]

    @property
    def num_bytes(self) -> int:
        """Of its audio."""
        return sum(recording.size for recording in self.recordings)


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes where.

    Attributes:
        manifest: The list of utterances.
        shards: In the order of the manifest.
        places: Of each utterance: its shard, and its member there. Two that name one file share a place.
    """

    manifest: Manifest
    shards: tuple[Shard, ...]
    places: tuple[tuple[int, int], ...]


def plan(
    manifest: Manifest, dest: Path, *, shard_bytes: int | None = None, num_shards: int | None = None
) -> Plan:
    """Deals the recordings of a manifest out, in its order.

    Args:
        manifest: What to pack.
        dest: The folder of the archives, `NAME-00000-of-00012.zip` and so on after the manifest's name.
        shard_bytes: Audio in an archive, at most; a longer recording stands alone.
        num_shards: Archives, of about equal size; there are fewer where there are fewer recordings.

    Raises:
        UserError: A file is missing or empty.
    """
    numbers: dict[str, int] = {}
    each = [numbers.setdefault(os.path.normpath(entry.path), len(numbers)) for entry in manifest.entries]
    recordings = _recordings(manifest, list(numbers))
    cuts = _cuts([one.size for one in recordings], shard_bytes, num_shards)
    name = manifest.source.stem
    shards = tuple(
        Shard(dest / f"{name}-{number:05}-of-{len(cuts):05}.zip", tuple(recordings[first:end]))
        for number, (first, end) in enumerate(cuts)
    )
    places = [(number, member) for number, (a, b) in enumerate(cuts) for member in range(b - a)]
    return Plan(manifest, shards, tuple(places[number] for number in each))


def _recordings(manifest: Manifest, paths: Sequence[str]) -> list[Recording]:
    full = [os.path.join(manifest.root, path) for path in paths]
    with ThreadPoolExecutor(_READERS) as pool:
        found = list(pool.map(_size, full))
    missing = [path for path, status in zip(full, found, strict=True) if status is None]
    if missing:
        others = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
        raise UserError(
            f"{missing[0]}{others}: no such file, or nothing in it, but {manifest.source} lists it: make the "
            "manifest anew with `auricle manifest`"
        )
    return [
        Recording(path, name, *status)
        for path, name, status in zip(full, _names(paths, full), found, strict=True)
        if status
    ]


def _size(path: str) -> tuple[int, int] | None:
    """Bytes, and the time of the last change; None for what cannot be packed."""
    member = audio.stored(path)
    try:
        status = os.stat(member.archive if member else path)
    except OSError:
        return None
    size = member.length if member else status.st_size
    return (size, status.st_mtime_ns) if size else None


def _names(paths: Sequence[str], full: Sequence[str]) -> list[str]:
    """Those of the files, so that unpacking gives the tree back; others where they could lead astray."""
    members = [audio.stored(path) for path in full]
    inside = {archive: _names_in(archive) for archive in {member.archive for member in members if member}}
    names: dict[str, None] = {}
    for number, (path, member) in enumerate(zip(paths, members, strict=True)):
        own = inside[member.archive].get(member.offset, "") if member else path
        name = "/".join(Path(own).parts)
        suffix = Path(own).suffix
        if not _is_plain(own) or name in names:
            name = f"_/{number:09}{suffix if suffix.isascii() else ''}"
        names[name] = None
    return list(names)


def _names_in(archive: str) -> dict[int, str]:
    """Of an archive's members, by their first byte; of what is no zip file, none."""
    try:
        return {offset: name for name, _, offset in _members(Path(archive))}
    except (OSError, zipfile.BadZipFile, struct.error):
        return {}


def _is_plain(path: str) -> bool:
    """Whether a file may be called so in an archive: below its folder, and not as those that may not be."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    parts = Path(path).parts
    return bool(parts) and not os.path.isabs(path) and ".." not in parts and parts[0] != "_"


def _cuts(sizes: Sequence[int], shard_bytes: int | None, num_shards: int | None) -> list[tuple[int, int]]:
    """Where shards begin and end, none of them empty."""
    before = list(accumulate(sizes, initial=0))
    firsts: list[int] = []
    for number in range(len(sizes)):
        if num_shards is not None:
            share = before[number] * num_shards // before[-1]
            needed = num_shards - (len(sizes) - number)  # with one for each of those that are left
            is_first = len(firsts) <= max(share, needed)
        else:
            assert shard_bytes is not None
            is_first = not firsts or before[number + 1] - before[firsts[-1]] > shard_bytes
        if is_first:
            firsts.append(number)
    return list(zip(firsts, [*firsts[1:], len(sizes)], strict=True))


def pack(
    plan: Plan, *, num_workers: int = 4, on_progress: Callable[[int], object] = lambda _: None
) -> tuple[list[Entry], int]:
    """Writes the archives that are not there yet.

    Args:
        plan: What goes where.
        num_workers: Archives written at a time.
        on_progress: Told how many recordings more are in their archive.

    Returns:
        The entries of the manifest of the archives' folder, and how many archives were there already.

    Raises:
        UserError: The disk is full, a file cannot be read or has changed, or an archive of that name holds
            something else.
    """
    kept = [_is_there(shard) for shard in plan.shards]
    needed = sum(shard.num_bytes for shard, there in zip(plan.shards, kept, strict=True) if not there)
    _check_room(plan.shards[0].path.parent, needed)

    def write(number: int) -> list[str]:
        shard = plan.shards[number]
        if not kept[number]:
            _write(shard, on_progress)
        else:
            on_progress(len(shard.recordings))
        places = [(offset, size) for _, size, offset in _members(shard.path)]
        return [f"{shard.path.name}:{offset}:{size}" for offset, size in places]

    with ThreadPoolExecutor(num_workers, thread_name_prefix="auricle-shard") as pool:
        addresses = list(pool.map(write, range(len(plan.shards))))
    entries = [
        Entry(addresses[shard][member], entry.num_samples, entry.line)
        for entry, (shard, member) in zip(plan.manifest.entries, plan.places, strict=True)
    ]
    return entries, sum(kept)


def _check_room(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise UserError(
            f"{folder}: {num_bytes / 1e9:.2f} GB are to be written and {free / 1e9:.2f} GB are free: choose "
            "another --dest, or make room"
        )


def _is_there(shard: Shard) -> bool:
    """Whether the archive has been written by a run before.

    Raises:
        UserError: It has not, but something of its name is there.
    """
    if not shard.path.exists():
        return False
    newest = max(recording.modified for recording in shard.recordings)
    if shard.path.stat().st_mtime_ns < newest or not _holds(shard):
        raise UserError(
            f"{shard.path} is there and holds other or older audio: delete it, or choose another --dest"
        )
    return True


def _holds(shard: Shard) -> bool:
    """Whether the archive has the right members, stored.

    Their bytes are compared at both ends: copies of a corpus, cleaned of noise for one, are equal in names
    and sizes. To compare all would take as long as to pack them.
    """
    try:
        with zipfile.ZipFile(shard.path) as archive:
            found = archive.infolist()
    except (OSError, zipfile.BadZipFile, struct.error):
        return False
    if [(info.filename, info.file_size, info.compress_type) for info in found] != [
        (recording.name, recording.size, zipfile.ZIP_STORED) for recording in shard.recordings
    ]:
        return False
    return all(_check_sum(shard.recordings[end]) == found[end].CRC for end in (0, -1))


def _check_sum(recording: Recording) -> int:
    return reduce(lambda before, block: zlib.crc32(block, before), _blocks(recording), 0)


def _members(path: Path) -> list[tuple[str, int, int]]:
    """Name, size and first byte of each member, in order."""
    with zipfile.ZipFile(path) as archive, open(path, "rb") as stream:
        return [(info.filename, info.file_size, _start(stream, info)) for info in archive.infolist()]


def _start(stream: BinaryIO, info: zipfile.ZipInfo) -> int:
    stream.seek(info.header_offset)
    lengths: tuple[int, int] = struct.unpack(_LENGTHS_IN_IT, stream.read(_LOCAL_HEADER))
    return info.header_offset + _LOCAL_HEADER + sum(lengths)


def _write(shard: Shard, on_progress: Callable[[int], object]) -> None:
    with atomic_file(shard.path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for recording in shard.recordings:
            _add(archive, recording)
            on_progress(1)


def _add(archive: zipfile.ZipFile, recording: Recording) -> None:
    """Copies a file; its name and its bytes alone decide what is written."""
    info = zipfile.ZipInfo(recording.name)
    info.create_system, info.external_attr, info.file_size = 3, 0o644 << 16, recording.size
    with archive.open(info, "w") as packed:
        for block in _blocks(recording):
            packed.write(block)


def _blocks(recording: Recording) -> Iterator[bytes]:
    """The bytes of a file.

    Raises:
        UserError: It cannot be read, or has changed.
    """
    member, left = audio.stored(recording.path), recording.size
    try:
        with open(member.archive if member else recording.path, "rb") as source:
            source.seek(member.offset if member else 0)
            while left and (block := source.read(min(left, 1 << 20))):
                yield block
                left -= len(block)
            longer = member is None and source.read(1)
    except OSError as error:  # of reading: what becomes of a block is the caller's business
        raise UserError(f"{recording.path}: cannot be read ({error.strerror}): check the file") from error
    if left or longer:
        raise UserError(f"{recording.path} has changed while it was read: let it be, and start again")
