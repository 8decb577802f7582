"""A strided convolution as matrix products: forwards, and backwards to the input and to the weight.

Without padding, taps j to j + S of all frames are one matrix that is there already: the input, channels last,
read as rows of S * C values from position j. So a convolution is ceil(K / S) products, and no copy.

Legend: I input positions, K kernel, S stride, C channels in, D channels out.
"""

import torch
from torch import Tensor

from auricle.models.cpu_matmul import laid_out, product


class Products:
    """The products of any convolution without padding, for some of its frames at a time.

    Args:
        weight: [D, C, K].
        stride: S.
    """

    def __init__(self, weight: Tensor, stride: int) -> None:
        self.stride = stride
        self.shape = weight.shape
        self.firsts = range(0, weight.shape[2], stride)
        parts = torch.split(weight, stride, dim=2)
        self.taps = [part.permute(0, 2, 1).flatten(1).contiguous() for part in parts]
        self.g_taps: list[Tensor] = []

    def lay_out(self) -> None:
        """Makes `forward` faster, and `backward` impossible."""
        self.taps = [laid_out(taps) for taps in self.taps]

    def forward(self, x: Tensor, start: int, count: int, bias: Tensor | None) -> Tensor:
        """The convolution of [I, C] at `count` frames from `start` on: [count, D]."""
        first, *others = zip(self.firsts, self.taps, strict=True)
        total = product(self._windows(x, start, count, *first), first[1], bias)
        for part in others:
            total += product(self._windows(x, start, count, *part), part[1])
        return total

    def backward(self, x: Tensor, start: int, g: Tensor, g_x: Tensor | None) -> None:
        """From the gradient [n, D] at the frames from `start` on, those of the weight, kept here, and of x.

        The gradient of x [I, C] is set at the first S positions of each frame and added to at the others:
        the frames have to come in descending order.
        """
        self.g_taps = self.g_taps or self._zeros()
        for first, taps, g_taps in zip(self.firsts, self.taps, self.g_taps, strict=True):
            g_taps += product(g.t(), self._windows(x, start, len(g), first, taps).t())
            if g_x is not None:
                g_windows = self._windows(g_x, start, len(g), first, taps)
                of_frames = product(g, taps.t())
                g_windows.add_(of_frames) if first else g_windows.copy_(of_frames)

    def weight_gradient(self) -> Tensor:
        """[D, C, K] float32, of all frames that have been through `backward`."""
        outputs, channels, kernel = self.shape
        by_tap = torch.cat(self.g_taps or self._zeros(), dim=1)
        return by_tap.view(outputs, kernel, channels).permute(0, 2, 1)

    def _zeros(self) -> list[Tensor]:
        # Many blocks are summed up: in float32, whatever the products are computed in.
        return [torch.zeros_like(taps, dtype=torch.float32) for taps in self.taps]

    def _windows(self, x: Tensor, start: int, count: int, first: int, taps: Tensor) -> Tensor:
        """What `taps`, those from `first`, see in [I, C] from frame `start` on: a view [count, taps * C]."""
        channels = x.shape[1]
        place = x.storage_offset() + (start * self.stride + first) * channels
        return x.as_strided((count, taps.shape[1]), (self.stride * channels, 1), place)
