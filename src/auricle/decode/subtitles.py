"""Splits timed words into subtitles that can be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from auricle.decode.transcript import Word
from auricle.errors import UserError

SENTENCE_ENDS = tuple(".!?…。！？")


@dataclass(frozen=True, slots=True)
class CueOptions:
    """What a subtitle may be.

    Attributes:
        max_chars: Of a line; a longer word has a line of its own.
        max_lines: Of a subtitle.
        max_seconds: It stays at most.
        min_seconds: It stays at least, where the next one leaves room for that.
        pause_seconds: A pause that ends it.
    """

    max_chars: int = 42
    max_lines: int = 2
    max_seconds: float = 7.0
    min_seconds: float = 1.0
    pause_seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.max_chars < 1 or self.max_lines < 1 or self.max_seconds <= 0:
            raise UserError("subtitles need room: at least 1 character, 1 line and more than 0 seconds")


_TICK_SECONDS = 0.001
"""What subtitles are timed in: in a vtt each has to end after its start, which an aligned word need not."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle: from when to when, in seconds, and its lines."""

    start: float
    end: float
    lines: tuple[str, ...]


def cues(words: Sequence[Word], options: CueOptions) -> list[Cue]:
    """The subtitles of words that stand in order of time."""
    groups = _groups(words, options)
    shown = []
    for group, following in zip_longest(groups, groups[1:]):
        start, end = group[0].start_seconds, group[-1].end_seconds
        free = following[0].start_seconds if following else float("inf")
        lines = _balanced([word.text for word in group], options)
        end = max(end, min(start + options.min_seconds, free), start + _TICK_SECONDS)
        shown.append(Cue(start, end, lines))
    return shown


def _groups(words: Sequence[Word], options: CueOptions) -> list[list[Word]]:
    groups: list[list[Word]] = []
    for word in words:
        if not groups or _ends_before(groups[-1], word, options):
            groups.append([])
        groups[-1].append(word)
    return groups


def _ends_before(group: Sequence[Word], word: Word, options: CueOptions) -> bool:
    """Whether a subtitle is complete when `word` comes."""
    if word.start_seconds - group[-1].end_seconds >= options.pause_seconds:
        return True
    if word.end_seconds - group[0].start_seconds > options.max_seconds:
        return True
    lines = _wrapped([*(member.text for member in group), word.text], options.max_chars)
    if len(lines) > options.max_lines:
        return True
    return len(lines) == options.max_lines and group[-1].text.endswith(SENTENCE_ENDS)


def _wrapped(words: Sequence[str], max_chars: int) -> list[str]:
    """Lines filled one after the other."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= max_chars:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _balanced(words: Sequence[str], options: CueOptions) -> tuple[str, ...]:
    """As few lines as it takes, of about the same length: the narrowest that are not more."""
    needed = len(_wrapped(words, options.max_chars))
    low, high = 1, options.max_chars
    while low < high:
        width = (low + high) // 2
        if len(_wrapped(words, width)) <= needed:
            high = width
        else:
            low = width + 1
    return tuple(_wrapped(words, high))
