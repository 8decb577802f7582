"""What the errors of an evaluation are, how sure their rate is, and whose they are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.decode.report import AlignedWord

SAMPLES = 2000
CONFUSIONS = 20
"""How many are listed."""


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Counts of an alignment's steps; add them up freely."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    num_words: int = 0

    @property
    def edits(self) -> int:
        """All of them."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float:
        """Word error rate, percent."""
        return 100.0 * self.edits / max(self.num_words, 1)

    def __add__(self, other: "WordErrors") -> "WordErrors":
        return WordErrors(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.num_words + other.num_words,
        )


def word_errors(alignment: Sequence[AlignedWord]) -> WordErrors:
    """The errors of one utterance."""
    kinds = Counter(step.kind for step in alignment)
    return WordErrors(kinds["substitute"], kinds["delete"], kinds["insert"], len(alignment) - kinds["insert"])


def bootstrap_interval(
    errors: Sequence[WordErrors], groups: Sequence[str] | None = None, *, seed: int = 1
) -> tuple[float, float]:
    """Where the word error rate lies with 95 % confidence, percent.

    Utterances are drawn again with replacement (Bisani and Ney 2004); with `groups`, all utterances of a
    speaker together, as errors of one speaker go together.

    Args:
        errors: One an utterance.
        groups: The speaker of each; None, or one for all: each utterance for itself.
        seed: Of the draws.
    """
    apart = [str(number) for number in range(len(errors))]
    names = groups if groups is not None and len(set(groups)) > 1 else apart
    sums: dict[str, WordErrors] = {}
    for name, own in zip(names, errors, strict=True):
        sums[name] = sums.get(name, WordErrors()) + own
    if not sums:
        return 0.0, 0.0
    counts = np.array([(own.edits, own.num_words) for own in sums.values()], np.float64)
    rng = np.random.default_rng(seed)
    rates = []
    for _ in range(SAMPLES):
        edits, words = counts[rng.integers(len(counts), size=len(counts))].sum(axis=0)
        rates.append(100.0 * edits / max(words, 1.0))
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(low), float(high)


def confusions(alignments: Sequence[Sequence[AlignedWord]]) -> list[tuple[str, str, int]]:
    """The most frequent errors: word said, word heard ("" for none), how often."""
    counts = Counter(
        (step.reference, step.hypothesis)
        for alignment in alignments
        for step in alignment
        if step.kind != "equal"
    )
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(said, heard, count) for (said, heard), count in ranked[:CONFUSIONS]]


def by_speaker(errors: Sequence[WordErrors], speakers: Sequence[str]) -> dict[str, WordErrors]:
    """The errors of each speaker, in the order of their names."""
    sums: dict[str, WordErrors] = {}
    for name, own in zip(speakers, errors, strict=True):
        sums[name] = sums.get(name, WordErrors()) + own
    return dict(sorted(sums.items()))
