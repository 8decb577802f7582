"""Recordings of any number and length through a model, in order and in bounded memory.

They are read and cut as they come; pieces of several go through the model together.
"""

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Generic, Protocol, TypeVar

from auricle import audio
from auricle.decode.cut import CutOptions, Piece, cut, cut_segments
from auricle.decode.listen import Answer, Listener, as_heard
from auricle.decode.segments import Segment, check_segments
from auricle.errors import UserError
from auricle.models.conv import hop

Source = str | os.PathLike[str] | BinaryIO

WINDOW_BATCHES = 4
"""Pieces are sorted by length within so many batches: little padding, and memory that stays bounded."""

BLOCK_SECONDS = 30.0
"""Read of a recording at a time."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HearOptions:
    """How to listen.

    Attributes:
        batch_seconds: Audio that goes through the model at a time, padding included.
        cutting: How recordings that are longer than a piece are cut.
        segments: The parts of each recording to hear, each as if it were a file; None for all of it.
    """

    batch_seconds: float = 30.0
    cutting: CutOptions = field(default_factory=CutOptions)
    segments: Sequence[Segment] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.batch_seconds < math.inf:
            raise UserError(f"batches of {self.batch_seconds:g} s: give a number of seconds")
        if self.segments is not None:
            check_segments(self.segments)


class Taker(Protocol):
    """Takes what the model makes of one recording, piece by piece in order."""

    def take(self, piece: Piece, answer: Answer) -> None:
        """The next piece and the model's answer to all its samples (see `Listener.hear`)."""


T = TypeVar("T", bound=Taker)


@dataclass(frozen=True, slots=True)
class _Step(Generic[T]):
    """A piece of a recording, or what ends it: None, or what is wrong."""

    taker: T
    what: Piece | audio.AudioError | None


def hear_each(
    jobs: Iterable[tuple[Source, T]],
    ears: Listener,
    options: HearOptions,
    on_progress: Callable[[float], object] = lambda seconds: None,
) -> Iterator[tuple[T, audio.AudioError | None]]:
    """Lets a model hear recordings; an unreadable one stops nothing.

    Args:
        jobs: Each recording, and who takes what the model makes of it.
        ears: The model.
        options: How.
        on_progress: Called with the seconds of audio that went through the model since the last call.

    Yields:
        The takers in order, each when it has all pieces, and what is wrong with the recording if it ended
        early.
    """
    max_samples = int(options.batch_seconds * ears.encoder.config.sample_rate)
    steps: list[_Step[T]] = []
    samples = 0
    for source, taker in jobs:
        for what in _read(source, ears, options):
            steps.append(_Step(taker, what))
            samples += len(what.samples) if isinstance(what, Piece) else 0
            if samples >= WINDOW_BATCHES * max_samples:
                yield from _work(steps, ears, max_samples, on_progress)
                steps, samples = [], 0
    yield from _work(steps, ears, max_samples, on_progress)


def _read(source: Source, ears: Listener, options: HearOptions) -> Iterator[Piece | audio.AudioError | None]:
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
    steps: Sequence[_Step[T]], ears: Listener, max_samples: int, on_progress: Callable[[float], object]
) -> Iterator[tuple[T, audio.AudioError | None]]:
    """Runs the model on all pieces; gives the takers of recordings that end among the steps."""
    config = ears.encoder.config
    waveforms = [as_heard(step.what.samples, config) for step in steps if isinstance(step.what, Piece)]
    answers = iter(ears.hear(waveforms, max_samples))
    on_progress(sum(map(len, waveforms)) / config.sample_rate)
    for step in steps:
        if isinstance(step.what, Piece):
            step.taker.take(step.what, next(answers))
        else:
            yield step.taker, step.what


def _name(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return str(source)
    return str(getattr(source, "name", "audio stream"))
