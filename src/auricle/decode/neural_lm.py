"""Neural language models in decoding: in a beam search, and on the lists that a search gives.

In the search every sequence of words is one entry of a table: what the model says of the next word, and the
keys and values that the words after it need. An entry is computed once, when a hypothesis that may survive
asks, together with all others that are asked for at that frame, of all utterances and of any lengths.

M questions, V symbols of the language model, S words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from auricle.decode.decoder import Decoder
from auricle.decode.emissions import Emissions
from auricle.decode.hypothesis import Hypothesis
from auricle.dictionary import Dictionary
from auricle.models.decoder import DecoderState
from auricle.models.language_model import TransformerLM

ROWS_AT_ONCE = 128
"""Entries computed in one batch."""

START = 0
"""The entry of no words."""

S = TypeVar("S")


@dataclass(slots=True)
class Entry(Generic[S]):
    """A sequence of words.

    Attributes:
        before: The entry of all but the last.
        word: The last one.
        state: What the model goes on from, once the entry is computed.
        row: Where its answers stand, then.
        later: What a word of several pieces adds to the log-probability of its first one.
    """

    before: int
    word: int
    state: S | None = None
    row: int | None = None
    later: float = 0.0


class Fusion(Generic[S]):
    """The table of entries that a search with a neural language model fills; natural logarithms."""

    costly = True

    def __init__(self, num_symbols: int, end: int | None, device: torch.device) -> None:
        """Begin with the entry of no words.

        Args:
            num_symbols: V.
            end: The symbol that ends sentences; None: there is none, and ends cost nothing.
            device: Where the model is.
        """
        self._device, self._end = device, end
        self._entries: dict[int, Entry[S]] = {START: Entry(START, -1)}
        self._after: dict[tuple[int, int], int] = {}
        self._next = START + 1
        self._answers = torch.empty(0, num_symbols, device=device)
        self._free: list[int] = []

    def start(self, count: int) -> Tensor:
        """See `LanguageModel`."""
        return torch.full((count, 1), START)

    def finish(self, states: Tensor) -> Tensor:
        """See `LanguageModel`."""
        if self._end is None:
            return torch.zeros(len(states), dtype=torch.float64, device=self._device)
        rows = self._rows(states[:, 0].tolist())  # first, as it may make the table anew
        return self._answers[rows, self._end].double()

    def keep(self, states: Tensor) -> None:
        """See `LanguageModel`; of entries not yet computed those before them stay as well."""
        live = {START, *states[:, 0].tolist()}
        live |= {self._entries[number].before for number in live if self._entries[number].row is None}
        for number, entry in list(self._entries.items()):
            if number not in live:
                if entry.row is not None:
                    self._free.append(entry.row)
                del self._entries[number]
        self._after = {pair: number for pair, number in self._after.items() if number in live}

    def _entry_after(self, number: int, word: int) -> int:
        """The entry of one word more."""
        found = self._after.get((number, word))
        if found is None:
            found = self._after[number, word] = self._next
            self._entries[found] = Entry(number, word)
            self._next += 1
        return found

    def _rows(self, numbers: Sequence[int]) -> Tensor:
        """Where the answers of entries stand, int64 [M]; computes what is missing."""
        asked = dict.fromkeys(numbers)
        missing = [number for number in asked if self._entries[number].row is None]
        for first in range(0, len(missing), ROWS_AT_ONCE):
            self._compute([self._entries[number] for number in missing[first : first + ROWS_AT_ONCE]])
        rows = [self._entries[number].row for number in numbers]
        return torch.tensor(rows, dtype=torch.int64, device=self._device)

    @torch.inference_mode()
    def _compute(self, entries: Sequence[Entry[S]]) -> None:
        log_probs = self._run(entries, [self._entries[entry.before].state for entry in entries])
        for entry in entries:
            entry.row = self._free.pop() if self._free else self._new_row()
        self._answers[torch.tensor([entry.row for entry in entries], device=self._device)] = log_probs

    def _run(self, entries: Sequence[Entry[S]], before: Sequence[S | None]) -> Tensor:
        """Computes entries, given the states before them: log-probabilities of what follows, [M, V]."""
        raise NotImplementedError

    def _new_row(self) -> int:
        """A row more in the table of answers, which doubles when full."""
        count, symbols = self._answers.shape
        more = max(count, 16)
        self._answers = torch.cat([self._answers, self._answers.new_empty(more, symbols)])
        self._free += range(count + 1, count + more)
        return count


class TransformerFusion(Fusion[DecoderState]):
    """A `TransformerLM` as the `LanguageModel` of a beam search."""

    def __init__(self, model: TransformerLM, dictionary: Dictionary) -> None:
        """Prepares the table.

        Args:
            model: In evaluation mode, on the search's device.
            dictionary: Of its symbols.
        """
        device = next(model.parameters()).device
        super().__init__(model.config.num_symbols, dictionary.eos_index, device)
        self._model = model
        self._dictionary = dictionary

    def __contains__(self, word: str) -> bool:
        return word in self._dictionary

    def numbers(self, words: Sequence[str]) -> Tensor:
        """See `LanguageModel`."""
        return torch.tensor([self._dictionary.index(word) for word in words], dtype=torch.int64)

    def outlook(self, words: Tensor) -> Tensor:
        """See `LanguageModel`."""
        return self.score(self.start(len(words)), words)[0]

    def score(self, states: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """See `LanguageModel`."""
        numbers = states[:, 0].tolist()
        rows = self._rows(numbers)
        scores = self._answers[rows, words].double()
        after = [self._entry_after(*pair) for pair in zip(numbers, words.tolist(), strict=True)]
        return scores, torch.tensor(after, dtype=torch.int64, device=self._device)[:, None]

    def _run(self, entries: Sequence[Entry[DecoderState]], before: Sequence[DecoderState | None]) -> Tensor:
        states = [state for state in before if state is not None]  # only the start has none
        words = [
            self._model.start_index if state is None else entry.word
            for entry, state in zip(entries, before, strict=True)
        ]
        log_probs, after = self._model.step(
            torch.tensor(words, device=self._device), DecoderState.joined(states) if states else None
        )
        for place, entry in enumerate(entries):
            entry.state = after.row(place)
        return log_probs


class SentenceScorer(Protocol):
    """Says how likely sentences are."""

    def sentence_scores(self, sentences: Sequence[Sequence[str]]) -> list[float]:
        """Natural-log probabilities of sentences, their ends included."""


@dataclass(frozen=True, slots=True)
class TransformerScorer:
    """A `TransformerLM` that scores sentences, in one padded batch of each few."""

    model: TransformerLM
    dictionary: Dictionary
    batch_words: int = 4096

    @torch.inference_mode()
    def sentence_scores(self, sentences: Sequence[Sequence[str]]) -> list[float]:
        """See `SentenceScorer`; words that the model does not know are `<unk>`."""
        scores = [0.0] * len(sentences)
        order = sorted(range(len(sentences)), key=lambda place: len(sentences[place]))
        while order:
            widest = len(sentences[order[-1]]) + 1
            count = max(1, self.batch_words // widest)
            places, order = order[-count:], order[:-count]
            for place, score in zip(places, self._batch([sentences[p] for p in places]), strict=True):
                scores[place] = score
        return scores

    def _batch(self, sentences: Sequence[Sequence[str]]) -> list[float]:
        dictionary, device = self.dictionary, next(self.model.parameters()).device
        rows = [[dictionary.index(word) for word in sentence] for sentence in sentences]
        width = max(map(len, rows)) + 1
        tokens = torch.full((len(rows), width), dictionary.pad_index)
        targets = tokens.clone()
        for number, row in enumerate(rows):
            tokens[number, : len(row) + 1] = torch.tensor([self.model.start_index, *row])
            targets[number, : len(row) + 1] = torch.tensor([*row, dictionary.eos_index])
        log_probs = self.model(tokens.to(device)).cpu()
        picked = log_probs.gather(2, targets[..., None])[..., 0].double()
        totals: list[float] = picked.masked_fill(targets == dictionary.pad_index, 0.0).sum(1).tolist()
        return totals


def rescore(
    lists: Sequence[Sequence[Hypothesis]], scorer: SentenceScorer, weight: float, word_score: float = 0.0
) -> list[list[Hypothesis]]:
    """Ranks n-best lists anew.

    Args:
        lists: Of each utterance.
        scorer: A language model.
        weight: Its scores, in natural logarithms, are added to the hypotheses' with this weight,
        word_score: and this for each word.

    Returns:
        The lists with the new scores, the best first.
    """
    return ranked(lists, scores_of(lists, scorer), weight, word_score)


def scores_of(lists: Sequence[Sequence[Hypothesis]], scorer: SentenceScorer) -> dict[tuple[str, ...], float]:
    """What a language model gives the words of hypotheses; each sentence is asked about once."""
    texts = {one.words: 0.0 for hypotheses in lists for one in hypotheses}
    texts.update(zip(texts, scorer.sentence_scores(list(texts)), strict=True))
    return texts


def ranked(
    lists: Sequence[Sequence[Hypothesis]],
    scores: Mapping[tuple[str, ...], float],
    weight: float,
    word_score: float = 0.0,
) -> list[list[Hypothesis]]:
    """See `rescore`, given the scores of all words in the lists."""
    return [
        sorted(
            (
                replace(one, score=one.score + weight * scores[one.words] + word_score * len(one.words))
                for one in hypotheses
            ),
            key=lambda one: -one.score,
        )
        for hypotheses in lists
    ]


@dataclass(frozen=True, slots=True)
class RescoringDecoder:
    """A `Decoder` whose lists are ranked anew.

    Attributes:
        first: Gives lists of many hypotheses.
        scorer: See `rescore`, as for the others.
        weight: See there.
        word_score: See there.
        nbest: Hypotheses given of each utterance.
    """

    first: Decoder
    scorer: SentenceScorer
    weight: float
    word_score: float = 0.0
    nbest: int = 1

    def decode(self, emissions: Emissions) -> list[list[Hypothesis]]:
        """See `Decoder`."""
        lists = rescore(self.first.decode(emissions), self.scorer, self.weight, self.word_score)
        return [hypotheses[: self.nbest] for hypotheses in lists]
