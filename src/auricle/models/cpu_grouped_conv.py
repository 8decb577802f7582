"""The grouped convolution of positions on a CPU: matrix products of rows that stay in the cache.

oneDNN computes it, forwards and backwards, at a fraction of the rate of a matrix product. One group of one
utterance is small: copied so that each row holds the channels of some positions one after the other, it
stays in a core's cache, and as many taps of all frames are one product of a slice of those rows.

Legend: B batch, N frames, C channels, G groups, W = C / G channels of a group, K taps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from auricle.models.cpu_matmul import laid_out, product

_TAPS = 32
"""Most positions in a row; rows overlap, so each position is copied that many times."""


@dataclass(frozen=True, slots=True)
class Taps:
    """A weight [C, W, K] as the products want it.

    Attributes:
        kernel: K.
        by_group: Of each group some taps after the other, [W, taps * W] each; the last ones are filled up
            with zeros.
    """

    kernel: int
    by_group: Sequence[Sequence[Tensor]]


def grouped_conv1d(x: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    """A convolution around each frame: frame n sees K positions from n - K // 2 on, zeros outside.

    Args:
        x: [B, N, C] float32 or bfloat16; its type is that of the products.
        weight: [C, W, K]; its gradient is summed up in float32, whatever the products are computed in.
        bias: [C].
        groups: G.

    Returns:
        [B, N, C], contiguous, of the type of `x`.
    """
    y: Tensor = _GroupedConv.apply(x, weight, groups)  # type: ignore[no-untyped-call]
    return y + bias.to(y.dtype)


def grouped_conv1d_laid_out(x: Tensor, taps: Taps, bias: Tensor) -> Tensor:
    """As `grouped_conv1d`, without a gradient, of a weight that was laid out as `x` wants it."""
    return _correlate(x, taps, taps.kernel // 2) + bias.to(x.dtype)


def taps_of(weight: Tensor, groups: int, *, lay_out: bool = False) -> Taps:
    """A weight [C, W, K] in the type of the products, cut up, and laid out if so asked: for many uses."""
    _, width, kernel = weight.shape
    taps = min(_TAPS, kernel)
    parts = -(-kernel // taps)
    filled = F.pad(weight, (0, parts * taps - kernel)).view(groups, width, width, parts, taps)
    by_group = filled.permute(0, 3, 1, 4, 2).reshape(groups, parts, width, taps * width)
    return Taps(kernel, [[laid_out(part) if lay_out else part for part in group] for group in by_group])


class _GroupedConv(torch.autograd.Function):
    """See `grouped_conv1d`."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.groups = groups  # type: ignore[attr-defined]
        return _correlate(x, taps_of(weight.to(x.dtype), groups), weight.shape[-1] // 2)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        groups = ctx.groups  # type: ignore[attr-defined]
        channels, width, kernel = weight.shape
        # What a position did for the frames around it: the taps in reverse, from outputs to inputs.
        turned = weight.view(groups, width, width, kernel).transpose(1, 2).flip(-1).reshape(weight.shape)
        g_x = _correlate(gradients[0], taps_of(turned.to(x.dtype), groups), kernel - 1 - kernel // 2)

        frames, taps = x.shape[1], min(_TAPS, kernel)
        parts = -(-kernel // taps)
        by_group = _by_group(gradients[0], groups)
        g_taps = weight.new_zeros(groups, parts, taps * width, width, dtype=torch.float32)
        for row, group, rows in _rows_of_groups(x, groups, taps, parts, kernel // 2):
            g = by_group[row, group].t().contiguous()
            for i in range(parts):
                g_taps[group, i] += product(rows[i * taps : i * taps + frames].t(), g)
        g_weight = g_taps.view(groups, parts * taps, width, width)[:, :kernel].permute(0, 3, 2, 1)
        return g_x, g_weight.reshape(channels, width, kernel).to(weight.dtype), None


def _correlate(x: Tensor, taps: Taps, before: int) -> Tensor:
    """Each frame's sum over t of tap t times position n - before + t: [B, N, C] -> [B, N, C]."""
    frames, groups = x.shape[1], len(taps.by_group)
    size, parts = min(_TAPS, taps.kernel), len(taps.by_group[0])
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    by_group = _by_group(y, groups)
    for row, group, rows in _rows_of_groups(x, groups, size, parts, before):
        first, *others = taps.by_group[group]
        # In float32 also where the products are not: convolutions round their sums once.
        total = product(rows[:frames], first).float()
        for i, part in enumerate(others, start=1):
            total += product(rows[i * size : i * size + frames], part)
        by_group[row, group] = total
    return y


def _by_group(x: Tensor, groups: int) -> Tensor:
    """[B, N, C] -> [B, G, N, W], a view where the layout allows one."""
    return x.reshape(*x.shape[:2], groups, x.shape[2] // groups).transpose(1, 2)


def _rows_of_groups(
    x: Tensor, groups: int, taps: int, parts: int, before: int
) -> Iterator[tuple[int, int, Tensor]]:
    """Each utterance of [B, N, C] and each group, as rows of `taps` positions.

    The rows [N + (parts - 1) * taps, taps * W] start `before` positions ahead of the utterance, with zeros.
    """
    batch, frames, channels = x.shape
    count = frames + (parts - 1) * taps
    padded = x.new_zeros(batch, groups, count + taps - 1, channels // groups)
    padded[:, :, before : before + frames] = _by_group(x, groups)
    for row in range(batch):
        for group in range(groups):
            # Contiguous in earnest: rows of a view overlap, and the products would copy it each time.
            rows = padded[row, group].unfold(0, taps, 1).transpose(1, 2).flatten(1)
            yield row, group, rows.contiguous()
