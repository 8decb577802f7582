"""From audio to text: what `auricle.transcribe` and the command of that name do.

Recordings are read and cut as they come (`auricle.decode.cut`), pieces of several go through the model together,
and the transcripts come out in order, in memory that depends on neither their number nor their length.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from auricle import audio
from auricle.decode.cut import CutOptions, Piece, cut, cut_segments
from auricle.decode.hypothesis import PostProcess
from auricle.decode.listen import (
    Decode,
    Listener,
    Recogniser,
    Recording,
    as_heard,
    listener,
    suggested_post_process,
)
from auricle.decode.segments import Segment, check_segments
from auricle.decode.transcript import Letter, Transcript, Word, transcript
from auricle.errors import UserError
from auricle.models.conv import hop

__all__ = [
    "Letter",
    "Recogniser",
    "Transcript",
    "TranscribeOptions",
    "Unreadable",
    "Word",
    "suggested_post_process",
    "transcribe",
    "transcribe_each",
    "transcript",
]

Source = str | os.PathLike[str] | BinaryIO

WINDOW_BATCHES = 4
"""Pieces are sorted by length within so many batches: little padding, and memory that stays bounded."""

BLOCK_SECONDS = 30.0
"""Read of a recording at a time."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in the place of a recording that could not be read.

    Attributes:
        error: What is wrong with it.
        heard: What is said before that place.
    """

    error: audio.AudioError
    heard: Transcript = field(default_factory=lambda: Transcript("", []))


@dataclass(frozen=True, slots=True)
class TranscribeOptions:
    """How to transcribe.

    Attributes:
        batch_seconds: Audio that goes through the model at a time, padding included.
        cutting: How recordings that are longer than a piece are cut.
        post_process: How units become words; None for what the dictionary suggests.
        decode: From emissions to hypotheses; None for the best path.
        segments: The parts of each recording to transcribe, each as if it were a file; None for all of it.
    """

    batch_seconds: float = 60.0
    cutting: CutOptions = field(default_factory=CutOptions)
    post_process: PostProcess | None = None
    decode: Decode | None = None
    segments: Sequence[Segment] | None = None

    def __post_init__(self) -> None:
        if self.segments is not None:
            check_segments(self.segments)


def transcribe(
    sources: Iterable[Source], recogniser: Recogniser, options: TranscribeOptions | None = None
) -> list[Transcript]:
    """Transcribes all recordings, or raises.

    Args:
        sources: Paths, `archive.zip:offset:length` slices, binary streams.
        recogniser: What `auricle.load` gave.
        options: How.

    Returns:
        One transcript a source, in order.

    Raises:
        AudioError: A recording cannot be read.
        UserError: The recogniser is none, or damaged.
    """
    transcripts = []
    for result in transcribe_each(sources, recogniser, options):
        if isinstance(result, Unreadable):
            raise result.error
        transcripts.append(result)
    return transcripts


@dataclass(slots=True)
class _Progress:
    """One recording on its way."""

    recording: Recording
    parts: list[Transcript] = field(default_factory=list)
    seconds: float = 0.0

    def result(self) -> Transcript:
        text = " ".join(part.text for part in self.parts if part.text)
        return Transcript(text, [word for part in self.parts for word in part.words], self.seconds)


_Step = tuple[_Progress, Piece | audio.AudioError | None]
"""A piece of a recording, or what ends it: None, or what is wrong."""


def transcribe_each(
    sources: Iterable[Source],
    recogniser: Recogniser,
    options: TranscribeOptions | None = None,
    on_progress: Callable[[float], object] = lambda seconds: None,
) -> Iterator[Transcript | Unreadable]:
    """Transcribes recordings as they come, in order; an unreadable one stops nothing.

    Args:
        sources: See `transcribe`.
        recogniser: What `auricle.load` gave.
        options: How.
        on_progress: Called with the seconds of audio that went through the model since the last call.

    Yields:
        One result a source.

    Raises:
        UserError: The recogniser is none, or damaged.
    """
    options = options or TranscribeOptions()
    ears = listener(recogniser, options.post_process, options.decode)
    max_samples = int(options.batch_seconds * ears.encoder.config.sample_rate)
    steps: list[_Step] = []
    samples = 0
    for source in sources:
        progress = _Progress(ears.recording())
        for step in _read(source, ears, options):
            steps.append((progress, step))
            samples += len(step.samples) if isinstance(step, Piece) else 0
            if samples >= WINDOW_BATCHES * max_samples:
                yield from _work(steps, ears, max_samples, on_progress)
                steps, samples = [], 0
    yield from _work(steps, ears, max_samples, on_progress)


def _read(
    source: Source, ears: Listener, options: TranscribeOptions
) -> Iterator[Piece | audio.AudioError | None]:
    """The pieces of a recording, and then what ends it."""
    config = ears.encoder.config
    rate, stride, cutting = config.sample_rate, hop(config.conv_layers), ears.cutting(options.cutting)
    count = 0
    try:
        blocks = audio.stream(source, sample_rate=rate, block_seconds=BLOCK_SECONDS)
        if options.segments is None:
            pieces = cut(blocks, cutting, rate, stride)
        else:
            pieces = cut_segments(blocks, options.segments, cutting, rate, stride)
        for piece in pieces:
            count += len(piece.samples)
            yield piece
    except audio.AudioError as error:
        yield error
        return
    except UserError as error:
        yield audio.AudioError(f"{_name(source)}: {error}")
        return
    if ears.encoder.num_frames(count) == 0:
        logger.warning(
            "%s: %d samples are too short for a single frame: the transcript is empty", _name(source), count
        )
    yield None


def _work(
    steps: Sequence[_Step], ears: Listener, max_samples: int, on_progress: Callable[[float], object]
) -> Iterator[Transcript | Unreadable]:
    """Runs the model on all pieces; gives the recordings that end among the steps."""
    config = ears.encoder.config
    waveforms = [as_heard(step.samples, config) for _, step in steps if isinstance(step, Piece)]
    answers = iter(ears.hear(waveforms, max_samples))
    on_progress(sum(map(len, waveforms)) / config.sample_rate)
    for progress, step in steps:
        if isinstance(step, Piece):
            progress.parts += progress.recording.add(step, next(answers))
            progress.seconds = (step.start + len(step.samples)) / config.sample_rate
        elif step is None:
            yield progress.result()
        else:
            yield Unreadable(step, progress.result())


def _name(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return str(source)
    return str(getattr(source, "name", "audio stream"))
