"""Which weight of the language model and which word score give the fewest errors.

A search for every pair of weights would take hours. Instead the n-best lists of the searches so far are
ranked anew for each pair (Och 2003): that takes no search. Where the lists say the best pair is, the next
search is done, which adds what they lacked.

U utterances, H hypotheses, G pairs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from auricle.decode.hypothesis import Hypothesis

LM_WEIGHTS = (0.0, 5.0)
WORD_SCORES = (-4.0, 4.0)
STEPS = 41
"""Of each range; neighbours are smoothed over, as a single pair may be good by chance."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A pair."""

    lm_weight: float
    word_score: float


@dataclass(frozen=True, slots=True)
class Round:
    """One search: its weights and the errors it made, percent of words."""

    weights: Weights
    wer: float


@dataclass(frozen=True, slots=True)
class _Known:
    """A hypothesis without what the weights make of it."""

    rest: float
    lm_score: float
    num_words: int
    edits: int


Search = Callable[[Weights], list[list[Hypothesis]]]
CountEdits = Callable[[int, Sequence[str]], int]


def tune(
    search: Search,
    count_edits: CountEdits,
    num_words: int,
    *,
    start: Weights,
    rounds: int = 6,
    lm_weights: tuple[float, float] = LM_WEIGHTS,
    word_scores: tuple[float, float] = WORD_SCORES,
    told: Callable[[Round], object] | None = None,
) -> list[Round]:
    """Searches and ranks in turn, until the best pair has been searched with.

    Args:
        search: Gives the n-best lists of all utterances for a pair.
        count_edits: Errors of the words of a hypothesis, given the number of its utterance.
        num_words: Of all references.
        start: The first pair.
        rounds: Searches at most.
        lm_weights: The range to look in.
        word_scores: The same.
        told: Told of each round.

    Returns:
        The rounds; the best is that of the lowest `wer`.
    """
    grid = [
        Weights(float(lm), float(word))
        for lm in np.linspace(*lm_weights, STEPS)
        for word in np.linspace(*word_scores, STEPS)
    ]
    lists: list[dict[tuple[str, ...], _Known]] = []
    done: dict[Weights, Round] = {}
    weights = start
    while weights not in done and len(done) < rounds:
        found = search(weights)
        lists = lists or [{} for _ in found]
        errors = 0
        for number, (known, hypotheses) in enumerate(zip(lists, found, strict=True)):
            _learn(known, hypotheses, weights, partial(count_edits, number))
            errors += known[hypotheses[0].words].edits
        done[weights] = Round(weights, 100.0 * errors / max(num_words, 1))
        if told is not None:
            told(done[weights])
        weights = _best_pair(lists, grid)
    return list(done.values())


def _learn(
    known: dict[tuple[str, ...], _Known],
    hypotheses: Sequence[Hypothesis],
    weights: Weights,
    count_edits: Callable[[Sequence[str]], int],
) -> None:
    """Adds hypotheses to those of an utterance; of equal words the better path stays."""
    for one in hypotheses:
        rest = one.score - weights.lm_weight * one.lm_score - weights.word_score * len(one.words)
        before = known.get(one.words)
        if before is None or rest > before.rest:
            edits = count_edits(one.words) if before is None else before.edits
            known[one.words] = _Known(rest, one.lm_score, len(one.words), edits)


def _best_pair(lists: Sequence[dict[tuple[str, ...], _Known]], grid: Sequence[Weights]) -> Weights:
    """The pair around which ranking the lists anew makes the fewest errors."""
    most = max(len(known) for known in lists)
    shape = (len(lists), most)
    rest, lm, words = np.full(shape, -np.inf), np.zeros(shape), np.zeros(shape)
    edits = np.zeros(shape, np.int64)
    for row, known in enumerate(lists):
        columns = list(
            zip(*((k.rest, k.lm_score, k.num_words, k.edits) for k in known.values()), strict=True)
        )
        for table, column in zip((rest, lm, words, edits), columns, strict=True):
            table[row, : len(column)] = column
    rows = np.arange(len(lists))
    errors = np.array(
        [
            edits[rows, (rest + pair.lm_weight * lm + pair.word_score * words).argmax(1)].sum()
            for pair in grid
        ],
        np.float64,
    )
    return grid[int(_smoothed(errors.reshape(STEPS, STEPS)).argmin())]


def _smoothed(errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean of each place and its neighbours."""
    padded = np.pad(errors, 1, mode="edge")
    shifts = [padded[i : i + errors.shape[0], j : j + errors.shape[1]] for i in range(3) for j in range(3)]
    result: npt.NDArray[np.float64] = np.mean(shifts, axis=0)
    return result
