"""Back-off n-gram models as a few flat arrays, asked for many words at a time.

An n-gram (w1 ... wn) is found by the row of its context (w1 ... wn-1) in the table of one order less, and
its last word: one 64-bit key, looked up by bisection. So all that a model needs to know of what went before
is which row the last word, the last two words, ... have: a state is a row of a tensor, and a batch of states
asks its questions in as many look-ups as the model has orders.

V words, O the order, M questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auricle.errors import UserError

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"

MISSING_UNKNOWN = -100.0
"""Log10-probability of words that a model without `<unk>` does not know, as in KenLM."""


@dataclass(frozen=True, slots=True)
class Table:
    """The n-grams of one order, in the order of their keys.

    Attributes:
        keys: int64, row of the context in the table below times V, plus the last word; order 1: the word.
        log_probs: float32, base 10.
        backoffs: float32, base 10; what a word costs that is not there after this n-gram.
    """

    keys: Tensor
    log_probs: Tensor
    backoffs: Tensor

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys: Tensor) -> Tensor:
        """Rows of keys, -1 where there is none."""
        if not len(self.keys):
            return torch.full_like(keys, -1)
        rows = torch.searchsorted(self.keys, keys).clamp_(max=len(self.keys) - 1)
        return torch.where(self.keys[rows] == keys, rows, -1)

    def to(self, device: torch.device | str) -> "Table":
        """The same on another device."""
        return Table(self.keys.to(device), self.log_probs.to(device), self.backoffs.to(device))


@dataclass(frozen=True, slots=True)
class NgramModel:
    """A back-off model (Katz 1987).

    The log-probability of a word is that of the longest n-gram known, and the back-offs of the contexts that
    were too long for it.

    Attributes:
        words: Their place is their number.
        tables: One an order, from 1.
    """

    words: tuple[str, ...]
    tables: tuple[Table, ...]
    _index: Mapping[str, int] = field(repr=False, compare=False)

    @classmethod
    def build(cls, words: Sequence[str], tables: Sequence[Table]) -> "NgramModel":
        """Checks that the words are what a model needs.

        Raises:
            UserError: A word is there twice, or `<s>` or `</s>` is missing.
        """
        index = {word: number for number, word in enumerate(words)}
        if "<UNK>" in index:
            index.setdefault(UNKNOWN, index["<UNK>"])
        for mark in (BEGIN, END):
            if mark not in index:
                raise UserError(f"the language model has no {mark}: estimate it from sentences")
        if UNKNOWN not in index:
            index[UNKNOWN] = len(words)
            first = tables[0]
            unigrams = Table(
                torch.arange(len(words) + 1),
                torch.cat([first.log_probs, torch.tensor([MISSING_UNKNOWN])]),
                torch.cat([first.backoffs, torch.zeros(1)]),
            )
            # keys of higher orders count in V: one word more changes them all
            rest = [
                replace(t, keys=t.keys // len(words) * (len(words) + 1) + t.keys % len(words))
                for t in tables[1:]
            ]
            words, tables = [*words, UNKNOWN], [unigrams, *rest]
        return cls(tuple(words), tuple(tables), index)

    @property
    def costly(self) -> bool:
        """Looking up is cheap."""
        return False

    @property
    def order(self) -> int:
        """The longest n-grams."""
        return len(self.tables)

    def __contains__(self, word: object) -> bool:
        return word in self._index

    def number(self, word: str) -> int:
        """The number of a word; that of `<unk>` for those it does not know."""
        return self._index.get(word, self._index[UNKNOWN])

    def numbers(self, words: Sequence[str]) -> Tensor:
        """The same for many, int64, on the model's device."""
        unknown = self._index[UNKNOWN]
        found = [self._index.get(word, unknown) for word in words]
        return torch.tensor(found, dtype=torch.int64, device=self.device)

    @property
    def device(self) -> torch.device:
        """Where its arrays are."""
        return self.tables[0].keys.device

    def to(self, device: torch.device | str) -> "NgramModel":
        """The same on another device."""
        return replace(self, tables=tuple(table.to(device) for table in self.tables))

    def start(self, count: int) -> Tensor:
        """The state after `<s>`, `count` times: int64 [count, max(1, O - 1)].

        Column m - 1 is the row of the last m words in the table of order m, -1 where it has none.
        """
        state = torch.full((count, max(1, self.order - 1)), -1, device=self.device)
        state[:, 0] = self._index[BEGIN]
        return state

    def score(self, states: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """How likely each word is after each state.

        Args:
            states: int64 [M, max(1, O - 1)].
            words: int64 [M].

        Returns:
            Log10-probabilities [M] float64, and the states after the words.
        """
        totals = self.tables[0].log_probs[words].double()
        after = torch.full_like(states, -1)
        after[:, 0] = words
        for m in range(1, self.order):
            context = states[:, m - 1]
            known = context >= 0
            inside = context.clamp(min=0)
            table = self.tables[m]
            rows = torch.where(known, table.find(inside * len(self.words) + words), -1)
            found = rows >= 0
            backed_off = totals + torch.where(known, self.tables[m - 1].backoffs[inside].double(), 0.0)
            if len(table):
                totals = torch.where(found, table.log_probs[rows.clamp(min=0)].double(), backed_off)
            else:
                totals = backed_off
            if m < self.order - 1:
                after[:, m] = rows
        return totals, after

    def outlook(self, words: Tensor) -> Tensor:
        """See `LanguageModel`."""
        return self.score(self.start(len(words)), words)[0]

    def finish(self, states: Tensor) -> Tensor:
        """Log10-probabilities [M] float64 of the sentence ending there."""
        end = torch.full((len(states),), self._index[END], device=states.device)
        return self.score(states, end)[0]

    def keep(self, states: Tensor) -> None:
        """Nothing to do: a state says all there is to know."""

    def sentence(self, words: Sequence[str]) -> float:
        """Log10-probability of a sentence, its end included."""
        state, total = self.start(1), 0.0
        for number in self.numbers(words):
            scores, state = self.score(state, number[None])
            total += float(scores[0])
        return total + float(self.finish(state)[0])

    def ngrams(self, order: int) -> npt.NDArray[np.int64]:
        """The words of the n-grams of an order, [n, order], in the order of their table."""
        keys = self.tables[order - 1].keys.cpu().numpy()
        if order == 1:
            return keys[:, None]
        contexts = self.ngrams(order - 1)[keys // len(self.words)]
        return np.concatenate([contexts, (keys % len(self.words))[:, None]], axis=1)


def make_tables(
    num_words: int,
    ngrams: Sequence[npt.NDArray[np.int64]],
    log_probs: Sequence[npt.NDArray[np.float32]],
    backoffs: Sequence[npt.NDArray[np.float32]],
) -> list[Table]:
    """Sorts n-grams into tables.

    Args:
        num_words: V.
        ngrams: For each order n from 1, words [count, n]; of order 1 all, each once.
        log_probs: For each order, [count], base 10.
        backoffs: The same.

    Raises:
        NgramError: A context is missing, or an n-gram is there twice.
    """
    tables: list[Table] = []
    for n, words in enumerate(ngrams, start=1):
        keys = _keys(tables, torch.from_numpy(words), num_words)
        order = torch.argsort(keys)
        keys = keys[order]
        twice = (keys[1:] == keys[:-1]).nonzero()
        if len(twice):
            places = order[twice[0, 0] : twice[0, 0] + 2]
            raise NgramError(n, int(places.max()), "is there twice: remove one of the two")
        tables.append(
            Table(keys, torch.from_numpy(log_probs[n - 1])[order], torch.from_numpy(backoffs[n - 1])[order])
        )
    return tables


def _keys(tables: Sequence[Table], words: Tensor, num_words: int) -> Tensor:
    """Keys of n-grams [count, n], given the tables of the orders below."""
    rows = words[:, 0]
    for m in range(1, words.shape[1] - 1):
        rows = tables[m].find(rows * num_words + words[:, m])
        lost = (rows < 0).nonzero()
        if len(lost):
            raise NgramError(
                words.shape[1],
                int(lost[0, 0]),
                f"begins with {m + 1} words that are no {m + 1}-gram: estimate or prune the model anew",
            )
    return rows * num_words + words[:, -1] if words.shape[1] > 1 else words[:, 0]


class NgramError(Exception):
    """An n-gram that cannot be: its order, its place among those of that order, and what is wrong."""

    def __init__(self, order: int, place: int, reason: str) -> None:
        super().__init__(order, place, reason)
        self.order, self.place, self.reason = order, place, reason
