"""Several corpora in one epoch, by weights: small ones are heard more than once, large ones in part.

As in fairseq's `MultiCorpusDataset`: an epoch has as many utterances as all corpora together, of which each
corpus gives its share; it gives all of its utterances equally often, as far as that goes, and the rest is
drawn anew each epoch. Here every copy of an utterance has a number of its own, so that its masks and crops
are its own as well, and the choice depends on (seed, epoch) alone: a run that is taken up again makes the
same one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np
from numpy.typing import NDArray

from auricle.errors import UserError

_MIXING = 2  # keeps these draws apart from crops (1) and masks


@dataclass(frozen=True)
class Mixture:
    """Which utterances of a list are copies of which corpus.

    Attributes:
        rates: How often each corpus is heard in an epoch; 1.5 is all of it once, and half of it again.
        corpora: [U] int64, the corpus of each utterance.
        copies: [U] int64, which copy it is, from 0.
    """

    rates: tuple[float, ...]
    corpora: NDArray[np.int64]
    copies: NDArray[np.int64]

    def in_epoch(self, seed: int, epoch: int) -> NDArray[np.bool_]:
        """Which utterances an epoch consists of, bool [U]."""
        chosen = np.zeros(len(self.corpora), dtype=np.bool_)
        for corpus, rate in enumerate(self.rates):
            whole = int(rate)
            mine = self.corpora == corpus
            chosen |= mine & (self.copies < whole)
            partly = np.flatnonzero(mine & (self.copies == whole))
            rng = np.random.default_rng((seed, epoch, corpus, _MIXING))
            chosen[rng.permutation(partly)[: round((rate - whole) * len(partly))]] = True
        return chosen


def mixture(counts: Sequence[int], weights: Sequence[float]) -> tuple[Mixture, NDArray[np.int64]]:
    """Lays out the copies that any epoch may need.

    Args:
        counts: Utterances of each corpus.
        weights: Share of each in an epoch; they need not add up to 1.

    Returns:
        The mixture, and for each of its utterances the number of the one it is a copy of, in the list of all
        corpora one after the other.

    Raises:
        UserError: A weight is negative, all are 0, or a corpus with a weight is empty.
    """
    if not all(isfinite(weight) and weight >= 0 for weight in weights) or not sum(weights) > 0:
        listed = ", ".join(f"{weight:g}" for weight in weights)
        raise UserError(f"task.multi_corpus_sampling_weights={listed}: give one share a corpus, 0 or more")
    total = sum(count for count, weight in zip(counts, weights, strict=True) if weight > 0)
    rates, corpora, copies, numbers = [], [], [], []
    start = 0
    for corpus, (count, weight) in enumerate(zip(counts, weights, strict=True)):
        if weight > 0 and count == 0:
            raise UserError("a corpus with a sampling weight has no utterance: check its manifest")
        rate = weight / sum(weights) * total / max(count, 1)
        rates.append(rate)
        for copy in range(ceil(rate)):
            corpora.append(np.full(count, corpus))
            copies.append(np.full(count, copy))
            numbers.append(np.arange(start, start + count))
        start += count
    return Mixture(tuple(rates), np.concatenate(corpora), np.concatenate(copies)), np.concatenate(numbers)
