"""N-gram models from text: interpolated modified Kneser-Ney smoothing (Chen and Goodman 1998, section 4.1.6).

Each position of the text has the row of the n-gram that ends there, order by order, so that counting is
sorting: n-grams are told apart by the row of their context and their last word. Everything is kept in memory,
some 100 bytes a word of text.

T words of text with the marks of its sentences, V words, n the order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from auricle.decode.ngram import BEGIN, END, UNKNOWN, NgramModel, Table
from auricle.errors import UserError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NEVER = -99.0
"""Log10-probability of `<s>`, which nothing can be followed by, as ARPA files write it."""

USUAL_DISCOUNTS = (0.5, 1.0, 1.5)
"""For texts too small or too regular to estimate them, as KenLM's `--discount_fallback`."""


@dataclass(frozen=True, slots=True)
class EstimationOptions:
    """How to estimate.

    Attributes:
        order: Of the longest n-grams.
        prune: For each order from 1, n-grams seen so often or less are left out; the last number counts for
            the orders after it, words themselves stay.
        vocabulary: The words to know; others count as `<unk>`. None: those of the text.
    """

    order: int = 3
    prune: tuple[int, ...] = (0,)
    vocabulary: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 10:
            raise UserError(f"an order of {self.order}: choose one from 1 to 10")
        if not self.prune or list(self.prune) != sorted(self.prune) or self.prune[0] != 0:
            raise UserError(
                f"pruning {' '.join(map(str, self.prune))}: give numbers that begin with 0 and do not fall"
            )


@dataclass(frozen=True, slots=True)
class _Counts:
    """The n-grams of one order, by row.

    Attributes:
        keys: Row of the context times V, plus the last word; ascending.
        raw: How often each stands in the text.
        adjusted: What Kneser-Ney counts: in how many ways it can be preceded, but for the longest and for
            those that begin with `<s>`.
    """

    keys: Ints
    raw: Ints
    adjusted: Ints


def estimate(sentences: Iterable[Sequence[str]], options: EstimationOptions | None = None) -> NgramModel:
    """Estimates a model.

    Args:
        sentences: Their words, marks left out.
        options: See there.

    Raises:
        UserError: There is no text, or a word of it is a mark.
    """
    options = options or EstimationOptions()
    words, text, begins = _numbered(sentences, options.vocabulary)
    counted = _count(text, begins, len(words), options.order)
    tables = [_unigrams(counted[0], len(words))]
    kept = np.arange(len(words))  # for each n-gram of the order below, its row once pruned
    for n, counts in enumerate(counted[1:], start=2):
        limit = options.prune[min(n, len(options.prune)) - 1]
        chosen = np.flatnonzero(counts.raw > limit)
        contexts, last = np.divmod(counts.keys, len(words))
        discounted = _discounted(counts, contexts, len(kept))
        if not len(chosen):
            break
        left = 1.0 - np.bincount(contexts[chosen], discounted[chosen], minlength=len(kept))
        _give_backoffs(tables, left[kept >= 0])
        keys = kept[contexts[chosen]] * len(words) + last[chosen]
        lower = lower_order(words, tables, torch.from_numpy(keys))
        probabilities = discounted[chosen] + left[contexts[chosen]] * lower
        tables.append(_table(keys, probabilities))
        kept = np.full(len(counts.keys), -1)
        kept[chosen] = np.arange(len(chosen))
    return NgramModel.build(words, tables)


def _numbered(
    sentences: Iterable[Sequence[str]], vocabulary: frozenset[str] | None
) -> tuple[list[str], Ints, npt.NDArray[np.bool_]]:
    """Words, the text [T] in their numbers, and where sentences begin, [T]."""
    words = [UNKNOWN, BEGIN, END, *sorted((vocabulary or frozenset()) - {UNKNOWN, BEGIN, END})]
    index = {word: number for number, word in enumerate(words)}
    begin, end = index[BEGIN], index[END]
    text: list[int] = []
    for sentence in sentences:
        if not sentence:
            continue
        text.append(begin)
        for word in sentence:
            if word in (BEGIN, END):
                raise UserError(f"the text holds {word}, which marks where sentences begin or end: remove it")
            number = index.get(word, 0) if vocabulary is not None else index.setdefault(word, len(index))
            text.append(number)
        text.append(end)
    if not text:
        raise UserError("there is no text to estimate a language model from")
    numbers = np.array(text, np.int64)
    return list(index), numbers, numbers == begin


