"""A distractor of the same codes as the frame scored a rounding error apart from it, on some processors."""

import torch

from auricle.models.wav2vec import with_ties


def test_equal_vectors_score_equally_and_keep_their_gradients() -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 3, 4, 1 + 5, requires_grad=True)
    same = torch.rand(2, 3, 5) < 0.5
    noisy = torch.cat([scores[..., :1], scores[..., :1].expand(-1, -1, -1, 5) * (1 + 3e-7)], dim=-1)
    apart = torch.where(same[:, :, None], noisy[..., 1:], scores[..., 1:])
    given = torch.cat([scores[..., :1], apart], dim=-1).detach().requires_grad_()
    tied = with_ties(given, same)
    expected = torch.where(same[:, :, None], given[..., :1], given[..., 1:])
    assert torch.equal(tied[..., 1:], expected) and torch.equal(tied[..., 0], given[..., 0])
    g = torch.randn_like(tied)
    (gradient,) = torch.autograd.grad(tied, given, g)
    assert torch.equal(gradient, g)
