"""Utterances end to end in one row: layers that look at frames one by one compute nothing on padding.

In inference on a CPU, where attention goes from utterance to utterance anyway. What is read once for each
batch, the weights, is as much work there as hundreds of frames, so that batches want to be large whatever
the lengths are.

Legend: B utterances, N frames of the longest, M frames of all, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Packing:
    """Which frames of a batch are packed.

    Attributes:
        valid: bool [B, N], the frames of each utterance, which are its first.
        counts: How many these are.
    """

    valid: Tensor
    counts: Sequence[int]

    def pack(self, x: Tensor) -> Tensor:
        """[B, N, C] -> [1, M, C]; some zeros follow, so that few batches have an M of their own."""
        rows = x[self.valid]
        return F.pad(rows, (0, 0, 0, _rounded(len(rows)) - len(rows)))[None]

    def unpack(self, packed: Tensor) -> Tensor:
        """[1, M, C] -> [B, N, C], zero at padding."""
        x = packed.new_zeros(*self.valid.shape, packed.shape[-1])
        x[self.valid] = packed[0, : sum(self.counts)]
        return x


def packing(x: Tensor, padding_mask: Tensor | None) -> Packing:
    """Of a batch [B, N, C], True at padding, which follows the frames; None: all are frames."""
    valid = torch.ones(x.shape[:2], dtype=torch.bool) if padding_mask is None else ~padding_mask
    return Packing(valid, valid.sum(1).tolist())


def _rounded(count: int) -> int:
    """Up by a thirty-second at most: for each number of rows, oneDNN makes kernels of its own."""
    step = 1 << max(count.bit_length() - 6, 0)
    return -(-count // step) * step
