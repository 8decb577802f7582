"""Attention with dropout on a CPU, some heads at a time, so that their scores stay in the cores' caches.

`scaled_dot_product_attention` has no fast kernel for dropout on a CPU. By hand over all heads at once, each
step from scores to weights would write an array [B, H, N, M] to memory, and memory that is new costs ten
times what the arithmetic does. Backward computes the scores again instead of keeping them (as in Dao et al.
2022, FlashAttention, section 3.1), so that all that is kept of a score is the two bytes of its dropout.

Legend: B batch, N queries, M keys, H heads, D channels a head.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from auricle.models.dropout import keep_mask

_SCORES = 2**18
"""Scores at a time, for each thread: a megabyte."""

Chunk = tuple[int, slice]
"""A row of the batch, and some of its heads."""


def dropout_attention(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, p: float) -> Tensor:
    """`dropout(softmax(q k / sqrt(D))) v`.

    Args:
        q: [B, H, N, D] float32.
        k: [B, H, M, D] float32.
        v: [B, H, M, D] float32.
        key_mask: bool, broadcast to [B, H, N, M], True where a key may be looked at: at least one for each
            query. None: all.
        p: Share of the weights that is dropped, below 1.

    Returns:
        [B, H, N, D], a view of [B, N, H, D].
    """
    return _Attention.apply(q, k, v, key_mask, p)  # type: ignore[no-any-return,no-untyped-call]


class _Attention(torch.autograd.Function):
    """See `dropout_attention`."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, p: float
    ) -> Tensor:
        shape = (*q.shape[:3], k.shape[2])
        if key_mask is not None:
            key_mask = key_mask.expand(shape)
        keep = keep_mask(shape, p)
        y = _frames_first(q)
        log_sums = q.new_empty(*shape[:3], 1)
        buffer = _buffers(q, shape, 1)[0]
        for chunk in _chunks(shape):
            weights = _scores(q, k, key_mask, chunk, buffer)
            largest = weights.amax(-1, keepdim=True)
            sums = weights.sub_(largest).exp_().sum(-1, keepdim=True)
            log_sums[chunk] = sums.log() + largest
            # Dividing what comes out is less work than dividing the weights.
            y[chunk] = torch.bmm(weights.mul_(keep[chunk]), v[chunk]).div_(sums * (1.0 - p))
        ctx.save_for_backward(q, k, v, y, log_sums, keep, key_mask)  # type: ignore[arg-type]
        ctx.scale = 1.0 / (1.0 - p)  # type: ignore[attr-defined]
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, y, log_sums, keep, key_mask = ctx.saved_tensors  # type: ignore[attr-defined]
        g = gradients[0]
        # The softmax's backward wants the sum of a query's weights times their gradients: it is y g.
        products = (g * y).sum(-1, keepdim=True)
        g = g * ctx.scale  # type: ignore[attr-defined]
        g_q, g_k, g_v = map(_frames_first, (q, k, v))
        first, second, third = _buffers(q, keep.shape, 3)
        scale = q.shape[-1] ** -0.5
        for chunk in _chunks(keep.shape):
            weights = _scores(q, k, key_mask, chunk, first)
            weights.sub_(log_sums[chunk]).exp_()
            kept = torch.mul(weights, keep[chunk], out=second[: len(weights)])
            g_v[chunk] = torch.bmm(kept.transpose(1, 2), g[chunk])
            g_scores = torch.bmm(g[chunk], v[chunk].transpose(1, 2), out=third[: len(weights)])
            g_scores.mul_(kept).addcmul_(weights, products[chunk], value=-1.0)
            g_q[chunk] = torch.bmm(g_scores, k[chunk]).mul_(scale)
            g_k[chunk] = torch.bmm(g_scores.transpose(1, 2), q[chunk]).mul_(scale)
        return g_q, g_k, g_v, None, None


def _heads_at_a_time(shape: tuple[int, ...]) -> int:
    _, heads, queries, keys = shape
    return max(1, min(heads, _SCORES * torch.get_num_threads() // (queries * keys)))


def _chunks(shape: tuple[int, ...]) -> Iterator[Chunk]:
    """All chunks of scores of this shape, [B, H, N, M]."""
    batch, heads = shape[:2]
    size = _heads_at_a_time(shape)
    for row in range(batch):
        for first in range(0, heads, size):
            yield row, slice(first, min(first + size, heads))


def _buffers(x: Tensor, shape: tuple[int, ...], count: int) -> Tensor:
    """Room for `count` times the scores of a chunk."""
    return x.new_empty(count, _heads_at_a_time(shape), *shape[2:])


def _frames_first(x: Tensor) -> Tensor:
    """An empty tensor shaped like `x` [B, H, N, D], laid out as [B, N, H, D]: as projections want it."""
    return torch.empty_like(x.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)


def _scores(q: Tensor, k: Tensor, key_mask: Tensor | None, chunk: Chunk, buffer: Tensor) -> Tensor:
    """Scores [h, N, M] of a chunk, -inf where a key is masked."""
    some_q, some_k = q[chunk], k[chunk]
    scores = buffer[: len(some_q)]
    scale = q.shape[-1] ** -0.5
    torch.baddbmm(scores, some_q, some_k.transpose(1, 2), beta=0.0, alpha=scale, out=scores)
    return scores if key_mask is None else scores.masked_fill_(~key_mask[chunk], float("-inf"))
