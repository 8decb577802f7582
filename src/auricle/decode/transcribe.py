"""From audio to text: what `auricle.transcribe` and the command of that name do."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from auricle import audio
from auricle.decode.cut import Piece
from auricle.decode.listen import Answer, Decoding, Recogniser, Recording, listener, suggested_post_process
from auricle.decode.pipeline import HearOptions, Source, hear_each
from auricle.decode.transcript import Letter, Transcript, Word, transcript

__all__ = [
    "Letter",
    "Recogniser",
    "TranscribeOptions",
    "Transcript",
    "Unreadable",
    "Word",
    "suggested_post_process",
    "transcribe",
    "transcribe_each",
    "transcript",
]


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
        hearing: How recordings go through the model: batches, pieces, segments.
        decoding: How what is heard becomes text.
    """

    hearing: HearOptions = field(default_factory=HearOptions)
    decoding: Decoding = field(default_factory=Decoding)


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
class _Scribe:
    """Collects what is said in one recording."""

    recording: Recording
    sample_rate: int
    parts: list[Transcript] = field(default_factory=list)
    seconds: float = 0.0

    def take(self, piece: Piece, answer: Answer) -> None:
        self.parts += self.recording.add(piece, answer)
        self.seconds = (piece.start + len(piece.samples)) / self.sample_rate

    def result(self) -> Transcript:
        text = " ".join(part.text for part in self.parts if part.text)
        words = [word for part in self.parts for word in part.words]
        return Transcript(text, words, self.seconds, tuple(one for part in self.parts for one in part.parts))


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
    ears = listener(recogniser, options.decoding)
    rate = ears.encoder.config.sample_rate
    jobs = ((source, _Scribe(ears.recording(), rate)) for source in sources)
    for scribe, error in hear_each(jobs, ears, options.hearing, on_progress):
        yield scribe.result() if error is None else Unreadable(error, scribe.result())
