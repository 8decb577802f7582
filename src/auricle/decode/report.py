"""Error rates of a set of hypotheses, and the files an evaluation leaves behind."""

from collections.abc import Sequence
from dataclasses import dataclass

from auricle.decode.hypothesis import PostProcess, units_to_words


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Edits (substitutions, deletions, insertions) and what they are counted against; add them up freely.

    Attributes:
        word_edits, num_words: Over words.
        char_edits, num_chars: Over the characters of the words' text, the spaces between them included.
        unit_edits, num_units: Over the dictionary's units (letters with `|`, or phonemes), as fairseq's
            criterion counts its `uer`.
        num_utterances: How many references.
    """

    word_edits: int = 0
    num_words: int = 0
    char_edits: int = 0
    num_chars: int = 0
    unit_edits: int = 0
    num_units: int = 0
    num_utterances: int = 0

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def wer(self) -> float:
        """Word error rate, percent."""
        return _percent(self.word_edits, self.num_words)

    @property
    def cer(self) -> float:
        """Character error rate, percent."""
        return _percent(self.char_edits, self.num_chars)

    @property
    def uer(self) -> float:
        """Unit error rate, percent."""
        return _percent(self.unit_edits, self.num_units)


def _percent(edits: int, total: int) -> float:
    """A finite rate also where every reference is empty: each insertion then counts 100 %."""
    return 100.0 * edits / max(total, 1)


def count_errors(
    references: Sequence[str], hypotheses: Sequence[str], *, post_process: PostProcess = "letter"
) -> ErrorCounts:
    """Counts the errors of a batch of hypotheses.

    Args:
        references: One string of units an utterance, separated by spaces ("H E | I T |").
        hypotheses: The same, in the same order (`Dictionary.decode` of a hypothesis' tokens).
        post_process: How units become words.

    Returns:
        Sums over the batch. Units are compared as they stand, words after `post_process`.

    Raises:
        ValueError: The two lists differ in length.
    """
    import jiwer

    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references for {len(hypotheses)} hypotheses")
    if not references:
        return ErrorCounts()
    said = [units_to_words(units, post_process) for units in references]
    heard = [units_to_words(units, post_process) for units in hypotheses]
    words = jiwer.process_words(said, heard)
    chars = jiwer.process_characters(said, heard)
    units = jiwer.process_words(list(references), list(hypotheses))
    return ErrorCounts(
        word_edits=words.substitutions + words.deletions + words.insertions,
        num_words=words.hits + words.substitutions + words.deletions,
        char_edits=chars.substitutions + chars.deletions + chars.insertions,
        num_chars=chars.hits + chars.substitutions + chars.deletions,
        unit_edits=units.substitutions + units.deletions + units.insertions,
        num_units=units.hits + units.substitutions + units.deletions,
        num_utterances=len(references),
    )
