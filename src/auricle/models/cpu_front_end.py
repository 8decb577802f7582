"""The front end in inference on a CPU: all its convolutions over one stretch of frames, then over the next.

What one convolution hands to the next is large: of 30 s of sound the first one gives 200 MB. Of one stretch
it stays in the cores' caches, memory does not grow with the recording, and shapes are the same for clips of
all lengths, for each of which oneDNN would make a kernel and keep it.

Legend: B batch, I input positions, N frames, K kernel, S stride, C channels in, D channels out.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from auricle.models.cpu_conv_products import Products

STRETCH = 64
"""Frames of the last convolution at a time, for each thread."""

Layer = Callable[[Tensor], Tensor]
"""A convolution without padding, its norm and its GELU, of one utterance: [I, C] -> [N, D], contiguous."""

First = Callable[[int, int, int], Tensor]
"""(row of the batch, start, stop) -> these frames, [stop - start, D], of what the first layer makes of it."""


def layer(
    weight: Tensor, bias: Tensor | None, stride: int, norm: Layer | None, *, lay_out: bool = False
) -> Layer:
    """A convolution, `norm` and a GELU, its weights cut up once for all stretches.

    Args:
        weight: [D, C, K] in the type of the products.
        bias: [D] of that type, or None.
        stride: S.
        norm: Of each frame by itself, [N, D] -> [N, D]; None for none.
        lay_out: Whether to lay them out, too: for more than a batch or two.
    """
    products, kernel = Products(weight, stride), weight.shape[2]
    if lay_out:
        products.lay_out()

    def run(x: Tensor) -> Tensor:
        y = products.forward(x, 0, (len(x) - kernel) // stride + 1, bias)
        return torch.ops.aten.gelu_(y if norm is None else norm(y))  # type: ignore[no-any-return]

    return run


def fill(
    y: Tensor,
    counts: Sequence[int],
    first: First,
    layers: Sequence[Layer],
    windows: Sequence[tuple[int, int]],
) -> None:
    """Writes what the layers make of a batch.

    Args:
        y: [B, N, D], to write in; what stands past an utterance's frames is left as it is.
        counts: Frames of each utterance.
        first: The first layer.
        layers: The others.
        windows: (K, S) of each of the others.
    """
    size = STRETCH * torch.get_num_threads()
    for row, count in enumerate(counts):
        for start in range(0, count, size):
            stop = min(start + size, count)
            seen = start, stop
            for kernel, stride in reversed(windows):
                seen = seen[0] * stride, (seen[1] - 1) * stride + kernel
            x = first(row, *seen)
            for run in layers:
                x = run(x)
            y[row, start:stop] = x
