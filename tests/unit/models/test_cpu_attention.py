"""Attention with dropout, some heads at a time, against the formula with the same draw."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from auricle.models import cpu_attention
from auricle.models.cpu_attention import dropout_attention
from auricle.models.dropout import keep_mask

B, H, N, M, D = 2, 5, 9, 11, 4
MASKS = {
    "all": None,
    "rows": (torch.arange(M) < torch.tensor([M, 5])[:, None])[:, None, None],
    "causal": torch.ones(N, M, dtype=torch.bool).tril(),
}


def formula(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, p: float) -> Tensor:
    scores = q @ k.transpose(-1, -2) / math.sqrt(D)
    if key_mask is not None:
        scores = scores.masked_fill(~key_mask, -math.inf)
    return (scores.softmax(-1) * keep_mask(scores.shape, p) / (1 - p)) @ v


@pytest.mark.parametrize("scores_at_a_time", [1, 2 * N * M, 2**18])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("p", [0.3, 1e-7])
def test_values_and_gradients(
    p: float, mask: str, scores_at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_attention, "_SCORES", scores_at_a_time)
    torch.manual_seed(0)
    # As projections give them: [B, N, H, D], seen as [B, H, N, D].
    leaves = [torch.randn(B, length, H, D, requires_grad=True) for length in (N, M, M)]
    results = []
    g = torch.randn(B, H, N, D)
    for attention in (dropout_attention, formula):
        torch.manual_seed(1)
        y = attention(*(x.transpose(1, 2) for x in leaves), MASKS[mask], p)
        results.append((y, torch.autograd.grad(y, leaves, g)))
    assert_close(*results, rtol=1e-4, atol=1e-5)


def test_large_scores_do_not_overflow() -> None:
    q = torch.full((1, 1, 3, 4), 1e3)
    y = dropout_attention(q, q, torch.ones(1, 1, 3, 4), None, 1e-7)
    assert_close(y, torch.ones(1, 1, 3, 4))
