"""A group norm that knows where each utterance ends.

Legend: B batch, C channels, N frames.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MaskedGroupNorm(nn.GroupNorm):
    """A group norm over channels and time, in float32, with the statistics of the valid frames alone.

    Args:
        num_groups: Groups of channels that are normalised together.
        channels: C, a multiple of that.
        affine: Learn a scale and a shift of each channel.
        reference_padding: Take the statistics over the whole padded row, as fairseq does.
    """

    def __init__(
        self, num_groups: int, channels: int, affine: bool = True, reference_padding: bool = False
    ) -> None:
        super().__init__(num_groups, channels, affine=affine)
        self.reference_padding = reference_padding

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[B, C, N] -> [B, C, N]; `lengths` int64 [B] in frames, None where nothing is padded."""
        if lengths is None or self.reference_padding:
            weight, bias = (None if p is None else p.float() for p in (self.weight, self.bias))
            return F.group_norm(x.float(), self.num_groups, weight, bias, self.eps).type_as(x)
        padding = (torch.arange(x.shape[-1], device=x.device) >= lengths[:, None])[:, None, None]
        # Not len(x), which would be a fixed number to whoever traces this; nor -1, which nothing could be.
        shape = (x.shape[0], self.num_groups, self.num_channels // self.num_groups, x.shape[-1])
        grouped = x.float().reshape(shape).masked_fill(padding, 0.0)
        count = (lengths.clamp(min=1) * grouped.shape[2])[:, None, None, None]
        mean = grouped.sum((2, 3), keepdim=True) / count
        centred = (grouped - mean).masked_fill(padding, 0.0)
        variance = centred.square().sum((2, 3), keepdim=True) / count
        y = (centred * torch.rsqrt(variance + self.eps)).flatten(1, 2)
        if self.affine:
            y = y * self.weight[:, None] + self.bias[:, None]
        return y.type_as(x)
