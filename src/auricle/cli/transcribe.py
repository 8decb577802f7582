"""``auricle transcribe``: audio in, text out."""

import io
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from auricle.cli.backend import BackendOption, PrecisionOption, open_model
from auricle.cli.beam_options import with_decoding
from auricle.cli.device import pick_device
from auricle.cli.options import MODEL, DeviceOption, DictionaryOption, PostProcessOption
from auricle.cli.progress import Advance, progress
from auricle.cli.transcripts import (
    STDIN,
    Format,
    FormatName,
    Letters,
    MaxChars,
    MaxCueSeconds,
    MaxLines,
    Output,
    OutputDir,
    Sink,
    format_options,
)
from auricle.decode.arithmetic import BackendName, Precision
from auricle.errors import UserError

if TYPE_CHECKING:
    from auricle.convert.load import Loaded
    from auricle.decode.formats import FormatOptions
    from auricle.decode.listen import Decoding
    from auricle.decode.transcribe import TranscribeOptions

logger = logging.getLogger(__name__)

# fmt: off
EXTENSIONS = frozenset([
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".w64",
    ".rf64", ".caf", ".sph", ".nist", ".m4a", ".aac", ".mp4", ".mov", ".mkv", ".webm",
])
# fmt: on
"""What is taken from a folder; a file named by itself may have any."""

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        help="Audio files, folders (with all below), archive.zip:offset:length, or - for standard input.",
        show_default=False,
    ),
]
BatchSeconds = Annotated[
    float, typer.Option(min=1.0, help="Audio that goes through the model at a time, padding included.")
]
ChunkSeconds = Annotated[
    float,
    typer.Option(
        min=1.0,
        help="Longer recordings are heard in pieces of at most this, cut at pauses where there are any.",
    ),
]
OverlapSeconds = Annotated[
    float, typer.Option(min=0.0, help="What two pieces share where there is no pause.")
]
Segments = Annotated[
    Path | None,
    typer.Option(
        help="A file of lines 'start end', in seconds: the parts to transcribe, each as if it were a file.",
        show_default=False,
    ),
]
LiveOption = Annotated[
    bool,
    typer.Option(
        "--live",
        help="Write what is said while it is said: from a pipe (-: raw samples or WAV), without PATH from "
        "the microphone. A line of text whenever the speaker pauses; --format json has partial results too.",
    ),
]
RawRate = Annotated[int, typer.Option(min=1000, help="--live: Hz of raw 16-bit samples on standard input.")]
StepSeconds = Annotated[
    float, typer.Option(min=0.05, max=60.0, help="--live: how often to look for something new.")
]


@dataclass(frozen=True, slots=True)
class Job:
    """What to write of which recordings."""

    names: Sequence[str]
    output_format: FormatName
    options: "FormatOptions"


@with_decoding()
def command(
    paths: Paths = None,
    model: Annotated[Path, MODEL] = ...,  # type: ignore[assignment]  # typer's way to say that it is needed
    dictionary: DictionaryOption = None,
    output_format: Format = "txt",
    output: Output = None,
    output_dir: OutputDir = None,
    letters: Letters = False,
    post_process: PostProcessOption = None,
    chunk_seconds: ChunkSeconds = 30.0,
    overlap_seconds: OverlapSeconds = 4.0,
    segments: Segments = None,
    max_chars: MaxChars = 42,
    max_lines: MaxLines = 2,
    max_cue_seconds: MaxCueSeconds = 7.0,
    live: LiveOption = False,
    raw_rate: RawRate = 16000,
    step_seconds: StepSeconds = 0.5,
    batch_seconds: BatchSeconds = 30.0,
    device: DeviceOption = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    *,
    decoding: dict[str, Any],
) -> None:
    """Turn audio into text: any format that libsndfile reads (and video, with PyAV), any rate, any length.

    A file that cannot be read is named on standard error, and the others are transcribed all the same;
    the exit code is then 2.
    """
    from auricle.cli.decoders import choice_of, decoding_of, writing_of
    from auricle.decode.cut import CutOptions
    from auricle.decode.listen import WRITING
    from auricle.decode.pipeline import HearOptions
    from auricle.decode.segments import read_segments
    from auricle.decode.transcribe import TranscribeOptions

    choice, writing = choice_of(decoding), writing_of(decoding, WRITING)
    nbest = choice.beam.nbest
    if nbest > 1 and output_format != "json":
        raise UserError(f"--nbest {nbest}: {output_format} has no place for alternatives; add --format json")

    def load_it() -> "tuple[Loaded, Decoding]":
        loaded = load_recogniser(model, dictionary, device, backend, precision)
        return loaded, decoding_of(choice, writing, loaded, pick_device(device), post_process)

    names = _names(paths, live=live, segments=segments)
    if live:
        from auricle.cli.live import listen

        listen(names, load_it, output_format, output or output_dir, raw_rate, step_seconds)
        return
    sink = Sink(names, output_format, output, output_dir)
    parts = None if segments is None else read_segments(segments)
    hearing = HearOptions(batch_seconds, CutOptions(chunk_seconds, overlap_seconds), parts)
    loaded, how = load_it()
    _check_times(loaded, output_format)
    written = format_options(
        letters=letters,
        alone=len(names) == 1 or output_dir is not None,
        max_chars=max_chars,
        max_lines=max_lines,
        max_cue_seconds=max_cue_seconds,
    )
    options = TranscribeOptions(hearing, decoding=how)
    broken = _transcribe(Job(names, output_format, written), loaded, options, sink)
    if broken:
        count = f"{len(broken)} of {len(names)} files could not be read: their names stand above"
        raise UserError(broken[0] if len(names) == 1 else count)


