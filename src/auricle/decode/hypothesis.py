"""What a decoder answers for one utterance, and how its units become words."""

from dataclasses import dataclass
from typing import Literal

from auricle.dictionary import WORD_END

PostProcess = Literal["letter", "wordpiece", "sentencepiece", "none"]
"""How units become words, in fairseq's words.

"letter" joins them and splits at `|`; "wordpiece" and "sentencepiece" join them and begin a word at each `_`
or `▁`; "none" lets each unit stand for a word.
"""

MARKS: dict[PostProcess, str] = {"letter": WORD_END, "wordpiece": "_", "sentencepiece": "\u2581"}
"""What stands between words once units are joined."""


@dataclass(frozen=True, slots=True)
class WordSpan:
    """Where a word stands among the frames [start, end), and the mean probability of those frames."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of several hypotheses, without its times; for its scores see `Hypothesis`."""

    text: str
    score: float
    acoustic_score: float
    lm_score: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One decoded utterance.

    Attributes:
        tokens: Dictionary indices of the units, repeats collapsed and blanks dropped.
        words: The words they spell.
        score: What the decoder ranks by: log-probability of the path and, where there is a language model,
            its weighted score and the other terms of the decoder's options.
        timesteps: The frame where each token begins.
        spans: One a word.
        acoustic_score: Log-probability of the path: the sum over frames of its natural-log probabilities.
        lm_score: What the language model gives the words, unweighted and in the model's own logarithm (n-gram
            models: base 10; neural ones: natural); 0 without one.
    """

    tokens: tuple[int, ...]
    words: tuple[str, ...]
    score: float
    timesteps: tuple[int, ...]
    spans: tuple[WordSpan, ...]
    acoustic_score: float = 0.0
    lm_score: float = 0.0

    @property
    def text(self) -> str:
        """The words, separated by single spaces."""
        return " ".join(self.words)

    @property
    def alternative(self) -> Alternative:
        """Its text and its scores."""
        return Alternative(self.text, self.score, self.acoustic_score, self.lm_score)


def units_to_words(units: str, post_process: PostProcess = "letter") -> str:
    """Spells "HE IT" for "H E | I T |"; `none` keeps units apart. Single spaces, none at the ends."""
    if post_process == "none":
        return " ".join(units.split())
    return " ".join("".join(units.split()).replace(MARKS[post_process], " ").split())
