"""The decoder: what it looks at, positions, states that can be gone on from."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from auricle.errors import UserError
from auricle.models.config import DecoderConfig
from auricle.models.decoder import (
    Decoder,
    Memory,
    causal_mask,
    embedding,
    position_numbers,
    sinusoids,
)

CONFIG = DecoderConfig(num_layers=2, dim=8, ffn_dim=12, num_heads=2, max_positions=9, dropout=0.0)
CONFIGS = {
    "post-norm": CONFIG,
    "pre-norm": replace(CONFIG, pre_norm=True),
    "without the last norm": replace(CONFIG, pre_norm=True, final_norm=False),
    "learnt positions": replace(CONFIG, positions="learned", norm_embedding=True),
    "no positions": replace(CONFIG, positions="none", scale_embedding=False),
}
each = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def decoder(config: DecoderConfig, *, memory: bool = False, embed_dim: int = 8) -> Decoder:
    torch.manual_seed(0)
    return Decoder(config, embedding(11, embed_dim), embed_dim, memory).eval()


@each
@torch.no_grad()
def test_nothing_is_known_of_what_comes_later(config: DecoderConfig) -> None:
    model, tokens = decoder(config), torch.tensor([[2, 4, 5, 6, 7]])
    changed = torch.tensor([[2, 4, 5, 9, 1]])
    (x, _), (y, _) = model(tokens), model(changed)
    assert_close(x[:, :3], y[:, :3])
    assert not torch.allclose(x[:, 3:], y[:, 3:])


@each
@torch.no_grad()
def test_going_on_from_a_state_is_the_same(config: DecoderConfig) -> None:
    model, tokens = decoder(config, memory=True), torch.tensor([[2, 4, 5, 6], [2, 7, 8, 9]])
    memory = Memory(torch.randn(2, 5, 8), (torch.arange(5) < torch.tensor([[5], [3]]))[:, None, None])
    whole, state = model(tokens, memory)
    assert state.num_symbols == 4
    first, state = model(tokens[:, :2], memory)
    rest, state = model(tokens[:, 2:], state=state)
    assert_close(torch.cat([first, rest], 1), whole)
    swapped = state.select(torch.tensor([1, 0, 0]))
    after = torch.tensor([[4], [5], [4]])
    longer = torch.cat([tokens[[1, 0, 0]], after], 1)
    picked = Memory(memory.frames[[1, 0, 0]], memory.mask[[1, 0, 0]])  # type: ignore[index]
    assert_close(model(after, state=swapped)[0][:, 0], model(longer, picked)[0][:, -1])


@torch.no_grad()
def test_frames_under_the_mask_are_not_looked_at() -> None:
    model, tokens = decoder(CONFIG, memory=True), torch.tensor([[2, 4]])
    frames = torch.randn(1, 3, 8)
    mask = torch.tensor([True, True, False])[None, None, None]
    masked, _ = model(tokens, Memory(frames, mask))
    assert_close(masked, model(tokens, Memory(frames[:, :2]))[0])


@torch.no_grad()
def test_padding_changes_nothing() -> None:
    model = decoder(CONFIG)
    alone, _ = model(torch.tensor([[2, 4, 5]]))
    before_and_after = torch.tensor([[1, 1, 2, 4, 5, 1]])
    padded, _ = model(before_and_after)
    assert padded.isfinite().all()
    assert_close(padded[:, 2:5], alone)


def test_position_numbers_skip_padding() -> None:
    tokens = torch.tensor([[2, 4, 5, 1], [1, 2, 4, 5]])
    assert position_numbers(tokens).tolist() == [[2, 3, 4, 1], [1, 2, 3, 4]]
    assert position_numbers(torch.tensor([[7]]), start=3).tolist() == [[5]]


def test_sinusoids() -> None:
    table = sinusoids(torch.tensor([1, 2, 3]), 5)
    assert table[0].tolist() == [0.0] * 5  # padding
    rates = torch.tensor([1.0, 1e-4])
    assert_close(table[1], torch.cat([(2 * rates).sin(), (2 * rates).cos(), torch.zeros(1)]))


def test_masks() -> None:
    assert causal_mask(torch.tensor([[4]]), start=5) is None
    mask = causal_mask(torch.tensor([[1, 4, 5]]))
    assert mask is not None
    assert mask[0, 0].tolist() == [[True, False, False], [False, True, False], [False, True, True]]


@pytest.mark.parametrize("start", [0, 8])
def test_more_symbols_than_learnt_positions(start: int) -> None:
    model = decoder(CONFIGS["learnt positions"])
    with torch.no_grad(), pytest.raises(UserError, match="more than 9 symbols"):
        if start == 0:
            model(torch.full((1, 10), 4))
        else:
            _, state = model(torch.full((1, start), 4))
            model(torch.full((1, 2), 4), state=state)


def test_embeddings_of_another_width_and_layer_drop() -> None:
    model = decoder(replace(CONFIG, layerdrop=0.999), embed_dim=6)
    assert model.project_in_dim is not None
    x, _ = model.train()(torch.tensor([[2, 4]]))
    assert x.shape == (1, 2, 8)
