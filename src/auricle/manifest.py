"""Manifests (`train.tsv`) and label files (`train.ltr`): found, read, checked line by line, written."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from auricle import audio
from auricle.errors import UserError
from auricle.files import atomic_write_text
from auricle.textfile import read_lines

Broken = tuple[str, str]
"""A file that was left out (path under the root), and why."""

_MAX_DIGITS = 18
_PROBES = 32
_READERS = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One utterance of a manifest.

    Attributes:
        path: Under the manifest's root; `archive.zip:offset:length` for a stored zip member.
        num_samples: As the manifest says: samples of one channel at the file's own rate.
        line: The line of the manifest, from 1; the root is line 1.
    """

    path: str
    num_samples: int
    line: int


@dataclass(frozen=True)
class Manifest:
    """A list of utterances under one root folder, in file order."""

    root: Path
    entries: tuple[Entry, ...]
    source: Path

    def full_path(self, entry: Entry) -> str:
        """Where an entry's audio is; a relative root counts from the current folder, as in fairseq."""
        return os.path.join(self.root, entry.path)

    def __len__(self) -> int:
        return len(self.entries)


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a manifest: the root folder on line 1, then `path<TAB>samples`.

    Raises:
        UserError: The file is missing or a line has another form; the text names file and line.
    """
    source = Path(path)
    lines = read_lines(source, undecodable="surrogateescape")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines or "\t" in lines[0] or not lines[0].strip():
        raise UserError(f"{path}:1: the first line has to be the root folder of the audio")
    entries = tuple(_entry(source, number, line) for number, line in enumerate(lines[1:], start=2))
    return Manifest(Path(lines[0].strip()), entries, source)


def _entry(source: Path, number: int, line: str) -> Entry:
    fields = line.split("\t")
    count = fields[-1].strip()
    if len(fields) != 2 or not fields[0] or not count.isdecimal() or len(count) > _MAX_DIGITS:
        shown = line if len(line) <= 80 else f"{line[:77]}..."
        raise UserError(f"{source}:{number}: expected 'path<TAB>number of samples', got {shown!r}")
    return Entry(fields[0], int(count), number)


def write_manifest(
    path: str | os.PathLike[str], root: str | os.PathLike[str], entries: Iterable[Entry]
) -> None:
    """Write a manifest, whole or not at all; the entries' own line numbers do not matter."""
    lines = [os.fspath(root), *(f"{entry.path}\t{entry.num_samples}" for entry in entries)]
    atomic_write_text(path, "\n".join(lines) + "\n")


def read_labels(path: str | os.PathLike[str], manifest: Manifest) -> list[str]:
    """Read one label line an entry of the manifest, in its order.

    Raises:
        UserError: The file is missing or has another number of lines.
    """
    lines = read_lines(path)
    while len(lines) > len(manifest) and not lines[-1].strip():
        lines.pop()
    if len(lines) != len(manifest):
        raise UserError(
            f"{path} has {len(lines)} labels but {manifest.source} has {len(manifest)} utterances: "
            "make both from the same list"
        )
    return lines


