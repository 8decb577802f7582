"""From audio to text: what `auricle.transcribe` and the command of that name do."""

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from torch import Tensor, nn

from auricle import audio
from auricle.decode.emissions import check_recogniser, emit, length_batches, pad
from auricle.decode.hypothesis import Hypothesis, PostProcess
from auricle.decode.viterbi import viterbi
from auricle.dictionary import WORD_END, Dictionary
from auricle.models.config import Wav2Vec2Config
from auricle.models.conv import hop
from auricle.models.ctc import Wav2Vec2CTC

Source = str | os.PathLike[str] | BinaryIO

WINDOW_BATCHES = 4
"""Clips are sorted by length within so many batches: little padding, and memory that stays bounded."""

logger = logging.getLogger(__name__)


class Recogniser(Protocol):
    """What `auricle.load` gives, as far as this module looks at it."""

    @property
    def model(self) -> nn.Module:
        """A `Wav2Vec2CTC`."""

    @property
    def dictionary(self) -> Dictionary | None:
        """Of the symbols that the model writes."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word and when it is said.

    Attributes:
        text: Its letters.
        start_seconds: Where the first frame of its first letter starts.
        end_seconds: Where the frame after the last one of its last letter starts.
        score: Mean probability of its frames, from 0 to 1.
    """

    text: str
    start_seconds: float
    end_seconds: float
    score: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is said in one clip."""

    text: str
    words: list[Word]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in the place of a clip that could not be read."""

    error: audio.AudioError


def transcribe(
    sources: Iterable[Source],
    recogniser: Recogniser,
    *,
    batch_seconds: float = 60.0,
    post_process: PostProcess | None = None,
) -> list[Transcript]:
    """Transcribes all clips, or raises.

    Args:
        sources: Paths, `archive.zip:offset:length` slices, binary streams.
        recogniser: What `auricle.load` gave.
        batch_seconds: Audio that goes through the model at a time, padding included.
        post_process: How units become words; None for what the dictionary suggests.

    Returns:
        One transcript a source, in order.

    Raises:
        AudioError: A clip cannot be read.
        UserError: The recogniser is none, or damaged.
    """
    transcripts = []
    for result in transcribe_each(
        sources, recogniser, batch_seconds=batch_seconds, post_process=post_process
    ):
        if isinstance(result, Unreadable):
            raise result.error
        transcripts.append(result)
    return transcripts


def transcribe_each(
    sources: Iterable[Source],
    recogniser: Recogniser,
    *,
    batch_seconds: float = 60.0,
    post_process: PostProcess | None = None,
) -> Iterator[Transcript | Unreadable]:
    """Transcribes clips as they come, one result a source, in order; an unreadable clip stops nothing."""
    model, dictionary = check_recogniser(recogniser.model, recogniser.dictionary)
    if post_process is None:
        post_process = suggested_post_process(dictionary)
    max_samples = int(batch_seconds * model.config.sample_rate)
    window: list[Tensor | Unreadable] = []
    samples = 0
    for source in sources:
        clip = _read(source, model)
        window.append(clip)
        samples += len(clip) if isinstance(clip, Tensor) else 0
        if samples >= WINDOW_BATCHES * max_samples:
            yield from _transcribe_window(window, model, dictionary, max_samples, post_process)
            window, samples = [], 0
    yield from _transcribe_window(window, model, dictionary, max_samples, post_process)


def suggested_post_process(dictionary: Dictionary) -> PostProcess:
    """How units become words: a dictionary without `|` holds phonemes or whole words, which stay apart."""
    return "letter" if WORD_END in dictionary else "none"


def _read(source: Source, model: Wav2Vec2CTC) -> Tensor | Unreadable:
    """Samples [T] float32 as the model wants them."""
    config = model.config
    try:
        samples = audio.read(source, sample_rate=config.sample_rate).samples
    except audio.AudioError as error:
        return Unreadable(error)
    if model.encoder.num_frames(len(samples)) == 0:
        logger.warning(
            "%s: %d samples are too short for a single frame: the transcript is empty",
            _name(source),
            len(samples),
        )
    return audio.normalize(samples) if config.normalize else samples


def _transcribe_window(
    window: list[Tensor | Unreadable],
    model: Wav2Vec2CTC,
    dictionary: Dictionary,
    max_samples: int,
    post_process: PostProcess,
) -> Iterator[Transcript | Unreadable]:
    results: list[Transcript | Unreadable | None] = [x if isinstance(x, Unreadable) else None for x in window]
    clips = [(position, clip) for position, clip in enumerate(window) if isinstance(clip, Tensor)]
    for batch in length_batches([len(clip) for _, clip in clips], max_samples):
        emissions = emit(model, *pad([clips[i][1] for i in batch]))
        hypotheses = viterbi(emissions.log_probs, emissions.lengths, dictionary, post_process=post_process)
        for i, hypothesis in zip(batch, hypotheses, strict=True):
            results[clips[i][0]] = transcript(hypothesis, model.config.encoder)
    yield from (result for result in results if result is not None)


def transcript(hypothesis: Hypothesis, config: Wav2Vec2Config) -> Transcript:
    """Gives words their times: frame i starts at sample i times the stride of the convolutions."""
    stride, rate = hop(config.conv_layers), config.sample_rate
    words = [
        Word(text, span.start * stride / rate, span.end * stride / rate, span.score)
        for text, span in zip(hypothesis.words, hypothesis.spans, strict=True)
    ]
    return Transcript(hypothesis.text, words)


def _name(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return str(source)
    return str(getattr(source, "name", "audio stream"))
