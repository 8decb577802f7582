"""When each word of a known text is said in a recording of any length.

The text's units are looked for in the model's emissions (`auricle.decode.trellis`). Of those only what the
text can use is kept, a few columns a frame; where something unknown may be said, one more column stands for
anything: its score is that of the frame's best unit less a penalty, so that it wins where the text explains
nothing.

Legend: N frames, U columns, V units.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auricle.decode.confidence import word_probability
from auricle.decode.cut import Piece
from auricle.decode.emissions import check_recogniser
from auricle.decode.hypothesis import PostProcess
from auricle.decode.listen import Answer, CTCListener, Recogniser
from auricle.decode.pipeline import HearOptions, Source, hear_each
from auricle.decode.spelling import Spelling, UnknownPlaces, spell
from auricle.decode.stitch import Stitcher
from auricle.decode.transcript import Letter, Transcript, Word
from auricle.decode.trellis import WIDTH, DoesNotFitError, Trellis, best_path
from auricle.decode.viterbi import BLANK
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.models.conv import hop

Floats = npt.NDArray[np.float32]

SHORTEST_STRETCH_SECONDS = 0.1
"""Of something unknown between words; shorter ones are coughs of the model."""

PAUSE_SECONDS = 0.5
"""What ends something unknown: between the letters of words there are gaps as well."""


@dataclass(frozen=True, slots=True)
class AlignOptions:
    """How to align.

    Attributes:
        hearing: How recordings go through the model.
        unknown: Where something may be said that is not in the text.
        unknown_penalty: Of a frame of that, in nats below the frame's best unit.
        skip_unknown: Leave out symbols that the dictionary lacks.
        width: States of the trellis that are computed a frame, at first.
    """

    hearing: HearOptions = field(default_factory=HearOptions)
    unknown: UnknownPlaces = "marked"
    unknown_penalty: float = 0.5
    skip_unknown: bool = False
    width: int = WIDTH


@dataclass(frozen=True, slots=True)
class Alignment:
    """A text and when it is said.

    Attributes:
        transcript: The words of the text, all of them, in order. A word that could not be spelled has score
            0, and the time of what is unknown at its place, if any.
        score: Mean natural-log probability of a frame on the path; far below that of other recordings where
            the text is another.
        unknown: Where something else is said, start and end in seconds.
    """

    transcript: Transcript
    score: float
    unknown: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Unaligned:
    """Stands in the place of a recording that could not be aligned with its text."""

    error: UserError


@dataclass(frozen=True, slots=True)
class Track:
    """What a model heard of a recording, as far as a text needs it.

    Attributes:
        emissions: [N, U] float32: natural-log probabilities of the units asked for, then of the best unit.
        starts: int64 [N], the sample at which each frame starts.
        hop: Samples that a frame lasts.
        sample_rate: In Hz.
        seconds: Of the recording.
    """

    emissions: Floats
    starts: npt.NDArray[np.int64]
    hop: int
    sample_rate: int
    seconds: float

    def start_seconds(self, frame: int) -> float:
        """Where a frame starts."""
        return float(self.starts[frame] / self.sample_rate)

    def end_seconds(self, frame: int) -> float:
        """Where a frame ends."""
        return float((self.starts[frame] + self.hop) / self.sample_rate)


def align(
    source: Source, text: str, recogniser: Recogniser, options: AlignOptions | None = None
) -> Alignment:
    """Aligns one recording with its text.

    Args:
        source: See `auricle.transcribe`.
        text: What is said; line breaks count where `unknown` is "lines".
        recogniser: What `auricle.load` gave, fine-tuned with CTC.
        options: How.

    Raises:
        UserError: It cannot be read or is shorter than its text needs, the text holds symbols that the
            dictionary lacks, or the model is no CTC recogniser.
    """
    (result,) = align_each([(source, text.split("\n"), "text")], recogniser, options)
    if isinstance(result, Unaligned):
        raise result.error
    return result


def align_each(
    items: Iterable[tuple[Source, Sequence[str], str]],
    recogniser: Recogniser,
    options: AlignOptions | None = None,
    on_progress: Callable[[float], object] = lambda seconds: None,
) -> Iterator[Alignment | Unaligned]:
    """Aligns recordings with their texts; one that cannot be aligned stops nothing.

    Args:
        items: Each recording, the lines of its text and what the text is called in messages.
        recogniser: What `auricle.load` gave, fine-tuned with CTC.
        options: How.
        on_progress: Called with the seconds of audio that went through the model since the last call.

    Yields:
        One result an item, in order.

    Raises:
        UserError: A text holds symbols that the dictionary lacks, or the model is no CTC recogniser.
    """
    options = options or AlignOptions()
    model, dictionary = check_recogniser(recogniser.model, recogniser.dictionary)
    ears = CTCListener(model, dictionary)

    def job(item: tuple[Source, Sequence[str], str]) -> tuple[Source, "_Aligner"]:
        source, lines, name = item
        spelling = _spelled(lines, name, dictionary, ears.post_process, options)
        return source, _Aligner(spelling, ears, name, options)

    for aligner, error in hear_each(map(job, items), ears, options.hearing, on_progress):
        yield Unaligned(error) if error is not None else aligner.result()


def _spelled(
    lines: Sequence[str], name: str, dictionary: Dictionary, how: PostProcess, options: AlignOptions
) -> Spelling:
    return spell(
        lines,
        dictionary,
        post_process=how,
        unknown=options.unknown,
        skip_unknown=options.skip_unknown,
        name=name,
    )


class _Aligner:
    """Collects what a text needs of a recording, and aligns at the end."""

    def __init__(self, spelling: Spelling, ears: CTCListener, name: str, options: AlignOptions) -> None:
        config = ears.model.config.encoder
        self._spelling, self._dictionary = spelling, ears.dictionary
        self._name, self._options = name, options
        self._hop, self._rate = hop(config.conv_layers), config.sample_rate
        self._stitcher = Stitcher(ears.dictionary, self._hop)
        self._columns = [BLANK, *sorted(set(spelling.units) - {BLANK})]
        self._parts: list[Tensor] = []
        self._starts: list[npt.NDArray[np.int64]] = []
        self._end = 0

    def take(self, piece: Piece, answer: Answer) -> None:
        """See `Taker`."""
        assert isinstance(answer, Tensor)
        for run in self._stitcher.add(piece, answer):
            best = run.log_probs.amax(dim=1, keepdim=True)
            self._parts.append(torch.cat([run.log_probs[:, self._columns], best], dim=1))
            self._starts.append(run.start + self._hop * np.arange(len(best)))
        self._end = piece.start + len(piece.samples)

    def result(self) -> Alignment | Unaligned:
        """What came of it."""
        width = len(self._columns) + 1
        track = Track(
            torch.cat([torch.zeros(0, width), *self._parts]).numpy(),
            np.concatenate([np.zeros(0, dtype=np.int64), *self._starts]),
            self._hop,
            self._rate,
            self._end / self._rate,
        )
        try:
            return aligned(track, self._columns, self._spelling, self._dictionary, self._options)
        except DoesNotFitError:
            return Unaligned(
                UserError(
                    f"{self._name}: the recording has {len(track.emissions)} frames, fewer than the "
                    f"{len(self._spelling.units)} letters of the text need: is it the right text?"
                )
            )


def aligned(
    track: Track, columns: Sequence[int], spelling: Spelling, dictionary: Dictionary, options: AlignOptions
) -> Alignment:
    """Finds a text in what was heard.

    Args:
        track: Of the recording.
        columns: The units that the track's columns but the last stand for; the blank is the first.
        spelling: The text.
        dictionary: Of the units.
        options: How.

    Raises:
        DoesNotFitError: There are too few frames.
    """
    emissions = track.emissions.copy()
    # Where anything may be said, a gap's score is the better one of silence and of something unknown.
    anything = emissions[:, -1] - options.unknown_penalty
    emissions[:, -1] = np.maximum(anything, emissions[:, 0])
    states = _states(columns, spelling, emissions.shape[1] - 1)
    path = best_path(Trellis(emissions, *states), options.width)
    scores = emissions[np.arange(len(path)), states[0][path]]
    is_open = np.zeros(len(states[0]), dtype=bool)
    is_open[[2 * gap for gap in spelling.open_gaps]] = True
    unknown = is_open[path] & (anything > track.emissions[:, 0])
    writer = _Words(track, path, states[0], unknown, dictionary, spelling)
    return Alignment(
        Transcript(" ".join(word.text for word in spelling.words), writer.words(), track.seconds),
        float(scores.mean()) if len(scores) else 0.0,
        tuple(writer.stretches()),
    )


def _states(
    columns: Sequence[int], spelling: Spelling, anything: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The column of each state and whether a gap before it may be left out; see `Trellis`."""
    units = np.array(spelling.units, dtype=np.int64)
    place = {unit: column for column, unit in enumerate(columns)}
    states = np.zeros(2 * len(units) + 1, dtype=np.int64)
    states[1::2] = [place[unit] for unit in spelling.units]
    states[[2 * gap for gap in spelling.open_gaps]] = anything
    may_skip = np.zeros(len(states), dtype=bool)
    may_skip[3::2] = units[1:] != units[:-1]
    return states, may_skip


