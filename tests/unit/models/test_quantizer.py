"""The product quantizer: which entries it takes, what gradient it passes on, how it counts their use."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from auricle.models.config import QuantizerConfig
from auricle.models.quantizer import GumbelVectorQuantizer, perplexity
from auricle.train.draws import gumbel_noise

CONFIG = QuantizerConfig(num_codebooks=2, num_entries=5)


@pytest.fixture
def quantizer() -> GumbelVectorQuantizer:
    torch.manual_seed(0)
    return GumbelVectorQuantizer(6, 8, CONFIG)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(1))


def some_noise() -> torch.Tensor:
    return gumbel_noise(CONFIG, [4, 4, 4], 4, [np.random.default_rng(row) for row in range(3)])


def test_without_noise_the_likeliest_entries_are_taken(
    quantizer: GumbelVectorQuantizer, x: torch.Tensor
) -> None:
    out = quantizer(x)
    logits = quantizer.weight_proj(x).view(3, 4, 2, 5)
    assert torch.equal(out.codes, logits.argmax(-1))
    entries = quantizer.vars.view(2, 5, 4)
    expected = torch.cat([entries[g][out.codes[..., g]] for g in range(2)], dim=-1)
    assert torch.equal(out.vectors, expected)


def test_noise_decides_what_is_taken(quantizer: GumbelVectorQuantizer, x: torch.Tensor) -> None:
    noise = some_noise()
    out = quantizer(x, noise=noise, temperature=0.7)
    logits = quantizer.weight_proj(x).view(3, 4, 2, 5)
    assert torch.equal(out.codes, (logits + noise).argmax(-1))
    assert not torch.equal(out.codes, quantizer(x).codes)
    # Perplexities are those of the model's opinion, not of the noise.
    assert_close(out.code_perplexity, quantizer(x).code_perplexity)
    assert_close(out.prob_perplexity, quantizer(x).prob_perplexity)


def test_the_gradient_is_that_of_the_softmax(quantizer: GumbelVectorQuantizer, x: torch.Tensor) -> None:
    noise, weights = some_noise(), torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(2))
    (quantizer(x, noise=noise, temperature=0.7).vectors * weights).sum().backward()
    found = quantizer.weight_proj.weight.grad
    quantizer.zero_grad()
    logits = quantizer.weight_proj(x).view(3, 4, 2, 5)
    soft = F.softmax((logits + noise) / 0.7, dim=-1)
    vectors = torch.einsum("bmgv,gvd->bmgd", soft, quantizer.vars.detach().view(2, 5, 4)).flatten(2)
    (vectors * weights).sum().backward()
    assert_close(found, quantizer.weight_proj.weight.grad)


def test_only_chosen_entries_learn(quantizer: GumbelVectorQuantizer, x: torch.Tensor) -> None:
    out = quantizer(x, noise=some_noise(), temperature=0.1)
    out.vectors.sum().backward()
    touched = quantizer.vars.grad.view(2, 5, 4).abs().sum(-1) > 1e-5
    chosen = F.one_hot(out.codes, 5).sum((0, 1)) > 0
    assert torch.equal(touched, chosen)


@pytest.mark.parametrize("groups", [1, 3])
def test_perplexity_lies_between_one_entry_and_all(groups: int) -> None:
    one, all_alike = torch.zeros(groups, 7), torch.full((groups, 7), 1 / 7)
    one[:, 3] = 1
    assert float(perplexity(one)) == pytest.approx(groups, rel=1e-5)
    assert float(perplexity(all_alike)) == pytest.approx(7 * groups, rel=1e-5)
    assert 1 < float(perplexity(torch.tensor([[0.9, 0.1]]))) < 2


def test_perplexities_leave_padding_out(quantizer: GumbelVectorQuantizer, x: torch.Tensor) -> None:
    valid = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    out = quantizer(x, valid)
    alone = quantizer(x[valid][None])
    assert_close(out.prob_perplexity, alone.prob_perplexity)
    assert_close(out.code_perplexity, alone.code_perplexity)
    assert torch.isfinite(quantizer(x, torch.zeros_like(valid)).prob_perplexity)


def test_a_shared_codebook_is_stored_once(x: torch.Tensor) -> None:
    quantizer = GumbelVectorQuantizer(6, 8, CONFIG, combine_groups=True)
    assert quantizer.vars.shape == (1, 5, 4)
    out = quantizer(x)
    expected = quantizer.vars[0][out.codes].flatten(2)
    assert torch.equal(out.vectors, expected)
    assert quantizer.size == 10


def test_a_deep_projection(x: torch.Tensor) -> None:
    quantizer = GumbelVectorQuantizer(6, 8, QuantizerConfig(2, 5, depth=3, factor=2))
    widths = [
        tuple(p.shape) for name, p in quantizer.weight_proj.named_parameters() if name.endswith("weight")
    ]
    assert widths == [(12, 6), (12, 12), (10, 12)]
    assert quantizer(x).vectors.shape == (3, 4, 8)
