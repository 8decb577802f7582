"""What was said and when: words and letters with times and scores, from frames of a model.

Frame i of a run of frames starts i hops after the run's first sample, and lasts for a hop: then the next one
starts. What it has looked at is longer, the receptive field from its start on (25 ms with the published
convolutions, whose hop is 20 ms).

Legend: N frames, V units.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from auricle.decode.confidence import word_probability
from auricle.decode.hypothesis import Alternative, Hypothesis, PostProcess, WordSpan
from auricle.decode.viterbi import BLANK
from auricle.dictionary import WORD_END, Dictionary
from auricle.models.config import Wav2Vec2Config
from auricle.models.conv import hop


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter, or another unit that the model writes, and when it is said.

    Attributes:
        text: The unit.
        start_seconds: Where its first frame starts.
        end_seconds: Where the frame after its last one starts.
        score: Mean probability of the unit in those frames, from 0 to 1.
    """

    text: str
    start_seconds: float
    end_seconds: float
    score: float


@dataclass(frozen=True, slots=True)
class Word:
    """A word and when it is said.

    Attributes:
        text: Its letters.
        start_seconds: Where the first frame of its first letter starts.
        end_seconds: Where the frame after the last one of its last letter starts.
        score: The probability that the model gives to its letters in its frames, from 0 to 1 (see
            `auricle.decode.confidence`). Where a decoder does not tell the letters, the mean probability of
            the frames.
        letters: Its units, where they are known.
    """

    text: str
    start_seconds: float
    end_seconds: float
    score: float
    letters: tuple[Letter, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch that was decoded by itself, and what may be said there.

    Attributes:
        start_seconds: Where it starts.
        end_seconds: Where it ends.
        nbest: The alternatives, the best first, which is what the transcript says.
    """

    start_seconds: float
    end_seconds: float
    nbest: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is said in one recording.

    Attributes:
        text: All of it.
        words: With their times; none where the model tells no times (sequence-to-sequence models).
        seconds: How long the recording is; 0 where nobody measured it.
        parts: With their alternatives, where these were asked for.
    """

    text: str
    words: list[Word]
    seconds: float = field(default=0.0, compare=False)
    parts: tuple[Part, ...] = ()


class Clock(NamedTuple):
    """From frames to seconds: `start` is the sample of frame 0, the others in samples and Hz."""

    start: int
    hop: int
    sample_rate: int

    def seconds(self, frame: int) -> float:
        """Where a frame starts."""
        return (self.start + frame * self.hop) / self.sample_rate


class _Run(NamedTuple):
    """A unit and its frames [start, end)."""

    unit: int
    start: int
    end: int


def transcript(hypothesis: Hypothesis, config: Wav2Vec2Config) -> Transcript:
    """Gives words their times: frame i starts at sample i times the stride of the convolutions."""
    clock = Clock(0, hop(config.conv_layers), config.sample_rate)
    return Transcript(hypothesis.text, timed_words(hypothesis, clock))


def timed_words(
    hypothesis: Hypothesis,
    clock: Clock,
    emissions: npt.NDArray[np.float32] | None = None,
    dictionary: Dictionary | None = None,
    post_process: PostProcess = "letter",
) -> list[Word]:
    """The words of a hypothesis.

    Args:
        hypothesis: Of N frames.
        clock: When those are.
        emissions: [N, V] natural-log probabilities; with a dictionary, words get their letters.
        dictionary: Of V units.
        post_process: How units became words.
    """
    words = [
        Word(text, clock.seconds(span.start), clock.seconds(span.end), span.score)
        for text, span in zip(hypothesis.words, hypothesis.spans, strict=True)
    ]
    if emissions is None or dictionary is None:
        return words
    runs = _units_of_words(hypothesis, emissions, dictionary, post_process)
    if len(runs) != len(words):  # a lexicon may write words otherwise than letter by letter
        return words
    return [
        replace(
            word,
            score=_probability(own, span, emissions),
            letters=tuple(_letter(run, clock, emissions, dictionary) for run in own),
        )
        for word, own, span in zip(words, runs, hypothesis.spans, strict=True)
    ]


def _units_of_words(
    hypothesis: Hypothesis,
    emissions: npt.NDArray[np.float32],
    dictionary: Dictionary,
    post_process: PostProcess,
) -> list[list[_Run]]:
    """The units of each word; each lasts while it is the best one of its frames."""
    best = emissions.argmax(axis=1)
    words: list[list[_Run]] = [[]]
    for unit, start in zip(hypothesis.tokens, hypothesis.timesteps, strict=True):
        if post_process == "none" or dictionary[unit] == WORD_END:
            words.append([])
        if unit == dictionary.eos_index or (post_process != "none" and dictionary[unit] == WORD_END):
            continue
        others = np.flatnonzero(best[start + 1 :] != unit)
        words[-1].append(_Run(unit, start, start + 1 + int(others[0]) if len(others) else len(best)))
    return [word for word in words if word]


def _probability(runs: Sequence[_Run], span: WordSpan, emissions: npt.NDArray[np.float32]) -> float:
    frames = emissions[span.start : span.end]
    units = [run.unit for run in runs]
    return word_probability(frames[:, BLANK], frames[:, units], units)


def _letter(run: _Run, clock: Clock, emissions: npt.NDArray[np.float32], dictionary: Dictionary) -> Letter:
    score = float(np.exp(emissions[run.start : run.end, run.unit]).mean())
    return Letter(dictionary[run.unit], clock.seconds(run.start), clock.seconds(run.end), score)
