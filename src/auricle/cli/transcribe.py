"""``auricle transcribe``: audio in, text out."""

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from auricle.cli.device import pick_device
from auricle.cli.options import MODEL, DeviceOption, DictionaryOption
from auricle.cli.output import check_writable
from auricle.cli.progress import progress
from auricle.errors import UserError

if TYPE_CHECKING:
    from auricle.decode.transcribe import Transcript, Unreadable

# fmt: off
EXTENSIONS = frozenset([
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".w64",
    ".rf64", ".caf", ".sph", ".nist",
])
# fmt: on
"""What is taken from a folder; a file named by itself may have any."""

STDIN = "-"

FormatName = Literal["txt", "json"]

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH",
        help="Audio files, folders (with all below), archive.zip:offset:length, or - for standard input.",
        show_default=False,
    ),
]
Format = Annotated[
    FormatName,
    typer.Option(
        "--format",
        help="txt: a line a file, after its path and a tab where there are several. "
        "json: an object a line, with the times and scores of the words.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="A file to write, in place of standard output.", show_default=False),
]
BatchSeconds = Annotated[
    float, typer.Option(min=1.0, help="Audio that goes through the model at a time, padding included.")
]


def command(
    paths: Paths,
    model: Annotated[Path, MODEL],
    dictionary: DictionaryOption = None,
    output_format: Format = "txt",
    output: Output = None,
    batch_seconds: BatchSeconds = 60.0,
    device: DeviceOption = None,
) -> None:
    """Turn audio into text: any format that libsndfile reads, at any rate.

    A file that cannot be read is named on standard error, and the others are transcribed all the same;
    the exit code is then 2.
    """
    from auricle.convert.load import load
    from auricle.decode.transcribe import transcribe_each
    from auricle.dictionary import Dictionary
    from auricle.files import atomic_write_text

    names = find_audio(paths)
    if output is not None:
        check_writable(output.parent)
    loaded = load(model, map_location=pick_device(device))
    if dictionary is not None:
        given = Dictionary.load(dictionary)
        if loaded.dictionary is not None:
            advice = "leave --dictionary out to go by the model's"
            given.check_same(loaded.dictionary, str(dictionary), advice)
        loaded = replace(loaded, dictionary=given)
    results = transcribe_each(_opened(names), loaded, batch_seconds=batch_seconds)
    broken: list[str] = []
    lines: list[str] = []
    for line in _lines(names, results, output_format, broken):
        if output is None:
            print(line, flush=True)
        lines.append(line)
    if output is not None:
        atomic_write_text(output, "".join(f"{line}\n" for line in lines))
    if broken:
        count = f"{len(broken)} of {len(names)} files could not be read: their names stand above"
        raise UserError(broken[0] if len(names) == 1 else count)


def find_audio(paths: Sequence[str]) -> list[str]:
    """The files that `paths` stand for; those of a folder in the order of their names.

    Raises:
        UserError: A folder holds no audio.
    """
    names: list[str] = []
    for path in paths:
        if not os.path.isdir(path):
            names.append(path)
            continue
        inside = [str(file) for file in sorted(Path(path).rglob("*")) if _is_audio(file)]
        if not inside:
            raise UserError(f"{path}: no audio found in this folder ({' '.join(sorted(EXTENSIONS))})")
        names += inside
    return names


def _is_audio(file: Path) -> bool:
    return file.suffix.lower() in EXTENSIONS and file.is_file()


def _opened(names: Iterable[str]) -> Iterator[str | BinaryIO]:
    """Paths as they are, standard input as its bytes (libsndfile has to seek)."""
    for name in names:
        yield io.BytesIO(sys.stdin.buffer.read()) if name == STDIN else name


def _lines(
    names: Sequence[str],
    results: "Iterable[Transcript | Unreadable]",
    output_format: FormatName,
    broken: list[str],
) -> Iterator[str]:
    """A line for each transcript; what could not be read goes to `broken`, and is named at once."""
    from auricle.decode.transcribe import Unreadable

    with progress("files", len(names)) as advance:
        for name, result in zip(names, results, strict=True):
            if not isinstance(result, Unreadable):
                yield _line(name, result, output_format, alone=len(names) == 1)
            else:
                broken.append(str(result.error))
                if len(names) > 1:
                    print(f"auricle: {result.error}", file=sys.stderr)
            advance()


def _line(name: str, transcript: "Transcript", output_format: FormatName, *, alone: bool) -> str:
    path = os.fsencode(name).decode(errors="replace")  # names on a disk need not be UTF-8; what we write is
    if output_format == "json":
        return json.dumps({"path": path, **asdict(transcript)}, ensure_ascii=False)
    return transcript.text if alone else f"{path}\t{transcript.text}"
