"""Where transcripts go: standard output, one file, or a file a recording."""

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from auricle.cli.output import check_writable, check_writable_file
from auricle.errors import UserError

if TYPE_CHECKING:
    from auricle.decode.formats import FormatOptions
    from auricle.decode.transcript import Transcript

STDIN = "-"

# As `auricle.decode.formats.FormatName`, which would bring torch with it: `--help` should not wait for that.
FormatName = Literal["txt", "json", "srt", "vtt", "ctm", "TextGrid", "tsv"]

FORMAT_HELP = (
    "txt: the text. json: an object a line, with the times and scores of the words. tsv: a word a line. "
    "srt, vtt: subtitles. ctm: NIST's. TextGrid: Praat's, with the letters."
)
Format = Annotated[FormatName, typer.Option("--format", help=FORMAT_HELP)]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="A file to write, in place of standard output.", show_default=False),
]
OutputDir = Annotated[
    Path | None,
    typer.Option(
        "--output-dir",
        help="A folder to write in, a file a recording, named like it; each is written as soon as it can be.",
        show_default=False,
    ),
]
Letters = Annotated[bool, typer.Option("--letters", help="json: with the times of the letters of each word.")]
MaxChars = Annotated[int, typer.Option(min=1, help="Characters of a line of subtitles.")]
MaxLines = Annotated[int, typer.Option(min=1, help="Lines of a subtitle.")]
MaxCueSeconds = Annotated[float, typer.Option(min=0.1, help="How long a subtitle stays at most.")]


def format_options(
    *, letters: bool, alone: bool, max_chars: int, max_lines: int, max_cue_seconds: float
) -> "FormatOptions":
    """From what the command line says."""
    from auricle.decode.formats import FormatOptions
    from auricle.decode.subtitles import CueOptions

    return FormatOptions(letters, alone, CueOptions(max_chars, max_lines, max_cue_seconds))


class Sink:
    """Takes transcripts one by one."""

    def __init__(
        self,
        names: Sequence[str],
        output_format: FormatName,
        output: Path | None = None,
        output_dir: Path | None = None,
    ) -> None:
        """Make sure, before any work, that all of them can be written.

        Args:
            names: Of the recordings to come.
            output_format: Of what is written.
            output: The file; None for standard output,
            output_dir: or for a file a recording in this folder.

        Raises:
            UserError: They cannot.
        """
        from auricle.decode.formats import ONE_RECORDING

        if output is not None and output_dir is not None:
            raise UserError("--output is one file and --output-dir a folder of them: choose one")
        if output_format in ONE_RECORDING and len(names) > 1 and output_dir is None:
            raise UserError(
                f"a {output_format} file is about one recording and there are {len(names)}: "
                "give --output-dir FOLDER, for a file each"
            )
        if output_format == "ctm" and output_dir is None:
            _check_told_apart(names)
        if output is not None:
            check_writable_file(output)
        if output_dir is not None:
            check_writable(output_dir)
        self._format, self._output, self._folder = output_format, output, output_dir
        self._files = iter(file_names(names, output_format)) if output_dir else None
        self._texts: list[str] = []
        self._begun = False

    def skip(self) -> None:
        """The next recording has no transcript."""
        if self._files is not None:
            next(self._files)

    def write(
        self,
        name: str,
        transcript: "Transcript",
        options: "FormatOptions",
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """The transcript of the next recording; `extra` goes into json."""
        from auricle.decode.formats import header, written
        from auricle.files import atomic_write_text

        shown = os.fsencode(name).decode(
            errors="replace"
        )  # names on a disk need not be UTF-8; what we write is
        text = written(shown, transcript, self._format, options, extra)
        head = header(self._format)
        if self._files is not None and self._folder is not None:
            atomic_write_text(self._folder / next(self._files), head + text)
            return
        if not self._begun:
            text, self._begun = head + text, True
        if self._output is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            self._texts.append(text)

    def close(self) -> None:
        """Write what is still to be written; a file is left as it was where no recording has a transcript."""
        from auricle.files import atomic_write_text

        if self._output is not None and self._begun:
            atomic_write_text(self._output, "".join(self._texts))


def _check_told_apart(names: Sequence[str]) -> None:
    """A ctm names recordings without their folders and endings."""
    from auricle.decode.formats import recording_name

    twice = next((name for name, count in Counter(map(recording_name, names)).items() if count > 1), None)
    if twice is not None:
        raise UserError(
            f"{twice} is the name of more than one of the recordings in a ctm: give --output-dir FOLDER, for "
            "a file each"
        )


def file_names(names: Sequence[str], output_format: str) -> list[Path]:
    """One file a recording, no two alike: its name, in the folders below the one that all of them share.

    The ending takes the place of the recording's, or follows it where two differ in that only.
    """
    absolute = [os.path.abspath("stdin" if name == STDIN else name) for name in names]
    common = os.path.commonpath([os.path.dirname(name) for name in absolute]) if absolute else ""
    relative = [Path(os.path.relpath(name, common)) for name in absolute]
    stems = [path.with_suffix("") for path in relative]
    count = Counter(str(stem) for stem in stems)
    files = [stem if count[str(stem)] == 1 else path for stem, path in zip(stems, relative, strict=True)]
    doubles = [str(file) for file, times in Counter(files).items() if times > 1]
    if doubles:
        raise UserError(f"{doubles[0]} is named twice: two results cannot have one file")
    return [file.with_name(f"{file.name}.{output_format}") for file in files]
