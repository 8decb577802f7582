"""Masks of symbols: how many, where, shown as what, and from which chance."""

import numpy as np
import pytest
import torch

from auricle.dictionary import MASK, Dictionary
from auricle.train.draws import VALIDATION_EPOCH, Position
from auricle.train.text_draws import SymbolDraws, SymbolMaskConfig, replacement_shares, symbol_mask

DICTIONARY = Dictionary([*(f"c{i}" for i in range(50)), MASK], [*range(1, 51), 1])
MASKED = DICTIONARY.index(MASK)


def batch(rows: int = 200, length: int = 300) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(4, 54, size=(rows, length)))


def drawn(
    config: SymbolMaskConfig, tokens: torch.Tensor, epoch: int = 1, seed: int = 1
) -> tuple[torch.Tensor, ...]:
    masks = SymbolDraws(config, DICTIONARY, seed).masks(tokens, list(range(len(tokens))), Position(epoch, 0))
    return masks.shown, masks.masked


def test_single_symbols_are_masked_at_their_share() -> None:
    for prob in (0.15, 0.5):
        _, masked = drawn(SymbolMaskConfig(prob=prob), batch())
        assert masked.float().mean().item() == pytest.approx(prob, abs=0.001)


def test_spans_of_ten_that_start_at_a_twentieth_mask_two_fifths() -> None:
    """As vq-wav2vec (section 4): starts without replacement, spans may overlap."""
    _, masked = drawn(SymbolMaskConfig(prob=0.5, length=10), batch(rows=500))
    # A symbol is left where none of the ten places that reach it starts a span: (1 - 0.05)^10.
    assert masked[:, 10:].float().mean().item() == pytest.approx(1 - 0.95**10, abs=0.01)
    edges = torch.diff(torch.nn.functional.pad(masked.int(), (1, 1)), dim=1)
    begins, ends = (edges == 1).nonzero(), (edges == -1).nonzero()
    lengths = ends[:, 1] - begins[:, 1]
    inside = ends[:, 1] < masked.shape[1]
    assert lengths[inside].min() >= 10


def test_the_number_of_spans_is_exact_on_average() -> None:
    counts = [
        int(symbol_mask(7, SymbolMaskConfig(prob=0.5), np.random.default_rng(seed)).sum())
        for seed in range(2000)
    ]
    assert set(counts) == {3, 4} and np.mean(counts) == pytest.approx(3.5, abs=0.05)


def test_lengths_of_spans_may_be_drawn() -> None:
    config = SymbolMaskConfig(prob=10 / 1000, length=10, stdev=3.0)
    lengths = [int(symbol_mask(1000, config, np.random.default_rng(seed)).sum()) for seed in range(500)]
    once = [length for length in lengths if length]
    assert np.mean(once) == pytest.approx(10, abs=1.5) and np.std(once) > 2
    assert all(
        symbol_mask(4, SymbolMaskConfig(prob=1.0, stdev=9.0), np.random.default_rng(seed)).shape == (4,)
        for seed in range(50)
    )


def test_what_is_shown_in_place_of_masked_symbols() -> None:
    tokens = batch()
    shown, masked = drawn(SymbolMaskConfig(prob=0.5), tokens)
    assert torch.equal(shown[~masked], tokens[~masked])
    hidden, kept = shown[masked] == MASKED, shown[masked] == tokens[masked]
    assert hidden.float().mean().item() == pytest.approx(0.8, abs=0.01)
    # Replaced by chance, a symbol in fifty is the same.
    assert kept.float().mean().item() == pytest.approx(0.1 + 0.1 / 50, abs=0.01)
    replaced = shown[masked][~hidden & ~kept]
    assert replaced.min() >= 4 and replaced.max() < MASKED


@pytest.mark.parametrize(("left", "random", "hidden"), [(0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
def test_extremes(left: float, random: float, hidden: float) -> None:
    tokens = batch(20)
    config = SymbolMaskConfig(prob=0.3, leave_unmasked_prob=left, random_token_prob=random)
    shown, masked = drawn(config, tokens)
    assert (shown[masked] == MASKED).float().mean().item() == hidden
    if left:
        assert torch.equal(shown, tokens)


def test_replacements_by_frequency() -> None:
    even, weighted = (replacement_shares(DICTIONARY, by_count) for by_count in (False, True))
    assert even[:4].sum() == weighted[:4].sum() == even[MASKED] == weighted[MASKED] == 0
    assert np.allclose(even[4:MASKED], 1 / 50)
    assert np.allclose(weighted[4:MASKED], np.arange(1, 51) / np.arange(1, 51).sum())
    config = SymbolMaskConfig(prob=1.0, leave_unmasked_prob=0.0, random_token_prob=1.0, freq_weighted=True)
    shown, _ = drawn(config, batch(100))
    assert (shown == 53).float().mean().item() == pytest.approx(50 / 1275, abs=0.005)


def test_draws_depend_on_seed_epoch_and_sample_alone() -> None:
    tokens, config = batch(6, 40), SymbolMaskConfig(prob=0.4, length=3)
    draws = SymbolDraws(config, DICTIONARY, 5)
    whole = draws.masks(tokens, [0, 1, 2, 3, 4, 5], Position(3, 17, 1))
    padded = torch.nn.functional.pad(tokens[[4, 2]], (0, 9), value=1)
    some = draws.masks(padded, [4, 2], Position(3, 99, 0))
    assert torch.equal(some.shown[:, :40], whole.shown[[4, 2]])
    assert torch.equal(some.masked[:, :40], whole.masked[[4, 2]])
    assert (some.shown[:, 40:] == 1).all() and not some.masked[:, 40:].any()
    for other in (SymbolDraws(config, DICTIONARY, 6), draws):
        position = Position(3 if other is not draws else 4, 17)
        assert not torch.equal(other.masks(tokens, list(range(6)), position).masked, whole.masked)
    first, again = (draws.masks(tokens, list(range(6)), Position(VALIDATION_EPOCH, n)) for n in (10, 20))
    assert torch.equal(first.shown, again.shown)


def test_the_batch_itself_is_left_alone() -> None:
    tokens = batch(3)
    before = tokens.clone()
    drawn(SymbolMaskConfig(prob=0.9), tokens)
    assert torch.equal(tokens, before)