def sample_counts(manifest: Manifest, sample_rate: int) -> list[int]:
    """Samples of each entry at one rate, where a manifest counts them at the files' own.

    A few headers tell whether all files have one rate, which is the usual case; only when they differ is
    every header read. Files that cannot be read count as having the wanted rate: reading them later says what
    is wrong with them.

    Raises:
        UserError: The manifest's root is no folder, and no file can be read.
    """
    entries = manifest.entries
    probes = entries[:: max(1, len(entries) // _PROBES)]
    rates = _rates(manifest, probes)
    found = set(rates) - {None}
    if entries and not found and not manifest.root.is_dir():
        raise UserError(
            f"{manifest.source}:1: there is no folder {manifest.root}: write there where the audio is, or "
            "make the manifest anew with `auricle manifest`"
        )
    each = _rates(manifest, entries) if len(found) > 1 else [next(iter(found), None)] * len(entries)
    return [
        round(entry.num_samples * sample_rate / (rate or sample_rate))
        for entry, rate in zip(entries, each, strict=True)
    ]


def _rates(manifest: Manifest, entries: Sequence[Entry]) -> list[int | None]:
    """The rates in the headers, in Hz; None where one cannot be read."""

    def rate(entry: Entry) -> int | None:
        try:
            return audio.info(manifest.full_path(entry)).sample_rate
        except audio.AudioError:
            return None

    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(rate, entries))


def scan(
    folder: str | os.PathLike[str],
    *,
    extensions: Sequence[str],
    path_must_contain: str | None = None,
    num_workers: int = _READERS,
) -> tuple[list[Entry], list[Broken]]:
    """Find the audio under a folder (see `find`) and count its samples (see `measure`)."""
    return measure(folder, find(folder, extensions, path_must_contain), num_workers=num_workers)


def find(
    folder: str | os.PathLike[str], extensions: Sequence[str], path_must_contain: str | None = None
) -> list[str]:
    """Find files by their extension, in the folder and everything below it, through links too.

    Files come in the order of their paths, so that the same tree gives the same manifest anywhere; fairseq's
    order is that of the file system. Hidden files and folders are passed over, as a shell's `*` does.

    Args:
        folder: Where to search.
        extensions: Such as "flac", with or without a dot, in any case.
        path_must_contain: Keep only files whose full path holds this text.

    Returns:
        Paths relative to the folder.

    Raises:
        UserError: There is no such folder.
    """
    root = os.path.realpath(folder)
    if not os.path.isdir(root):
        raise UserError(f"{folder}: no such folder: check the path")
    endings = tuple("." + extension.lower().lstrip(".") for extension in extensions)
    paths = (path for path in _walk(root) if path.lower().endswith(endings))
    return sorted(path for path in paths if (path_must_contain or "") in os.path.join(root, path))


def extensions_in(folder: str | os.PathLike[str]) -> Counter[str]:
    """How many files of each extension (in lower case, with the dot) there are in a folder and below it."""
    return Counter(os.path.splitext(path)[1].lower() for path in _walk(os.path.realpath(folder)))


def measure(
    folder: str | os.PathLike[str],
    paths: Sequence[str],
    *,
    num_workers: int = _READERS,
    on_progress: Callable[[], object] = lambda: None,
) -> tuple[list[Entry], list[Broken]]:
    """Count the samples of files from their headers.

    Args:
        folder: What the paths are relative to.
        paths: The files.
        num_workers: Headers read at a time.
        on_progress: Called after each file.

    Returns:
        The entries, and the files that were left out with the reason.
    """
    root = os.path.realpath(folder)
    entries: list[Entry] = []
    broken: list[Broken] = []
    with ThreadPoolExecutor(num_workers) as pool:
        counted = pool.map(lambda path: _count(root, path), paths)
        for path, count in zip(paths, counted, strict=True):
            if isinstance(count, str):
                broken.append((path, count))
            else:
                entries.append(Entry(path, count, len(entries) + 2))
            on_progress()
    return entries, broken


def _count(root: str, path: str) -> int | str:
    """Samples that a header promises, or why the file cannot be used."""
    if any(character in path for character in "\t\n\r"):
        return "its name holds a tab or a line break, which a manifest cannot hold"
    full = os.path.join(root, path)
    try:
        return audio.info(full).num_samples or "holds no samples"
    except audio.AudioError as error:
        return str(error).removeprefix(f"{full}: ")


def _walk(root: str) -> Iterator[str]:
    """Paths of all visible files, relative to the root; links never lead into one folder twice."""
    seen = {root}
    for folder, subfolders, files in os.walk(root, followlinks=True):
        new = []
        for name in subfolders:
            real = os.path.realpath(os.path.join(folder, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                new.append(name)
        subfolders[:] = sorted(new)
        below = os.path.relpath(folder, root)
        yield from (os.path.normpath(os.path.join(below, name)) for name in files if not name.startswith("."))


def split(entries: Sequence[Entry], valid_percent: float, seed: int) -> tuple[list[Entry], list[Entry]]:
    """Deal entries out to training and validation as fairseq's `wav2vec_manifest.py` does.

    Args:
        entries: In manifest order.
        valid_percent: Share to hold out, from 0 to 1 (in spite of its name).
        seed: Of the one draw an entry.
    """
    generator = random.Random(seed)
    train: list[Entry] = []
    valid: list[Entry] = []
    for entry in entries:
        (train if generator.random() > valid_percent else valid).append(entry)
    return train, valid
