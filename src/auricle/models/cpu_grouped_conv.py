"""The grouped convolution of positions on a CPU: matrix products of rows that stay in the cache.

oneDNN computes it, forwards and backwards, at a third of the rate of a matrix product. One group of one
utterance is small: copied so that each row holds the channels of eight positions one after the other, it
stays in a core's cache, and eight taps of all frames are one product of a slice of those rows.

Legend: B batch, N frames, C channels, G groups, W = C / G channels of a group, K taps.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

_TAPS = 8
"""Positions in a row; rows overlap, so each position is copied that many times."""


def grouped_conv1d(x: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    """A convolution around each frame: frame n sees K positions from n - K // 2 on, zeros outside.

    Args:
        x: [B, N, C] float32.
        weight: [C, W, K].
        bias: [C].
        groups: G.

    Returns:
        [B, N, C], contiguous.
    """
    return _GroupedConv.apply(x, weight, groups) + bias  # type: ignore[no-any-return,no-untyped-call]


class _GroupedConv(torch.autograd.Function):
    """See `grouped_conv1d`."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.groups = groups  # type: ignore[attr-defined]
        return _correlate(x, _tap_rows(weight, groups), weight.shape[-1] // 2)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        groups = ctx.groups  # type: ignore[attr-defined]
        channels, width, kernel = weight.shape
        # What a position did for the frames around it: the taps in reverse, from outputs to inputs.
        turned = weight.view(groups, width, width, kernel).transpose(1, 2).flip(-1).reshape(weight.shape)
        g_x = _correlate(gradients[0], _tap_rows(turned, groups), kernel - 1 - kernel // 2)

        frames = x.shape[1]
        g = gradients[0].reshape(*x.shape[:2], groups, width).transpose(1, 2)
        parts = -(-kernel // _TAPS)
        g_rows = weight.new_zeros(groups, parts, _TAPS * width, width)
        for row, some, rows in _rows_of_groups(x, groups, parts, kernel // 2):
            for i in range(parts):
                part = rows[:, i * _TAPS : i * _TAPS + frames]
                g_rows[some, i] += torch.bmm(part.transpose(1, 2), g[row, some])
        g_taps = g_rows.view(groups, parts * _TAPS, width, width)[:, :kernel]
        return g_x, g_taps.permute(0, 3, 2, 1).reshape(channels, width, kernel), None


def _tap_rows(weight: Tensor, groups: int) -> Tensor:
    """[C, W, K] -> [G, ceil(K / 8), 8 * W, W]: what each product takes, filled up with zeros."""
    _, width, kernel = weight.shape
    filled = F.pad(weight, (0, -kernel % _TAPS))
    by_tap = filled.view(groups, width, width, filled.shape[-1]).permute(0, 3, 2, 1)
    return by_tap.reshape(groups, filled.shape[-1] // _TAPS, _TAPS * width, width)


def _correlate(x: Tensor, taps: Tensor, before: int) -> Tensor:
    """Each frame's sum over t of tap t times position n - before + t: [B, N, C] -> [B, N, C]."""
    groups, parts = taps.shape[:2]
    frames = x.shape[1]
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    by_group = y.view(*x.shape[:2], groups, -1).transpose(1, 2)
    for row, some, rows in _rows_of_groups(x, groups, parts, before):
        total = torch.bmm(rows[:, :frames], taps[some, 0])
        for i in range(1, parts):
            total.baddbmm_(rows[:, i * _TAPS : i * _TAPS + frames], taps[some, i])
        by_group[row, some] = total
    return y


def _rows_of_groups(x: Tensor, groups: int, parts: int, before: int) -> Iterator[tuple[int, slice, Tensor]]:
    """Each utterance of [B, N, C], and a group for each thread at a time, as rows of eight positions.

    The rows [g, N + (parts - 1) * 8, 8 * W] start `before` positions ahead of the utterance, with zeros.
    """
    batch, frames, channels = x.shape
    width = channels // groups
    count = frames + (parts - 1) * _TAPS
    padded = x.new_zeros(batch, groups, count + _TAPS - 1, width)
    padded[:, :, before : before + frames] = x.reshape(batch, frames, groups, width).transpose(1, 2)
    size = torch.get_num_threads()
    for row in range(batch):
        for first in range(0, groups, size):
            some = slice(first, min(first + size, groups))
            rows = padded[row, some].unfold(1, _TAPS, 1).transpose(2, 3).flatten(2)
            # Contiguous in earnest: rows of a view overlap, and the products would copy it each time.
            yield row, some, rows.contiguous()
