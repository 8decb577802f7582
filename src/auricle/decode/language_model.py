"""What a beam search asks a language model, of whatever kind it is.

M questions, S columns of a state.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class LanguageModel(Protocol):
    """What a search asks: states are rows of a tensor [M, S] int64, of its own making."""

    @property
    def costly(self) -> bool:
        """Whether to ask only about what may survive."""

    def numbers(self, words: Sequence[str]) -> Tensor:
        """Its own numbers of words, int64."""

    def start(self, count: int) -> Tensor:
        """States at the start of a sentence."""

    def score(self, states: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities [M] float64 of words [M] after states, and the states after them."""

    def outlook(self, words: Tensor) -> Tensor:
        """What stands in for words [M] until they end: their scores at the start of a sentence, or above."""

    def finish(self, states: Tensor) -> Tensor:
        """Log-probabilities [M] float64 of the sentence ending there."""

    def keep(self, states: Tensor) -> None:
        """Says that of all states only these will be asked about again."""


class NoLanguageModel:
    """Finds every word as good as any other."""

    costly = False

    def numbers(self, words: Sequence[str]) -> Tensor:
        """See `LanguageModel`."""
        return torch.zeros(len(words), dtype=torch.int64)

    def start(self, count: int) -> Tensor:
        """See `LanguageModel`."""
        return torch.zeros(count, 1, dtype=torch.int64)

    def score(self, states: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """See `LanguageModel`."""
        return self.outlook(words), states

    def outlook(self, words: Tensor) -> Tensor:
        """See `LanguageModel`."""
        return torch.zeros(len(words), dtype=torch.float64, device=words.device)

    def finish(self, states: Tensor) -> Tensor:
        """See `LanguageModel`."""
        return torch.zeros(len(states), dtype=torch.float64, device=states.device)

    def keep(self, states: Tensor) -> None:
        """See `LanguageModel`."""
