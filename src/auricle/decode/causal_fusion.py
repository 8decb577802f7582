"""Causal language models of transformers in a beam search.

A word is its pieces: the first one's probability is in the answers of what stands before, the others are
computed with the state after the word, when it is asked about. What a hypothesis is given is what the model
gives the whole sentence.

M questions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from auricle.decode.neural_lm import START, Entry, Fusion
from auricle.errors import UserError
from auricle.models.causal_lm import CausalLM, CausalState

TRIED = 20
"""So many words are looked at to find out whether pieces keep to words."""


class CausalFusion(Fusion[CausalState]):
    """A `CausalLM` as the `LanguageModel` of a beam search."""

    def __init__(self, model: CausalLM) -> None:
        """Prepares the table.

        Raises:
            UserError: The model cannot go on from what it kept.
        """
        model.check_steps()
        super().__init__(model.model.config.vocab_size, model.end, model.device)
        self._model = model
        self._index: dict[str, int] = {}
        self._first: list[tuple[int, ...]] = []  # of each word, its pieces at the start of a sentence
        self._within: list[tuple[int, ...]] = []  # and after another word
        self._anchor = ""

    def __contains__(self, word: str) -> bool:
        place = self._index.get(word)
        return self._is_known(self._model.pieces(word) if place is None else self._first[place])

    def _is_known(self, pieces: Sequence[int]) -> bool:
        return bool(pieces) and self._model.tokenizer.unk_token_id not in pieces

    def check_units(self, units: Sequence[str]) -> None:
        """Makes sure that a recogniser's units can stand for words, with spaces between them.

        Raises:
            UserError: They are not what this model's pieces are.
        """
        self.numbers(units)
        known = [unit for unit in units if unit in self]
        some = known[:TRIED]
        joined = [one + other for one in some for other in some]
        longer = next((text for text in joined if len(self._model.pieces(text)) == 1 and text in self), None)
        if longer or any(len(self._within[self._index[unit]]) > 1 for unit in known):
            said = f" (such as {longer!r})" if longer else ""
            raise UserError(
                "without --lexicon a language model has to be of single units, and this one's pieces are "
                f"others{said}: give a lexicon of words"
            )

    def numbers(self, words: Sequence[str]) -> Tensor:
        """See `LanguageModel`.

        Raises:
            UserError: Pieces of these words reach over their ends.
        """
        new = [word for word in dict.fromkeys(words) if word not in self._index]
        if new:
            firsts = self._model.pieces_of_each(new)
            known = (word for word, own in zip(new, firsts, strict=True) if self._is_known(own))
            self._anchor = self._anchor or next(known, "")
            before = len(self._model.pieces(self._anchor))
            within = self._model.pieces_of_each([f"{self._anchor} {word}" for word in new])
            self._index.update(zip(new, range(len(self._first), len(self._first) + len(new)), strict=True))
            self._first += [self._some(own) for own in firsts]
            self._within += [self._some(own[before:]) for own in within]
            self._check_ends(new)
        return torch.tensor([self._index[word] for word in words], dtype=torch.int64)

    def _some(self, pieces: Sequence[int]) -> tuple[int, ...]:
        """Pieces; something for a word that has none."""
        nothing = self._model.tokenizer.unk_token_id
        return tuple(pieces) or (self._model.begin if nothing is None else nothing,)

    def _check_ends(self, words: Sequence[str]) -> None:
        """Tries some of the words that the model knows."""
        known = [word for word in words[:: max(1, len(words) // TRIED)] if word in self]
        for one, other in zip(known, [*known[1:], *known[:1]], strict=True):
            apart = [*self._first[self._index[one]], *self._within[self._index[other]]]
            if self._model.pieces(f"{one} {other}") != apart:
                raise UserError(
                    f"the language model's pieces of '{one} {other}' are not those of its words: rank lists "
                    "with it, by --rescore-lm"
                )

    def outlook(self, words: Tensor) -> Tensor:
        """See `LanguageModel`: the first piece of each, which is no less likely than all of them."""
        (row,) = self._rows([START]).tolist()
        firsts = [self._first[word][0] for word in words.tolist()]
        return self._answers[row, torch.tensor(firsts, device=self._device)].double()

    def score(self, states: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """See `LanguageModel`."""
        numbers, asked = states[:, 0].tolist(), words.tolist()
        self._rows(numbers)
        after = [self._entry_after(*pair) for pair in zip(numbers, asked, strict=True)]
        pieces = [self._pieces(self._entries[number]) for number in after]
        self._rows([number for number, own in zip(after, pieces, strict=True) if len(own) > 1])
        firsts = torch.tensor([own[0] for own in pieces], dtype=torch.int64, device=self._device)
        later = [self._entries[number].later for number in after]
        scores = self._answers[self._rows(numbers), firsts].double()
        scores += torch.tensor(later, dtype=torch.float64, device=self._device)
        return scores, torch.tensor(after, dtype=torch.int64, device=self._device)[:, None]

    def _pieces(self, entry: Entry[CausalState]) -> tuple[int, ...]:
        return (self._first if entry.before == START else self._within)[entry.word]

    def _run(self, entries: Sequence[Entry[CausalState]], before: Sequence[CausalState | None]) -> Tensor:
        pieces = [
            (self._model.begin,) if state is None else self._pieces(entry)
            for entry, state in zip(entries, before, strict=True)
        ]
        done = self._model.step(pieces, before)
        for entry, state, later in zip(entries, done.states, done.later, strict=True):
            entry.state, entry.later = state, later
        return done.log_probs
