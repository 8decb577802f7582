"""Makes n-gram models small by what their n-grams are worth (Stolcke 1998, "Entropy-based pruning").

An n-gram is left out where the model without it, its context's back-off adjusted, differs from the model by
little: the relative entropy of the two, weighed by how likely the context is. Decisions are made for each
n-gram by itself, from the longest down; one that a longer one begins with stays.

C contexts, n-grams [M] of an order.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from auricle.decode.estimate import lower_order
from auricle.decode.ngram import BEGIN, END, NgramModel, Table
from auricle.errors import UserError

Floats = npt.NDArray[np.float64]

LEAST = 1e-12
"""No mass is taken to be less: what rounding leaves of none."""


def prune(model: NgramModel, threshold: float) -> NgramModel:
    """Leaves out what changes the model's perplexity by less than a share.

    Args:
        model: Of any order; single words all stay.
        threshold: The share, as SRILM's `-prune`: 1e-8 takes little, 1e-6 most.

    Returns:
        The model, its back-offs such that probabilities sum to one.

    Raises:
        UserError: The threshold is no share.
    """
    if not (math.isfinite(threshold) and threshold >= 0):
        raise UserError(f"pruning by {threshold:g}: give 0 or more, such as 1e-8")
    tables: list[Table] = []  # from the longest n-grams down
    needed: npt.NDArray[np.int64] = np.empty(0, np.int64)  # rows of contexts of those that stay
    rows_of: list[npt.NDArray[np.int64]] = []
    for n in range(model.order, 1, -1):
        kept = increases(model, n) >= threshold
        kept[needed] = True
        rows = np.flatnonzero(kept)
        rows_of.append(rows)
        needed = np.unique(model.tables[n - 1].keys.numpy()[rows] // len(model.words))
        tables.append(_some(model.tables[n - 1], rows))
    tables = [model.tables[0], *tables[::-1]]
    for n, below in enumerate(reversed(rows_of[1:]), start=2):
        tables[n] = _renumbered(tables[n], below, len(model.tables[n - 1]), len(model.words))
    while len(tables) > 1 and not len(tables[-1]):
        tables.pop()
    return NgramModel.build(model.words, _weighed(model.words, tables))


def increases(model: NgramModel, n: int) -> Floats:
    """How much leaving out each n-gram of an order, by itself, raises the perplexity: a share, [M].

    Stolcke's equations 4 to 6.
    """
    table = model.tables[n - 1]
    contexts = table.keys.numpy() // len(model.words)
    own, lower = _probabilities(model.words, model.tables[: n - 1], table)
    left, free = _masses(contexts, own, lower, len(model.tables[n - 2]))
    before = np.log(left / free)[contexts]
    after = np.log((left[contexts] + own) / (free[contexts] + lower))
    change = own * (np.log(lower) + after - np.log(own)) + left[contexts] * (after - before)
    result: Floats = np.expm1(-_context_probabilities(model, n - 1)[contexts] * change)
    return result


def _probabilities(words: Sequence[str], lower: Sequence[Table], table: Table) -> tuple[Floats, Floats]:
    """What n-grams have, and what their last words would have after one word less."""
    return 10.0 ** table.log_probs.double().numpy(), lower_order(words, lower, table.keys)


def _masses(contexts: npt.NDArray[np.int64], own: Floats, lower: Floats, count: int) -> tuple[Floats, Floats]:
    """What each of C contexts leaves to other words than those after it, and what these have without it."""
    left = 1.0 - np.bincount(contexts, own, minlength=count)
    free = 1.0 - np.bincount(contexts, lower, minlength=count)
    return np.maximum(left, LEAST), np.maximum(free, LEAST)


def _context_probabilities(model: NgramModel, n: int) -> Floats:
    """How likely each n-gram of an order is, [C]; one that begins a sentence begins as often as one ends."""
    columns = torch.from_numpy(model.ngrams(n)).T
    states = torch.full((columns.shape[1], max(1, model.order - 1)), -1)
    total = torch.zeros(columns.shape[1], dtype=torch.float64)
    begin, end = model.number(BEGIN), model.number(END)
    for place, column in enumerate(columns):
        scores, states = model.score(states, column)
        if place == 0:
            scores = torch.where(column == begin, model.tables[0].log_probs[end].double(), scores)
        total += scores
    result: Floats = 10.0 ** total.numpy()
    return result


def _some(table: Table, rows: npt.NDArray[np.int64]) -> Table:
    kept = torch.from_numpy(rows)
    return Table(table.keys[kept], table.log_probs[kept], table.backoffs[kept])


def _renumbered(table: Table, below: npt.NDArray[np.int64], count: int, num_words: int) -> Table:
    """With the rows that contexts have now: of `count`, those in `below` are there still."""
    now = torch.full((count,), -1)
    now[torch.from_numpy(below)] = torch.arange(len(below))
    return replace(table, keys=now[table.keys // num_words] * num_words + table.keys % num_words)


def _weighed(words: Sequence[str], tables: Sequence[Table]) -> list[Table]:
    """With the back-offs that make probabilities sum to one, from the shortest contexts up."""
    result = [replace(tables[0], backoffs=torch.zeros(len(tables[0])))]
    for table in tables[1:]:
        contexts = table.keys.numpy() // len(words)
        own, lower = _probabilities(words, result, table)
        left, free = _masses(contexts, own, lower, len(result[-1]))
        followed = np.bincount(contexts, minlength=len(left)) > 0
        backoffs = torch.from_numpy(np.where(followed, np.log10(left / free), 0.0).astype(np.float32))
        result[-1] = replace(result[-1], backoffs=backoffs)
        result.append(replace(table, backoffs=torch.zeros(len(table))))
    return result
