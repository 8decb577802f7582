"""Attention, some heads at a time, against the formula with the same draw."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from auricle.models import cpu_attention, cpu_matmul
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
    kept = keep_mask(scores.shape, p) / (1 - p) if p > 0 else 1.0
    return (scores.softmax(-1) * kept) @ v


@pytest.mark.parametrize("scores_at_a_time", [1, 2 * M, 2 * N * M, 2**18])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("p", [0.3, 0.0])
def test_values_and_gradients(
    p: float, mask: str, scores_at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_attention, "_SCORES", scores_at_a_time)
    torch.manual_seed(0)
    # As projections give them: [B, N, H, D], seen as [B, H, N, D].
    leaves = [torch.randn(B, length, H, D, requires_grad=True) for length in (N, M, M)]
    results = []
    g = torch.randn(B, H, N, D)
    for attend in (cpu_attention.attention, formula):
        torch.manual_seed(1)
        y = attend(*(x.transpose(1, 2) for x in leaves), MASKS[mask], p)
        results.append((y, torch.autograd.grad(y, leaves, g)))
    assert_close(*results, rtol=1e-4, atol=1e-5)


def test_large_scores_do_not_overflow() -> None:
    q = torch.full((1, 1, 3, 4), 1e3)
    y = cpu_attention.attention(q, q, torch.ones(1, 1, 3, 4), None, 0.0)
    assert_close(y, torch.ones(1, 1, 3, 4))


@pytest.mark.parametrize("p", [0.3, 0.0])
@pytest.mark.parametrize("products_from", [0, 2**40])
def test_large_products_and_small_ones(p: float, products_from: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_matmul, "SMALLEST", products_from)
    test_values_and_gradients(p, "rows", 2**18, monkeypatch)


def test_a_query_that_may_look_at_nothing_gets_zeros() -> None:
    q = torch.randn(1, 1, 3, 4, requires_grad=True)
    nothing = torch.zeros(1, 1, 1, 3, dtype=torch.bool)
    y = cpu_attention.attention(q, q, q, nothing, 0.0)
    y.sum().backward()
    assert_close(y, torch.zeros_like(y))
    assert torch.isfinite(q.grad).all()


@pytest.mark.parametrize("p", [0.3, 0.0])
def test_bfloat16_loses_no_more_than_its_own_precision(p: float) -> None:
    torch.manual_seed(0)
    exact = [torch.randn(B, length, H, D).bfloat16() for length in (N, M, M)]
    g = torch.randn(B, H, N, D)
    results = []
    for dtype in (torch.bfloat16, torch.float32):
        leaves = [x.to(dtype).requires_grad_() for x in exact]
        torch.manual_seed(1)
        y = cpu_attention.attention(*(x.transpose(1, 2) for x in leaves), MASKS["rows"], p)
        assert y.dtype == dtype
        results.append([x.float() for x in (y, *torch.autograd.grad(y, leaves, g.to(dtype)))])
    for ours, theirs in zip(*results, strict=True):
        assert_close(ours, theirs, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("scores_at_a_time", [1, 2 * N * M, 2**18])
@pytest.mark.parametrize("mask", MASKS)
def test_inference_gives_what_training_gives(
    mask: str, scores_at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_attention, "_SCORES", scores_at_a_time)
    torch.manual_seed(0)
    q, k, v = (torch.randn(B, length, H, D).transpose(1, 2) for length in (N, M, M))
    with torch.inference_mode():
        found = cpu_attention.attention(q, k, v, MASKS[mask], 0.0)
    assert_close(found, cpu_attention.attention(q, k, v, MASKS[mask], 0.0))
    assert found.transpose(1, 2).is_contiguous()


def test_in_inference_too_a_query_that_may_look_at_nothing_gets_zeros() -> None:
    q, k, v = (torch.randn(1, 1, N, D) for _ in range(3))
    some = torch.ones(N, N, dtype=torch.bool)
    some[2] = False
    with torch.inference_mode():
        y = cpu_attention.attention(q, k, v, some, 0.0)
    assert_close(y[0, 0, 2], torch.zeros(D))
    assert y[0, 0, 3].abs().sum() > 0