class _Words:
    """Reads words and their times off a path."""

    def __init__(
        self,
        track: Track,
        path: npt.NDArray[np.int64],
        columns: npt.NDArray[np.int64],
        unknown: npt.NDArray[np.bool_],
        dictionary: Dictionary,
        spelling: Spelling,
    ) -> None:
        self._track, self._path, self._columns = track, path, columns
        self._unknown, self._dictionary, self._spelling = unknown, dictionary, spelling

    def words(self) -> list[Word]:
        """All words of the text."""
        words: list[Word] = []
        at = 0.0
        for spelled in self._spelling.words:
            if spelled.end > spelled.first:
                word = self._word(spelled.text, spelled.first, spelled.end)
            else:
                word = self._unspelled(spelled.text, spelled.first, at)
            words.append(word)
            at = word.end_seconds
        return words

    def _word(self, text: str, first: int, end: int) -> Word:
        letters = []
        for unit in range(first, end):
            start, stop = self._frames(2 * unit + 1)
            symbol = self._dictionary[self._spelling.units[unit]]
            log_probs = self._track.emissions[start:stop, self._columns[2 * unit + 1]]
            letters.append(Letter(symbol, *self._span(start, stop), float(np.exp(log_probs).mean())))
        start, stop = self._frames(2 * first + 1)[0], self._frames(2 * end - 1)[1]
        return Word(text, *self._span(start, stop), self._sureness(first, end, start, stop), tuple(letters))

    def _sureness(self, first: int, end: int, start: int, stop: int) -> float:
        """See `auricle.decode.confidence`."""
        units = self._spelling.units[first:end]
        frames = self._track.emissions[start:stop]
        columns = self._columns[2 * first + 1 : 2 * end : 2]
        return word_probability(frames[:, 0], frames[:, columns], units)

    def _unspelled(self, text: str, gap: int, at: float) -> Word:
        """A word that stands for anything has the frames of its gap that are unknown, or none."""
        start, stop = self._frames(2 * gap)
        frames = np.flatnonzero(self._unknown[start:stop]) + start
        if not len(frames):
            return Word(text, at, at, 0.0)
        start_seconds, end_seconds = self._span(int(frames[0]), int(frames[-1]) + 1)
        return Word(text, max(start_seconds, at), max(end_seconds, at), 0.0)

    def stretches(self) -> Iterator[tuple[float, float]]:
        """Where something unknown is said: from pause to pause, short ones left out."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self._unknown, [False]]).astype(np.int8)))
        merged: list[tuple[float, float, int]] = []
        for start, stop in edges.reshape(-1, 2).tolist():
            start_seconds, end_seconds = self._span(start, stop)
            gap = int(self._path[start])
            if merged and merged[-1][2] == gap and start_seconds - merged[-1][1] < PAUSE_SECONDS:
                start_seconds = merged.pop()[0]
            merged.append((start_seconds, end_seconds, gap))
        for start_seconds, end_seconds, _ in merged:
            if end_seconds - start_seconds >= SHORTEST_STRETCH_SECONDS:
                yield start_seconds, end_seconds

    def _frames(self, state: int) -> tuple[int, int]:
        """The frames [start, end) of a state."""
        start, end = np.searchsorted(self._path, [state, state + 1])
        return int(start), int(end)

    def _span(self, start: int, stop: int) -> tuple[float, float]:
        return self._track.start_seconds(start), self._track.end_seconds(stop - 1)
