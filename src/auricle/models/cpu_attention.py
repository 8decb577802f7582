"""Attention on a CPU, some heads or some queries at a time, so that their scores stay in the cores' caches.

`scaled_dot_product_attention` has no fast kernel for dropout on a CPU, and without dropout one that is built
on slow products (see `cpu_matmul`). By hand over all heads at once, each step from scores to weights would
write an array [B, H, N, M] to memory, and memory that is new costs ten times what the arithmetic does.
Backward computes the scores again instead of keeping them (as in Dao et al. 2022, FlashAttention, section
3.1), so that all that is kept of a score is the two bytes of its dropout.

Legend: B batch, N queries, M keys, H heads, D channels a head.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from auricle.models import cpu_matmul
from auricle.models.dropout import keep_mask

_SCORES = 2**18
"""Scores at a time, for each thread: a megabyte."""

SMALLEST = 2**14
"""Scores of a head from which on this is faster than torch's kernel without dropout."""

_LOWEST, _TINIEST = torch.finfo(torch.float32).min, torch.finfo(torch.float32).tiny

Chunk = tuple[int, slice, slice]
"""A row of the batch, some of its heads, some of their queries."""


def attention(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, p: float) -> Tensor:
    """`dropout(softmax(q k / sqrt(D))) v`.

    Args:
        q: [B, H, N, D] float32 or bfloat16; products are of this type, the softmax is in float32.
        k: [B, H, M, D].
        v: [B, H, M, D].
        key_mask: bool, broadcast to [B, H, N, M], True where a key may be looked at; a query that may
            look at none gets zeros. None: all.
        p: Share of the weights that is dropped, below 1.

    Returns:
        [B, H, N, D], a view of [B, N, H, D].
    """
    if p == 0.0 and not torch.is_grad_enabled():
        return _inference(q, k, v, key_mask)
    return _Attention.apply(q, k, v, key_mask, p)  # type: ignore[no-any-return,no-untyped-call]


def _inference(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None) -> Tensor:
    """As `attention` without dropout: with nothing to remember, torch's own softmax does it in one pass."""
    shape = (*q.shape[:3], k.shape[2])
    hidden = None if key_mask is None else (~key_mask).expand(shape)
    q = q * q.shape[-1] ** -0.5
    y = _frames_first(q)
    for chunk in _chunks(shape):
        scores = _products(q[chunk], k[chunk[:2]])
        if hidden is not None:
            scores = scores.masked_fill_(hidden[chunk], float("-inf"))
        weights = scores.softmax(-1)
        if hidden is not None:
            weights = weights.nan_to_num_(0.0)  # of a query that may look at nothing
        y[chunk] = _products(weights, v[chunk[:2]].transpose(1, 2))
    return y


class _Attention(torch.autograd.Function):
    """See `attention`."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, p: float
    ) -> Tensor:
        shape = (*q.shape[:3], k.shape[2])
        hidden = None if key_mask is None else (~key_mask).expand(shape)
        keep = keep_mask(shape, p) if p > 0.0 else None
        q = q * q.shape[-1] ** -0.5
        y = _frames_first(q)
        log_sums = q.new_empty(*shape[:3], 1, dtype=torch.float32)
        for chunk in _chunks(shape):
            weights = _scores(q, k, hidden, chunk)
            # Finite also where a query may look at nothing: its weights are zeros then.
            largest = weights.amax(-1, keepdim=True).clamp_(min=_LOWEST)
            sums = weights.sub_(largest).exp_().sum(-1, keepdim=True).clamp_(min=_TINIEST)
            log_sums[chunk] = sums.log() + largest
            if keep is not None:
                weights *= keep[chunk]
            # Dividing what comes out is less work than dividing the weights.
            total = _products(weights.to(v.dtype), v[chunk[:2]].transpose(1, 2))
            y[chunk] = total.div_((sums * (1.0 - p)).to(total.dtype))
        ctx.save_for_backward(q, k, v, y, log_sums, keep, hidden)  # type: ignore[arg-type]
        ctx.scale = 1.0 / (1.0 - p)  # type: ignore[attr-defined]
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, y, log_sums, keep, hidden = ctx.saved_tensors  # type: ignore[attr-defined]
        g = gradients[0]
        # The softmax's backward wants the sum of a query's weights times their gradients: it is y g.
        products = (g * y).sum(-1, keepdim=True, dtype=torch.float32)
        g = g * ctx.scale  # type: ignore[attr-defined]
        g_q, g_k, g_v = _frames_first(q), _frames_first(k).zero_(), _frames_first(v).zero_()
        for chunk in _chunks((*q.shape[:3], k.shape[2])):
            heads = chunk[:2]
            weights = _scores(q, k, hidden, chunk).sub_(log_sums[chunk]).exp_()
            kept = weights if keep is None else weights * keep[chunk]
            g_v[heads] += _products(kept.to(v.dtype).transpose(1, 2), g[chunk].transpose(1, 2))
            g_scores = _products(g[chunk], v[heads]).float().mul_(kept)
            g_scores = g_scores.addcmul_(weights, products[chunk], value=-1.0).to(q.dtype)
            g_q[chunk] = _products(g_scores, k[heads].transpose(1, 2))
            g_k[heads] += _products(g_scores.transpose(1, 2), q[chunk].transpose(1, 2))
        return g_q.mul_(q.shape[-1] ** -0.5), g_k, g_v, None, None


def _chunks(shape: tuple[int, ...]) -> Iterator[Chunk]:
    """All chunks of scores of this shape, [B, H, N, M]."""
    batch, heads, queries, keys = shape
    most = _SCORES * torch.get_num_threads()
    some_heads = max(1, min(heads, most // (queries * keys)))
    some_queries = max(1, min(queries, most // keys))
    for row in range(batch):
        for head in range(0, heads, some_heads):
            for query in range(0, queries, some_queries):
                yield (
                    row,
                    slice(head, min(head + some_heads, heads)),
                    slice(query, min(query + some_queries, queries)),
                )


def _frames_first(x: Tensor) -> Tensor:
    """An empty tensor shaped like `x` [B, H, N, D], laid out as [B, N, H, D]: as projections want it."""
    return torch.empty_like(x.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)


def _scores(q: Tensor, k: Tensor, hidden: Tensor | None, chunk: Chunk) -> Tensor:
    """Scores [h, n, M] float32 of a chunk, -inf where a key is hidden; `q` is scaled already."""
    scores = _products(q[chunk], k[chunk[:2]]).float()
    return scores if hidden is None else scores.masked_fill_(hidden[chunk], float("-inf"))


def _products(x: Tensor, weight: Tensor) -> Tensor:
    """`x @ weight.T` of each head: [h, n, K] and [h, m, K] -> [h, n, m]."""
    # torch gives those of bfloat16 to oneDNN itself, all heads at once; it would turn transposed rows round.
    known = x.dtype == torch.bfloat16 and x.stride(-1) == 1
    if known or x[0].numel() * weight.shape[1] < cpu_matmul.SMALLEST:
        return torch.bmm(x, weight.transpose(1, 2))
    if len(x) == 1:
        return cpu_matmul.product(x[0], weight[0])[None]
    return torch.stack([cpu_matmul.product(*head) for head in zip(x, weight, strict=True)])