def load_recogniser(
    model: Path,
    dictionary: Path | None,
    device: str | None,
    backend: BackendName | None = None,
    precision: Precision | None = None,
) -> "Loaded":
    """A model and the dictionary that goes with it.

    Raises:
        UserError: It cannot be read, or the dictionary given is another one than the model's.
    """
    from auricle.dictionary import Dictionary

    loaded = open_model(model, device, backend, precision)
    if dictionary is None:
        return loaded
    given = Dictionary.load(dictionary)
    if loaded.dictionary is not None:
        advice = "leave --dictionary out to go by the model's"
        given.check_same(loaded.dictionary, str(dictionary), advice)
    return replace(loaded, dictionary=given)


def _names(paths: Sequence[str] | None, *, live: bool, segments: Path | None) -> list[str]:
    """The recordings, after a look at what does not go together."""
    if STDIN in (paths or ()) and sys.stdin is None:
        raise UserError("standard input is closed: send sound through a pipe, or name files")
    if live:
        if segments is not None or (paths and list(paths) != [STDIN]):
            raise UserError(
                "--live listens to a pipe (auricle transcribe - --live) or, without PATH, the microphone"
            )
        return list(paths or [])
    if not paths:
        raise UserError("no audio: name files or folders, or - for standard input")
    names = find_audio(paths)
    if segments is not None and len(names) > 1:
        raise UserError(f"--segments are parts of one recording, and there are {len(names)}")
    return names


def _check_times(loaded: "Loaded", output_format: FormatName) -> None:
    from auricle.decode.formats import TIMED
    from auricle.models.seq2seq import Wav2Vec2Seq2Seq

    if output_format in TIMED and isinstance(loaded.model, Wav2Vec2Seq2Seq):
        raise UserError(
            f"this model writes letter by letter and tells no times, which {output_format} is made of: "
            "choose --format txt or json, or a model fine-tuned with CTC"
        )


def find_audio(paths: Sequence[str]) -> list[str]:
    """The files that `paths` stand for; those of a folder in the order of their names.

    Raises:
        UserError: A folder holds no audio, or may not be read; one below it is named and left out.
    """
    names: list[str] = []
    for path in paths:
        if not os.path.isdir(path):
            names.append(path)
            continue
        inside = [str(file) for file in sorted(_files_below(path)) if _is_audio(file)]
        if not inside:
            raise UserError(f"{path}: no audio found in this folder ({' '.join(sorted(EXTENSIONS))})")
        names += inside
    return names


def _files_below(folder: str) -> Iterator[Path]:
    def complain(error: OSError) -> None:
        if error.filename == folder:
            raise UserError(f"{folder}: may not be read ({error.strerror}): change its permissions")
        logger.warning("%s: may not be read (%s), and is left out", error.filename, error.strerror)

    for parent, _, names in os.walk(folder, onerror=complain):
        yield from (Path(parent, name) for name in names)


def _is_audio(file: Path) -> bool:
    return file.suffix.lower() in EXTENSIONS and file.is_file()


class _StandardInput(io.BufferedReader):
    """A copy of it on the disk, which by itself has no name for messages."""

    name = "standard input"


def _opened(names: Iterable[str]) -> Iterator[str | BinaryIO]:
    """Paths as they are, standard input as what libsndfile can seek in: a pipe is put on disk first."""
    for name in names:
        if name != STDIN:
            yield name
        elif sys.stdin.buffer.seekable():
            yield sys.stdin.buffer
        else:
            with tempfile.TemporaryFile(buffering=0) as spooled:
                shutil.copyfileobj(sys.stdin.buffer, spooled)
                spooled.seek(0)
                yield _StandardInput(spooled)


def _transcribe(job: Job, loaded: "Loaded", options: "TranscribeOptions", sink: Sink) -> list[str]:
    """Writes a transcript for each recording; gives what is wrong with those that cannot be read."""
    from auricle.decode.transcribe import Unreadable, transcribe_each

    broken: list[str] = []
    alone = len(job.names) == 1
    what, total = ("seconds of audio", seconds_of(job.names[0])) if alone else ("files", len(job.names))
    with progress(what, total) as advance:
        heard = whole_seconds(advance) if alone else (lambda seconds: None)
        results = transcribe_each(_opened(job.names), loaded, options, heard)
        for name, result in zip(job.names, results, strict=True):
            if not isinstance(result, Unreadable):
                sink.write(name, result, job.options)
            else:
                broken.append(str(result.error))
                if result.heard.text:
                    sink.write(name, result.heard, job.options)
                else:
                    sink.skip()
                if not alone:
                    print(f"auricle: {result.error}", file=sys.stderr)
            if not alone:
                advance()
    sink.close()
    return broken


def whole_seconds(advance: Advance) -> Callable[[float], None]:
    """Counts whole seconds of what comes in parts of them."""
    heard = 0.0

    def add(seconds: float) -> None:
        nonlocal heard
        before, heard = int(heard), heard + seconds
        advance(int(heard) - before)

    return add


def seconds_of(name: str) -> int | None:
    """How long a recording says it is, where it does."""
    from auricle import audio

    if name == STDIN:
        return None
    try:
        header = audio.info(name)
    except audio.AudioError:
        return None
    return round(header.num_samples / header.sample_rate)
