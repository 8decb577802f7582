"""The k-means quantizer of vq-wav2vec: nearest entries, straight-through gradients, its two penalties."""

import pytest
import torch
from torch.testing import assert_close

from auricle.models.quantizer import KMeansVectorQuantizer
from auricle.models.wav2vec_config import CodebooksConfig


def quantizer_of(groups: int = 2, entries: int = 5, **options: object) -> KMeansVectorQuantizer:
    torch.manual_seed(0)
    config = CodebooksConfig("kmeans", groups, entries, **options)  # type: ignore[arg-type]
    quantizer = KMeansVectorQuantizer(8, config)
    quantizer.embedding.data.normal_()
    return quantizer


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("combine", [False, True])
def test_each_group_takes_its_nearest_entry(x: torch.Tensor, combine: bool) -> None:
    quantizer = quantizer_of(combine_groups=combine)
    assert quantizer.embedding.shape == (5, 1 if combine else 2, 4)
    features = quantizer.projection(x.transpose(1, 2)).transpose(1, 2)
    quantized = quantizer(x)
    for group in range(2):
        entries = quantizer.embedding[:, 0 if combine else group]
        part = features[..., 4 * group : 4 * group + 4]
        distances = (part[..., None, :] - entries).norm(dim=-1)
        assert torch.equal(quantized.codes[..., group], distances.argmin(-1))
        assert_close(quantized.vectors[..., 4 * group : 4 * group + 4], entries[distances.argmin(-1)])


def test_gradients_pass_to_the_features_and_not_to_the_entries(x: torch.Tensor) -> None:
    quantizer = quantizer_of()
    x.requires_grad_()
    weight = torch.randn(3, 6, 8)
    (quantizer(x).vectors * weight).sum().backward()
    through, x.grad = x.grad, None
    assert quantizer.embedding.grad is None
    (quantizer.projection(x.transpose(1, 2)).transpose(1, 2) * weight).sum().backward()
    assert_close(through, x.grad)


def test_the_penalties(x: torch.Tensor) -> None:
    quantizer = quantizer_of(gamma=0.5)
    quantized = quantizer(x)
    features = quantizer.projection(x.transpose(1, 2)).transpose(1, 2)
    distance = (features - quantized.vectors).detach().square().mean()
    assert_close(quantized.kmeans_loss, 1.5 * distance)
    quantized.kmeans_loss.backward()
    chosen = torch.zeros(5, 2, dtype=torch.bool)
    for group in range(2):
        chosen[quantized.codes[..., group].unique(), group] = True
    assert torch.equal(quantizer.embedding.grad.abs().sum(-1) > 0, chosen)


def test_lengths_leave_padding_out_of_codes_statistics_and_penalties(x: torch.Tensor) -> None:
    quantizer = quantizer_of()
    alone = [quantizer(x[:1]), quantizer(x[1:2, :4])]
    together = quantizer(x[:2], torch.tensor([6, 4]))
    assert torch.equal(together.codes[1, :4], alone[1].codes[0])
    weighed = (alone[0].kmeans_loss * 6 + alone[1].kmeans_loss * 4) / 10
    assert_close(together.kmeans_loss, weighed)
    codes = torch.cat([alone[0].codes[0], alone[1].codes[0]])
    shares = torch.stack([codes[:, group].bincount(minlength=5) / 10 for group in range(2)])
    perplexity = (-(shares * (shares + 1e-7).log()).sum(-1)).exp().sum()
    assert_close(together.code_perplexity, perplexity)


def test_nothing_to_quantize() -> None:
    quantized, codes = quantizer_of().forward_idx(torch.zeros(2, 8, 0))
    assert quantized.shape == (2, 8, 0) and codes.shape == (2, 0, 2)
