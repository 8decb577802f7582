"""Language models of every build: their answers are probabilities, the same symbol by symbol."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from auricle.models.adaptive import AdaptiveInput, AdaptiveSoftmax, band_width, bands
from auricle.models.config import DecoderConfig, LanguageModelConfig
from auricle.models.language_model import TransformerLM

PLAIN = LanguageModelConfig(
    num_symbols=12,
    decoder=DecoderConfig(num_layers=1, dim=8, ffn_dim=12, num_heads=2),
    input_dim=8,
    output_dim=8,
)
ADAPTIVE = replace(PLAIN, input_cutoffs=(5, 8), input_factor=2.0, softmax_cutoffs=(5, 8), softmax_factor=2.0)
CONFIGS = {
    "plain": PLAIN,
    "tied": replace(PLAIN, tie_embeddings=True),
    "narrow": replace(PLAIN, input_dim=6, output_dim=4, add_bos_token=True),
    "adaptive softmax": replace(ADAPTIVE, input_cutoffs=()),
    "adaptive input": replace(ADAPTIVE, softmax_cutoffs=()),
    "adaptive": ADAPTIVE,
    "tied words": replace(ADAPTIVE, tie_adaptive_weights=True),
    "all tied": replace(ADAPTIVE, tie_adaptive_weights=True, tie_adaptive_proj=True),
}
each = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def language_model(config: LanguageModelConfig) -> TransformerLM:
    torch.manual_seed(0)
    return TransformerLM(config).eval()


@each
@torch.no_grad()
def test_answers_are_probabilities(config: LanguageModelConfig) -> None:
    log_probs = language_model(config)(torch.tensor([[2, 4, 11, 7], [2, 6, 1, 1]]))
    assert log_probs.shape == (2, 4, 12)
    assert_close(log_probs.exp().sum(-1), torch.ones(2, 4))


@each
@torch.no_grad()
def test_symbol_by_symbol_is_the_same(config: LanguageModelConfig) -> None:
    model, tokens = language_model(config), torch.tensor([[2, 4, 11, 7], [2, 6, 9, 3]])
    state, steps = None, []
    for column in tokens.T:
        log_probs, state = model.step(column, state)
        steps.append(log_probs)
    assert_close(torch.stack(steps, 1), model(tokens))


@each
def test_every_parameter_learns_and_no_memory_is_shared(config: LanguageModelConfig) -> None:
    model = language_model(config).train()
    model(torch.tensor([[2, 4, 11, 7, 5, 8]]))[..., 3:].sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    addresses = [tensor.data_ptr() for tensor in model.state_dict().values()]
    assert len(set(addresses)) == len(addresses)


def test_where_a_sentence_begins() -> None:
    assert language_model(PLAIN).start_index == 2
    assert language_model(CONFIGS["narrow"]).start_index == 0


def test_bands() -> None:
    assert bands((5, 8), 12) == [(0, 5), (5, 8), (8, 12)]
    assert [band_width(8, 2.0, i) for i in range(3)] == [8, 4, 2]


def test_embeddings_of_each_band() -> None:
    embed = AdaptiveInput(ADAPTIVE)
    tokens = torch.tensor([[0, 4, 5, 11]])
    x = embed(tokens)[0]
    for i, (band, row) in enumerate([(0, 0), (0, 4), (1, 0), (2, 3)]):
        assert_close(x[i], embed.widening(band) @ embed.table(band)[row])


def test_a_rare_symbol_has_the_probability_of_its_band_times_its_own() -> None:
    torch.manual_seed(1)
    softmax = AdaptiveSoftmax(ADAPTIVE)
    x = torch.randn(1, 1, 8)
    log_probs = softmax(x, None)[0, 0]
    state = softmax.state_dict()
    head = (state["head.weight"] @ x[0, 0]).log_softmax(0)
    tail = (state["tail.1.2.weight"] @ state["tail.1.0.weight"] @ x[0, 0]).log_softmax(0)
    assert_close(log_probs[:5], head[:5])
    assert_close(log_probs[8:], tail + head[6])