def _count(text: Ints, begins: npt.NDArray[np.bool_], num_words: int, order: int) -> list[_Counts]:
    """The n-grams of each order, of which none reaches over the start of a sentence."""
    first = np.zeros(num_words, np.int64)
    first[text[::-1]] = np.arange(len(text))[::-1]
    raw = np.bincount(text, minlength=num_words)
    counted = [_Counts(np.arange(num_words), raw, raw)]
    rows = [text]  # for each order, of the n-gram that ends at each position; -1 where it would reach too far
    firsts = [first]  # for each order, a position of each n-gram
    for _ in range(1, order):
        before = np.concatenate([[-1], rows[-1][:-1]])
        fits = np.flatnonzero((before >= 0) & ~begins)
        keys, first, inverse, raw = np.unique(before[fits] * num_words + text[fits], True, True, True)
        rows.append(np.full(len(text), -1))
        rows[-1][fits] = inverse
        firsts.append(fits[first])
        counted.append(_Counts(keys, raw, raw))
    return _adjusted(counted, rows, firsts, begins)


def _adjusted(
    counted: Sequence[_Counts], rows: Sequence[Ints], firsts: Sequence[Ints], begins: npt.NDArray[np.bool_]
) -> list[_Counts]:
    """With the counts of Kneser and Ney."""
    result: list[_Counts] = []
    for n, counts in enumerate(counted, start=1):
        adjusted = counts.raw
        if n < len(counted):
            # each longer n-gram is one way to precede the n-gram that it ends with
            adjusted = np.bincount(rows[n - 1][firsts[n]], minlength=len(counts.keys))
            at_begin = begins[firsts[n - 1] - (n - 1)]
            adjusted = np.where(at_begin, counts.raw, adjusted)
        result.append(_Counts(counts.keys, counts.raw, adjusted))
    return result


def _discounts(adjusted: Ints) -> Floats:
    """What n-grams counted 0, 1, 2, and 3 times or more give away."""
    once, twice, thrice, four = (int((adjusted == count).sum()) for count in (1, 2, 3, 4))
    if once and twice and thrice:
        share = once / (once + 2 * twice)
        found = (
            1 - 2 * share * twice / once,
            2 - 3 * share * thrice / twice,
            3 - 4 * share * four / thrice,
        )
        if all(0 < discount <= count for count, discount in enumerate(found, start=1)):
            return np.array([0.0, *found])
    return np.array([0.0, *USUAL_DISCOUNTS])


def _discounted(counts: _Counts, contexts: Ints, num_contexts: int) -> Floats:
    """The share of its context's count that each n-gram keeps."""
    lowered = counts.adjusted - _discounts(counts.adjusted)[np.minimum(counts.adjusted, 3)]
    totals = np.bincount(contexts, counts.adjusted, minlength=num_contexts)
    return np.maximum(lowered, 0.0) / totals[contexts]


def _unigrams(counts: _Counts, num_words: int) -> Table:
    """All words; what they give away goes to all alike, `<unk>` among them, but not to `<s>`."""
    adjusted = counts.adjusted.copy()
    begin = 1  # the place of <s>, see `_numbered`
    adjusted[begin] = 0
    share = _discounted(_Counts(counts.keys, counts.raw, adjusted), np.zeros_like(adjusted), 1)
    probabilities = share + (1.0 - share.sum()) / (num_words - 1)
    probabilities[begin] = 0.0
    return _table(counts.keys, probabilities)


def _table(keys: Ints, probabilities: Floats) -> Table:
    return Table(torch.from_numpy(keys), _log10(probabilities), torch.zeros(len(keys)))


def _give_backoffs(tables: list[Table], left: npt.NDArray[np.floating]) -> None:
    """Gives the longest n-grams so far the shares that are left after them."""
    tables[-1] = Table(tables[-1].keys, tables[-1].log_probs, _log10(left))


def _log10(shares: npt.NDArray[np.floating]) -> torch.Tensor:
    with np.errstate(divide="ignore"):
        return torch.from_numpy(np.maximum(np.log10(shares), NEVER).astype(np.float32))


def lower_order(words: Sequence[str], tables: Sequence[Table], keys: torch.Tensor) -> Floats:
    """The probability of the last word of each n-gram after one word less, as the tables so far have it."""
    model = NgramModel.build(words, [*tables, Table(keys, *[torch.empty(0)] * 2)])
    ngrams = torch.from_numpy(model.ngrams(model.order))
    model = NgramModel.build(words, tables)
    states = torch.full((len(keys), max(1, model.order - 1)), -1)
    scores = torch.zeros(len(keys), dtype=torch.float64)
    for word in ngrams[:, 1:].T:
        scores, states = model.score(states, word)
    result: Floats = 10.0 ** scores.numpy()
    return result
