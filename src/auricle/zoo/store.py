"""Models of the catalogue on this machine: found in the cache, else downloaded; checked each time.

Nobody publishes checksums of these files. The first one that is seen here is recorded, and every later use
is held against it: that shows damage and exchanges, not whether the first copy was the publisher's.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from auricle.errors import UserError
from auricle.zoo.cache import OFFLINE, FileRecord, Place, Record, is_offline, locked, sha256_of
from auricle.zoo.catalogue import Entry, Wanted, file_name, find, mirrored
from auricle.zoo.transfer import MissingError, Watch, arrived, complete, discard, fetch

SECONDS_BETWEEN_NOTICES = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LocalCopy:
    """A model of the catalogue on this machine.

    Attributes:
        path: What to load: a file, or a folder.
        dictionary: The model's own, for checkpoints that hold none; None where it has none.
    """

    path: Path
    dictionary: Path | None


@dataclass(frozen=True, slots=True)
class Checked:
    """What a full reading of a file in the cache found.

    Attributes:
        path: The file.
        sha256: Of what is there now; None where it is gone.
        record: How it was when it was first seen here.
    """

    path: Path
    sha256: str | None
    record: FileRecord

    @property
    def is_same(self) -> bool:
        """Whether it is unchanged."""
        return self.sha256 == self.record.sha256


def local_copy(name: str) -> LocalCopy:
    """The model of a name, to be loaded: from the cache, else downloaded, which is said in the log.

    Raises:
        UserError: There is no such name, the model cannot be run here, is not in the cache and cannot be
            downloaded, or has changed since it was first seen.
    """
    entry = find(name)
    if not entry.runs:
        raise UserError(
            f"{name} is {entry.about}: this program lists and downloads it, and cannot run it"
            f" (`auricle models download {name}`)"
        )
    copy = copy_in_cache(entry)
    if copy is None:
        _log.info("%s: licence %s (%s)", name, entry.licence, entry.licence_source)
        copy = download(entry, watch=_Notices(name))
    return copy


def copy_in_cache(entry: Entry) -> LocalCopy | None:
    """What is in the cache of an entry, checked; None where it is not all there.

    Raises:
        UserError: A file has changed since it was first seen.
    """
    place = Place.of(entry.name)
    record = Record.read(place.record)
    if not record.complete or not all((place.files / name).is_file() for name in record.files):
        return None
    changed = [_checked(place.files / name, known, entry) for name, known in record.files.items()]
    fresh = {name: new for name, new in zip(record.files, changed, strict=True) if new is not None}
    if fresh:
        with contextlib.suppress(UserError):  # of a cache that is read-only: it is read again next time
            replace(record, files=record.files | fresh).write(place.record)
    return _copy(entry, place, record)


def is_in_cache(entry: Entry) -> bool:
    """Whether all files of an entry are there; unlike `copy_in_cache`, this looks at none of them."""
    place = Place.of(entry.name)
    record = Record.read(place.record)
    return record.complete and all((place.files / name).is_file() for name in record.files)


def download(entry: Entry, *, watch: Watch, again: bool = False, accept_new: bool = False) -> LocalCopy:
    """Bring all files of an entry into the cache; those that are there stay.

    Args:
        entry: Of the catalogue.
        watch: Told of every piece.
        again: Also files that are there.
        accept_new: Record the checksums anew, whatever was recorded.

    Raises:
        UserError: It cannot be downloaded or written, or is not what was first seen here.
    """
    place = Place.of(entry.name)
    needed = [wanted for wanted in entry.files if wanted.required]
    if is_offline() and (again or not all(_here(wanted, place) for wanted in needed)):
        raise UserError(
            f"{entry.name} is not in the cache ({place.files}), and {OFFLINE} says to download nothing:"
            " unset it, or copy the files there"
        )
    place.make()
    with locked(place.lock, lambda: _log.info("another process downloads %s: waiting for it", entry.name)):
        record = Record.read(place.record)
        job = _Job(entry, place, record, watch, again, accept_new)
        for wanted in entry.files:
            job.bring(wanted)
        record.complete = not is_offline()  # else files may be missing that nobody asked for
        record.write(place.record)
    with contextlib.suppress(OSError):
        place.incoming.rmdir()
    return _copy(entry, place, record)


def verify(entry: Entry) -> Iterator[Checked]:
    """Read every file of an entry that was ever seen here, all of it."""
    place = Place.of(entry.name)
    for name, record in Record.read(place.record).files.items():
        path = place.files / name
        try:
            yield Checked(path, sha256_of(path), record)
        except FileNotFoundError:
            yield Checked(path, None, record)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def _copy(entry: Entry, place: Place, record: Record) -> LocalCopy:
    dictionary = place.files / entry.dictionary if entry.dictionary else None
    checkpoint = place.files if entry.is_folder else place.files / file_name(entry.files[0].addresses[0])
    return LocalCopy(checkpoint, dictionary if dictionary and dictionary.name in record.files else None)


def _here(wanted: Wanted, place: Place) -> list[str]:
    """The addresses of a wanted file that there is a copy of."""
    return [address for address in wanted.addresses if (place.files / file_name(address)).is_file()]


@dataclass(frozen=True, slots=True)
class _Job:
    """A download; the lock is held while it runs."""

    entry: Entry
    place: Place
    record: Record
    watch: Watch
    again: bool
    accept_new: bool

    def bring(self, wanted: Wanted) -> None:
        """One file, from one of the addresses that it may have."""
        here = _here(wanted, self.place)
        if here and not self.again:
            self._keep(file_name(here[0]))
            return
        if is_offline():
            return
        candidates = here or wanted.addresses
        for address in candidates:
            try:
                self._download(address, wanted.max_bytes)
                return
            except MissingError:
                if address == candidates[-1] and wanted.required:
                    raise

    def _keep(self, name: str) -> None:
        path, known = self.place.files / name, self.record.files.get(name)
        if known is None or self.accept_new:
            # Somebody put it there, or we were stopped before we could note it.
            self.record.files[name] = FileRecord.of(path, "")
        else:
            self.record.files[name] = _checked(path, known, self.entry) or known

    def _download(self, address: str, max_bytes: int) -> None:
        name, asked = file_name(address), mirrored(address)
        target = self.place.incoming / name
        fetch(asked, target, max_bytes=max_bytes, watch=self.watch)
        new, known = FileRecord.of(arrived(target), asked), self.record.files.get(name)
        if known is not None and new.sha256 != known.sha256 and not self.accept_new:
            discard(target)
            raise UserError(
                f"{name} of {self.entry.name} is another file than the one first seen here on"
                f" {known.seen[:10]} (sha256 {new.sha256[:16]}... now, {known.sha256[:16]}... then) and was"
                " thrown away: try again, or take the new one with"
                f" `auricle models download --accept-new {self.entry.name}`"
            )
        complete(target, self.place.files / name)
        keep = known is not None and not self.accept_new
        self.record.files[name] = replace(known, mtime_ns=new.mtime_ns) if known and keep else new
        self.record.write(self.place.record)


def _checked(path: Path, known: FileRecord, entry: Entry) -> FileRecord | None:
    """The record brought up to date where only the file's time has changed; None where nothing has.

    Raises:
        UserError: It is another file.
    """
    try:
        if known.looks_same(path):
            return None
        if path.stat().st_size == known.num_bytes and sha256_of(path) == known.sha256:
            return replace(known, mtime_ns=path.stat().st_mtime_ns)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    raise UserError(
        f"{path} has changed since it was first seen here on {known.seen[:10]} (sha256"
        f" {known.sha256[:16]}...) and is not used: bring it back with"
        f" `auricle models download --again {entry.name}`"
    )


class _Notices:
    """A line in the log now and then: for whoever loads a model by its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.said = 0.0

    def __call__(self, file: str, done: int, total: int | None) -> None:
        """Says how far the download is."""
        if time.monotonic() - self.said >= SECONDS_BETWEEN_NOTICES:
            self.said = time.monotonic()
            whole = f" of {total / 1e6:.1f}" if total is not None else ""
            _log.info("downloading %s: %s, %.1f%s MB", self.name, file, done / 1e6, whole)
