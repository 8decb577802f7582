"""A strided convolution as matrix products: forwards, and backwards to the input and to the weight.

Without padding, taps j to j + S of all frames are one matrix that is there already: the input, channels last,
read as rows of S * C values from position j. So a convolution is ceil(K / S) products, and no copy.

Legend: I input positions, K kernel, S stride, C channels in, D channels out.
"""

import torch
from torch import Tensor


class Products:
    """The products of any convolution without padding, for some of its frames at a time.

    Args:
        weight: [D, C, K].
        stride: S.
    """

    def __init__(self, weight: Tensor, stride: int) -> None:
        self.stride = stride
        self.channels = weight.shape[1]
        self.by_tap = weight.permute(0, 2, 1).contiguous()
        self.g_by_tap = torch.zeros_like(self.by_tap)
        self.firsts = range(0, weight.shape[2], stride)

    def forward(self, x: Tensor, start: int, out: Tensor) -> None:
        """The convolution of [I, C] at the frames from `start` on, as many as `out` [n, D] has rows."""
        for first in self.firsts:
            taps = self._taps(self.by_tap, first)
            part = self._windows(x, first, start, len(out), taps)
            torch.addmm(out, part, taps.t(), beta=float(first > 0), out=out)

    def backward(self, x: Tensor, start: int, g: Tensor, g_x: Tensor | None) -> None:
        """From the gradient [n, D] at the frames from `start` on, those of the weight, kept here, and of x.

        The gradient of x [I, C] is set at the first S positions of each frame and added to at the others:
        the frames have to come in descending order.
        """
        for first in self.firsts:
            taps = self._taps(self.by_tap, first)
            self._taps(self.g_by_tap, first).addmm_(g.t(), self._windows(x, first, start, len(g), taps))
            if g_x is not None:
                g_part = self._windows(g_x, first, start, len(g), taps)
                torch.addmm(g_part, g, taps, beta=float(first > 0), out=g_part)

    def weight_gradient(self) -> Tensor:
        """[D, C, K], of all frames that have been through `backward`."""
        return self.g_by_tap.permute(0, 2, 1)

    def _taps(self, by_tap: Tensor, first: int) -> Tensor:
        """Of [D, K, C], the taps from `first`, S of them or fewer: a view [D, taps * C]."""
        return by_tap.flatten(1)[:, first * self.channels : (first + self.stride) * self.channels]

    def _windows(self, x: Tensor, first: int, start: int, count: int, taps: Tensor) -> Tensor:
        """What `taps`, those from `first`, see in [I, C] from frame `start` on: a view [count, taps * C]."""
        return _strided(x, start * self.stride + first, self.stride, count, taps.shape[1])


class PairProducts(Products):
    """The products of kernel 3 and stride 2, with five sixths of the work.

    Taps a, b, c give two neighbouring frames a x0 + b x1 + c x2 and a x2 + b x3 + c x4 of positions 0 to 4:
    six products. They are also s + a (x0 - x2) + b x1 and s + b x3 + c (x4 - x2) with s = (a + c) x2: five.
    (Short filters with fewer products are Winograd's, 1980; backwards it is the same, transposed.)

    Args:
        weight: [D, C, 3].
        most_frames: That are asked for at a time.
    """

    def __init__(self, weight: Tensor, most_frames: int) -> None:
        super().__init__(weight, stride=2)
        self.a, self.b, self.c = self.by_tap.unbind(1)
        self.sum = self.a + self.c
        self.g_sum = torch.zeros_like(self.sum)
        # Room that stays in the cache.
        self.scratch = weight.new_empty(most_frames // 2, weight.shape[1])
        self.g_both = weight.new_empty(most_frames // 2, weight.shape[0])

    def forward(self, x: Tensor, start: int, out: Tensor) -> None:
        """See `Products`."""
        if len(out) % 2:
            super().forward(x, start + len(out) - 1, out[-1:])
            out = out[:-1]
        x0, odd, x2, x4 = self._positions(x, start, len(out))
        first, second, difference = out[0::2], out[1::2], self.scratch[: len(out) // 2]
        torch.mm(x2, self.sum.t(), out=first)
        second.copy_(first)
        first.addmm_(torch.sub(x0, x2, out=difference), self.a.t())
        second.addmm_(torch.sub(x4, x2, out=difference), self.c.t())
        out.addmm_(odd, self.b.t())

    def backward(self, x: Tensor, start: int, g: Tensor, g_x: Tensor | None) -> None:
        """See `Products`."""
        if len(g) % 2:
            super().backward(x, start + len(g) - 1, g[-1:], g_x)
            g = g[:-1]
        first, second, scratch = g[0::2], g[1::2], self.scratch[: len(g) // 2]
        both = torch.add(first, second, out=self.g_both[: len(g) // 2])
        g_a, g_b, g_c = self.g_by_tap.unbind(1)
        x0, odd, x2, x4 = self._positions(x, start, len(g))
        g_a.addmm_(first.t(), torch.sub(x0, x2, out=scratch))
        g_b.addmm_(g.t(), odd)
        g_c.addmm_(second.t(), torch.sub(x4, x2, out=scratch))
        self.g_sum.addmm_(both.t(), x2)
        if g_x is not None:
            x0, odd, x2, x4 = self._positions(g_x, start, len(g))
            torch.mm(first, self.a, out=x0)
            torch.mm(g, self.b, out=odd)
            torch.mm(both, self.sum, out=x2)
            of_last = torch.mm(second, self.c, out=scratch)
            x2.sub_(x0).sub_(of_last)
            x4.add_(of_last)

    def weight_gradient(self) -> Tensor:
        """See `Products`."""
        g_by_tap = self.g_by_tap.clone()
        g_by_tap[:, 0::2] += self.g_sum[:, None]
        return g_by_tap.permute(0, 2, 1)

    def _positions(self, x: Tensor, start: int, count: int) -> tuple[Tensor, ...]:
        """Views of [I, C]: x0 [count / 2, C], x1 and x3 in turn [count, C], x2 and x4 [count / 2, C]."""
        x0, x2, x4 = (_strided(x, 2 * start + i, 4, count // 2, self.channels) for i in (0, 2, 4))
        return x0, _strided(x, 2 * start + 1, 2, count, self.channels), x2, x4


def products_of(weight: Tensor, stride: int, most_frames: int) -> Products:
    """Those of this weight [D, C, K] and stride that take the least work."""
    if (weight.shape[2], stride) == (3, 2):
        return PairProducts(weight, most_frames)
    return Products(weight, stride)


def _strided(x: Tensor, first: int, step: int, count: int, width: int) -> Tensor:
    """Of [I, C], `width` values from position `first` on, then from `step` further, `count` times: a view."""
    channels = x.shape[1]
    return x.as_strided((count, width), (step * channels, 1), x.storage_offset() + first * channels)
