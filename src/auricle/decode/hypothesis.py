"""What a decoder answers for one utterance, and how its units become words."""

from dataclasses import dataclass
from typing import Literal

from auricle.dictionary import letters_to_words

PostProcess = Literal["letter", "none"]
"""How units become words: "letter" joins them and splits at `|`, "none" lets each unit stand for a word."""


@dataclass(frozen=True, slots=True)
class WordSpan:
    """Where a word stands among the frames [start, end), and the mean probability of those frames."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One decoded utterance.

    Attributes:
        tokens: Dictionary indices of the units, repeats collapsed and blanks dropped.
        words: The words they spell.
        score: Log-probability of the path: the sum over frames of its natural-log probabilities.
        timesteps: The frame where each token begins.
        spans: One a word.
    """

    tokens: tuple[int, ...]
    words: tuple[str, ...]
    score: float
    timesteps: tuple[int, ...]
    spans: tuple[WordSpan, ...]

    @property
    def text(self) -> str:
        """The words, separated by single spaces."""
        return " ".join(self.words)


def units_to_words(units: str, post_process: PostProcess = "letter") -> str:
    """Spells "HE IT" for "H E | I T |"; `none` keeps units apart. Single spaces, none at the ends."""
    text = letters_to_words(units) if post_process == "letter" else units
    return " ".join(text.split())
