"""Which symbols of a text are masked in training: drawn from (seed, epoch, sample), as all draws are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auricle.dictionary import MASK, SPECIALS, Dictionary
from auricle.train.draws import Position


@dataclass(frozen=True, slots=True)
class SymbolMaskConfig:
    """How symbols are masked (BERT, section 3.1; spans: vq-wav2vec, section 4); fairseq's words and meanings.

    Attributes:
        prob: Share of symbols that would be masked if no spans overlapped.
        leave_unmasked_prob: Share of the masked ones that are shown as they are.
        random_token_prob: Share of the masked ones that are shown as another symbol.
        freq_weighted: Draw that other symbol by its count in the dictionary, otherwise evenly.
        length: Symbols a span covers; the 10 of vq-wav2vec start at a share of 0.05, a `prob` of 0.5.
        stdev: Of the length, where each span's is drawn from a normal distribution; 0 draws none.
    """

    prob: float = 0.15
    leave_unmasked_prob: float = 0.1
    random_token_prob: float = 0.1
    freq_weighted: bool = False
    length: int = 1
    stdev: float = 0.0


@dataclass(frozen=True, slots=True)
class SymbolMasks:
    """What is shown of a batch, and what is to be guessed.

    Attributes:
        shown: int64 [B, S], the input.
        masked: bool [B, S], True where the symbol is to be guessed; never at padding.
    """

    shown: Tensor
    masked: Tensor


class SymbolDraws:
    """Masks of samples, each from a generator of its own.

    Args:
        config: How.
        dictionary: With `<mask>`.
        seed: With epoch and sample, decides.
    """

    def __init__(self, config: SymbolMaskConfig, dictionary: Dictionary, seed: int) -> None:
        self.config = config
        self.seed = seed
        self._mask_index = dictionary.index(MASK)
        self._shares = replacement_shares(dictionary, config.freq_weighted)

    def masks(self, tokens: Tensor, ids: Sequence[int], position: Position) -> SymbolMasks:
        """Mask a batch.

        Args:
            tokens: int64 [B, S], rows filled up with `<pad>`.
            ids: The samples' numbers.
            position: The epoch decides, and nothing else of it: validation masks the same symbols every time.
        """
        shown, masked = tokens.numpy().copy(), np.zeros(tokens.shape, dtype=np.bool_)
        for row, mask, index in zip(shown, masked, ids, strict=True):
            rng = np.random.default_rng((self.seed, position.epoch, index))
            length = int((row != Dictionary.pad_index).sum())
            mask[:length] = symbol_mask(length, self.config, rng)
            self._hide(row[:length], mask[:length], rng)
        return SymbolMasks(torch.from_numpy(shown), torch.from_numpy(masked))

    def _hide(self, row: NDArray[np.int64], mask: NDArray[np.bool_], rng: np.random.Generator) -> None:
        """Put `<mask>`, or what chance says, in place of the masked symbols of one row."""
        config = self.config
        fate = rng.random(len(row))
        left = fate < config.leave_unmasked_prob
        replaced = ~left & (fate < config.leave_unmasked_prob + config.random_token_prob)
        row[mask & ~left & ~replaced] = self._mask_index
        others = mask & replaced
        row[others] = rng.choice(len(self._shares), size=int(others.sum()), p=self._shares)


def symbol_mask(length: int, config: SymbolMaskConfig, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of `length` symbols are masked: spans may overlap, and end with the row.

    As in fairseq, `<s>` and `</s>` count as symbols and may be masked, and the number of spans is rounded up
    or down at random, so that its mean is exact.
    """
    mask = np.zeros(length, dtype=np.bool_)
    count = min(length, int(config.prob * length / config.length + rng.random()))
    starts = rng.choice(length, size=count, replace=False)
    sizes = np.full(count, config.length)
    if config.stdev > 0:
        sizes = np.maximum(0, np.rint(rng.normal(config.length, config.stdev, size=count))).astype(np.int64)
    for start, size in zip(starts, sizes, strict=True):
        mask[start : start + size] = True
    return mask


def replacement_shares(dictionary: Dictionary, freq_weighted: bool) -> NDArray[np.float64]:
    """How likely each symbol is to stand in for a masked one, [V]: never a special one nor `<mask>`."""
    shares = np.array(dictionary.counts if freq_weighted else [1] * len(dictionary), dtype=np.float64)
    shares[: len(SPECIALS)] = 0.0
    shares[dictionary.index(MASK)] = 0.0
    total: float = shares.sum()
    return shares / total
