"""Transcripts from tables and from LibriSpeech's folders, matched with a manifest and written as labels."""

import csv
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from auricle.dictionary import WORD_END, words_to_letters
from auricle.errors import UserError
from auricle.files import atomic_write_text
from auricle.manifest import Entry, Manifest
from auricle.textfile import read_lines

if TYPE_CHECKING:
    import _csv

PATH_COLUMNS = (
    "path",
    "file",
    "audio",
    "audio_filepath",
    "filename",
    "file_name",
    "id",
    "utt_id",
    "segment_id",
)
TEXT_COLUMNS = ("transcript", "text", "sentence", "transcription")

Row = dict[str, str]


def read_table(
    path: str | os.PathLike[str], path_column: str | None = None, text_column: str | None = None
) -> dict[str, str]:
    """Read transcripts by audio path.

    Args:
        path: A `.tsv` (a header line, no quoting), `.csv` (a header line) or `.jsonl` (one object a line).
        path_column: Holds the audio's path or name; the first of `PATH_COLUMNS` that is there where None.
        text_column: Holds the transcript; likewise.

    Returns:
        Transcripts with single spaces, in Unicode's composed form (NFC): one letter, one symbol.

    Raises:
        UserError: The table cannot be read, lacks a column, or gives one path two transcripts.
    """
    transcripts: dict[str, str] = {}
    for number, row in _rows(Path(path)):
        where = f"{path}:{number}"
        name = _cell(row, path_column, PATH_COLUMNS, "--path-column", where)
        spoken = _cell(row, text_column, TEXT_COLUMNS, "--text-column", where)
        text = " ".join(unicodedata.normalize("NFC", spoken).split())
        if WORD_END in text:
            raise UserError(
                f"{where}: the transcript holds {WORD_END!r}, which ends words in labels: take it out"
            )
        if transcripts.setdefault(name, text) != text:
            raise UserError(f"{where}: {name} has two different transcripts: keep one")
    return transcripts


def match(manifest: Manifest, transcripts: dict[str, str], table: str | os.PathLike[str]) -> list[str]:
    """The transcript of every utterance of a manifest, in its order.

    A table may name the audio by its path under the manifest's root, by its path from the table's own folder
    or by its full path, with or without the extension; or by the bare file name where no two utterances share
    it.

    Raises:
        UserError: Some utterances have no transcript.
    """
    by_name = _by_name(transcripts, os.path.abspath(os.path.dirname(table)))
    namesakes = Counter(PurePosixPath(entry.path).stem for entry in manifest.entries)
    found = []
    for entry in manifest.entries:
        names = _paths(manifest, entry)
        if namesakes[PurePosixPath(entry.path).stem] == 1:
            names += [PurePosixPath(entry.path).name, PurePosixPath(entry.path).stem]
        found.append(next((by_name[name] for name in names if by_name.get(name) is not None), None))
    missing = [entry for entry, text in zip(manifest.entries, found, strict=True) if text is None]
    if missing:
        first = f"{missing[0].path} ({manifest.source}:{missing[0].line})"
        raise UserError(
            f"{table} has no transcript for {len(missing)} of {len(found)} utterances, such as {first}: "
            "add them, or take these out of the manifest"
        )
    return [text for text in found if text is not None]


def read_libri(manifest: Manifest) -> list[str]:
    """The transcripts of a LibriSpeech manifest, from `SPEAKER-CHAPTER.trans.txt` beside the audio.

    As fairseq's `libri_labels.py`: each line holds an utterance's name and its words.

    Raises:
        UserError: A transcript file is missing or does not have an utterance.
    """
    chapters: dict[str, dict[str, str]] = {}
    texts = []
    for entry in manifest.entries:
        folder, file = os.path.split(manifest.full_path(entry))
        if folder not in chapters:
            chapters[folder] = _chapter(Path(folder))
        name = file.split(".")[0]
        if name not in chapters[folder]:
            raise UserError(f"{folder} has no transcript of {name} ({manifest.source}:{entry.line})")
        texts.append(chapters[folder][name])
    return texts


def write_labels(folder: str | os.PathLike[str], name: str, texts: Sequence[str]) -> None:
    """Write `name.wrd` (words) and `name.ltr` (letters), one line a transcript."""
    letters = [words_to_letters(text) for text in texts]
    for ending, lines in (("wrd", texts), ("ltr", letters)):
        atomic_write_text(Path(folder) / f"{name}.{ending}", "".join(f"{line}\n" for line in lines))


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Rows of a table by column, each with its line."""
    lines = read_lines(path)
    kind = path.suffix.lower()
    if kind in (".jsonl", ".json"):
        return _json_rows(path, lines)
    if kind == ".tsv":
        return _csv_rows(path, csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    if kind == ".csv":
        return _csv_rows(path, csv.reader(f"{line}\n" for line in lines))
    raise UserError(f"{path}: a table of transcripts ends in .tsv, .csv or .jsonl")


def _csv_rows(path: Path, table: "_csv.Reader") -> Iterator[tuple[int, Row]]:
    try:
        header = next(table, [])
        for row in filter(None, table):
            if len(row) != len(header):
                raise UserError(
                    f"{path}:{table.line_num}: {len(row)} columns, but the header has {len(header)}: "
                    "a tab or comma inside a transcript, or a missing one between columns"
                )
            yield table.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise UserError(f"{path}:{table.line_num}: {error}") from None


def _json_rows(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: not a JSON object: {error}") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: not a JSON object")
        yield number, {key: value for key, value in row.items() if isinstance(value, str)}


def _cell(row: Row, column: str | None, usual: Sequence[str], option: str, where: str) -> str:
    name = column if column is not None else next((name for name in usual if name in row), None)
    if name is None or name not in row:
        wanted = f"no column {column!r}" if column is not None else f"none of the columns {', '.join(usual)}"
        raise UserError(f"{where}: {wanted}; there are {', '.join(row) or 'none'}: choose one with {option}")
    return row[name]


def _by_name(transcripts: dict[str, str], folder: str) -> dict[str, str | None]:
    """Transcripts by path as it is and as counted from a folder, with and without the extension.

    None stands where only the extensions tell two apart.
    """
    exact: dict[str, str | None] = {os.path.normpath(path): text for path, text in transcripts.items()}
    exact |= {os.path.normpath(os.path.join(folder, path)): text for path, text in transcripts.items()}
    bare: dict[str, str | None] = {}
    for path, text in exact.items():
        name = os.path.splitext(path)[0]
        bare[name] = text if bare.get(name, text) == text else None
    return bare | exact


def _paths(manifest: Manifest, entry: Entry) -> list[str]:
    """The paths by which a table may mean an entry, exact ones first."""
    paths = [os.path.normpath(entry.path), os.path.normpath(manifest.full_path(entry))]
    return paths + [os.path.splitext(path)[0] for path in paths]


def _chapter(folder: Path) -> dict[str, str]:
    path = folder / f"{folder.parent.name}-{folder.name}.trans.txt"
    fields = (line.split() for line in read_lines(path))
    return {name: " ".join(words) for name, *words in filter(None, fields)}
