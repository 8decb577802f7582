"""``auricle align``: when each word of a known text is said."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from auricle.cli.options import MODEL, DeviceOption, DictionaryOption
from auricle.cli.progress import progress
from auricle.cli.transcribe import (
    BatchSeconds,
    ChunkSeconds,
    OverlapSeconds,
    load_recogniser,
    seconds_of,
    whole_seconds,
)
from auricle.cli.transcripts import (
    Format,
    Letters,
    MaxChars,
    MaxCueSeconds,
    MaxLines,
    Output,
    OutputDir,
    Sink,
    format_options,
)
from auricle.errors import UserError

if TYPE_CHECKING:
    from auricle.convert.load import Loaded
    from auricle.decode.align import AlignOptions
    from auricle.decode.formats import FormatOptions

Audio = Annotated[
    str,
    typer.Argument(
        metavar="AUDIO", help="A recording of any length, or a manifest (.tsv) of many.", show_default=False
    ),
]
Text = Annotated[
    Path,
    typer.Argument(
        metavar="TEXT",
        help="What is said in it; of a manifest, its labels (.wrd or .ltr). <unk> stands for anything.",
        show_default=False,
    ),
]
Unknown = Annotated[
    Literal["marked", "lines", "words"],
    typer.Option(
        help="Where something may be said that is not in the text: only where it has <unk> (marked), also "
        "between its lines and at both ends (lines), or between any words (words)."
    ),
]
UnknownPenalty = Annotated[
    float,
    typer.Option(
        min=0.0, help="Of a frame of something unknown: nats below the best unit. Less finds more of it."
    ),
]
SkipUnknown = Annotated[
    bool, typer.Option("--skip-unknown", help="Leave out symbols of the text that the dictionary lacks.")
]


@dataclass(frozen=True, slots=True)
class Item:
    """A recording: where it is, how it is called, the lines of its text and how that is called."""

    source: str
    name: str
    lines: Sequence[str]
    place: str


def command(
    audio: Audio,
    text: Text,
    model: Annotated[Path, MODEL],
    dictionary: DictionaryOption = None,
    output_format: Format = "tsv",
    output: Output = None,
    output_dir: OutputDir = None,
    letters: Letters = False,
    unknown: Unknown = "marked",
    unknown_penalty: UnknownPenalty = 0.5,
    skip_unknown: SkipUnknown = False,
    chunk_seconds: ChunkSeconds = 30.0,
    overlap_seconds: OverlapSeconds = 4.0,
    max_chars: MaxChars = 42,
    max_lines: MaxLines = 2,
    max_cue_seconds: MaxCueSeconds = 7.0,
    batch_seconds: BatchSeconds = 30.0,
    device: DeviceOption = None,
) -> None:
    """Find out when each word of a known text is said, in a recording of any length or in many.

    A recording that cannot be read, or is too short for its text, is named on standard error, and the others
    are aligned all the same; the exit code is then 2.
    """
    from auricle.decode.align import AlignOptions
    from auricle.decode.cut import CutOptions
    from auricle.decode.pipeline import HearOptions

    items = read_items(audio, text)
    hearing = HearOptions(batch_seconds, CutOptions(chunk_seconds, overlap_seconds))
    options = AlignOptions(hearing, unknown, unknown_penalty, skip_unknown)
    sink = Sink([item.name for item in items], output_format, output, output_dir)
    alone = len(items) == 1 or output_dir is not None
    written = format_options(
        letters=letters,
        alone=alone,
        max_chars=max_chars,
        max_lines=max_lines,
        max_cue_seconds=max_cue_seconds,
    )
    loaded = load_recogniser(model, dictionary, device)
    broken = _align(items, loaded, options, sink, written)
    if broken:
        count = f"{len(broken)} of {len(items)} recordings could not be aligned: their names stand above"
        raise UserError(broken[0] if len(items) == 1 else count)


def read_items(audio: str, text: Path) -> list[Item]:
    """The recordings and their texts.

    Raises:
        UserError: A file is missing, the manifest and its labels do not go together, or there is no text.
    """
    from auricle.dictionary import letters_to_words
    from auricle.manifest import read_labels, read_manifest
    from auricle.textfile import read_lines

    spelled = text.suffix == ".ltr"
    if not audio.endswith(".tsv"):
        lines = [letters_to_words(line) if spelled else line for line in read_lines(text)]
        if not any(line.strip() for line in lines):
            raise UserError(f"{text}: holds no text: write there what is said in {audio}")
        return [Item(audio, audio, lines, str(text))]
    manifest = read_manifest(audio)
    labels = read_labels(text, manifest)
    if not manifest.entries:
        raise UserError(f"{audio} lists no utterance: check what it was made from")
    return [
        Item(
            manifest.full_path(entry), entry.path, [letters_to_words(label) if spelled else label], str(text)
        )
        for entry, label in zip(manifest.entries, labels, strict=True)
    ]


def _align(
    items: Sequence[Item], loaded: "Loaded", options: "AlignOptions", sink: Sink, written: "FormatOptions"
) -> list[str]:
    """Writes the words of each recording; gives what is wrong with those that cannot be aligned."""
    from auricle.decode.align import Unaligned, align_each

    broken: list[str] = []
    jobs = ((item.source, item.lines, item.place) for item in items)
    total = seconds_of(items[0].source) if len(items) == 1 else None
    with progress("seconds of audio", total) as advance:
        results = align_each(jobs, loaded, options, whole_seconds(advance))
        for item, result in zip(items, results, strict=True):
            if isinstance(result, Unaligned):
                broken.append(str(result.error))
                sink.skip()
                if len(items) > 1:
                    print(f"auricle: {item.name}: {result.error}", file=sys.stderr)
            else:
                extra = {"score": result.score, "unknown": result.unknown}
                sink.write(item.name, result.transcript, written, extra)
    sink.close()
    return broken
