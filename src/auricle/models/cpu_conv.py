"""The front end's convolutions on a CPU: matrix products on channels-last rows, without copies.

oneDNN's backward pass of a strided convolution runs at half the rate of a matrix product, and reorders its
arguments first. The products (see `cpu_conv_products`) go block by block, small enough for the cores' caches,
with the GELU that follows done while the block is there: an array of this size costs more to allocate and to
fill than a GELU to compute.

Legend: B batch, I input positions, N frames, K kernel, S stride, C channels in, D channels out.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from auricle.models.cpu_conv_products import Products
from auricle.models.cpu_matmul import product

_BLOCK = 1024
"""Rows of a block, for each thread."""


def conv1d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, *, gelu: bool) -> Tensor:
    """An unpadded convolution, followed by a GELU if so asked.

    Args:
        x: [B, I, C] float32 or bfloat16; its type is that of the products.
        weight: [D, C, K]; gets its gradient in float32, whatever the products are computed in.
        bias: [D] or None.
        stride: S.
        gelu: Whether to apply one.

    Returns:
        [B, N, D], contiguous, of the type of `x`.
    """
    # Asked here: inside, gradients are off, and `needs_input_grad` counts parameters in inference, too.
    remembers = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    return _Conv.apply(x.contiguous(), weight, bias, stride, gelu, remembers)  # type: ignore[no-any-return,no-untyped-call]


def linear_gelu(x: Tensor, weight: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """`gelu(x @ weight)`, for few inputs: backward computes the product again instead of keeping it.

    Args:
        x: [B, N, K] float32; gets no gradient.
        weight: [B, K, D] float32.
        dtype: Of the result; what leads to it is computed in float32.

    Returns:
        [B, N, D], contiguous.
    """
    return _LinearGELU.apply(x, weight, dtype)  # type: ignore[no-any-return,no-untyped-call]


class _Conv(torch.autograd.Function):
    """See `conv1d`."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        gelu: bool,
        remembers: bool,
    ) -> Tensor:
        products = Products(weight.to(x.dtype), stride)
        bias = None if bias is None else bias.to(x.dtype)
        y = x.new_empty(x.shape[0], (x.shape[1] - weight.shape[2]) // stride + 1, weight.shape[0])
        # Backward wants what the GELU was given.
        z = torch.empty_like(y) if gelu and remembers else y
        for row, rows in _blocks(*y.shape[:2]):
            block = products.forward(x[row], rows.start, rows.stop - rows.start, bias)
            if z is not y or not gelu:
                z[row, rows] = block
            if gelu:
                torch.ops.aten.gelu.out(block, out=y[row, rows])
        ctx.save_for_backward(x, weight, z)
        ctx.has_bias, ctx.stride, ctx.gelu = bias is not None, stride, gelu  # type: ignore[attr-defined]
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, z = ctx.saved_tensors  # type: ignore[attr-defined]
        stride = ctx.stride  # type: ignore[attr-defined]
        products = Products(weight.to(x.dtype), stride)
        g = gradients[0].contiguous()
        g_bias = weight.new_zeros(g.shape[-1]) if ctx.has_bias else None  # type: ignore[attr-defined]
        g_x = None
        if ctx.needs_input_grad[0]:  # type: ignore[attr-defined]
            g_x = torch.empty_like(x)
            _zero_unwritten(g_x, g.shape[1], weight.shape[2], stride)
        scratch = g.new_empty(min(g.shape[1], _block_size()), g.shape[-1])
        # Descending, as the products want it.
        for row, rows in reversed(list(_blocks(*g.shape[:2]))):
            block = g[row, rows]
            if ctx.gelu:  # type: ignore[attr-defined]
                block = torch.ops.aten.gelu_backward.grad_input(
                    block, z[row, rows], grad_input=scratch[: len(block)]
                )
            products.backward(x[row], rows.start, block, None if g_x is None else g_x[row])
            if g_bias is not None:
                g_bias += block.sum(0)
        return g_x, products.weight_gradient().to(weight.dtype), g_bias, None, None, None


class _LinearGELU(torch.autograd.Function):
    """See `linear_gelu`."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(x, weight)
        y = x.new_empty(*x.shape[:2], weight.shape[-1], dtype=dtype)
        for row, rows in _blocks(*y.shape[:2]):
            y[row, rows] = torch.ops.aten.gelu_(product(x[row, rows], weight[row].t()))
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[None, Tensor, None]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        g = gradients[0].to(x.dtype)
        g_weight = torch.zeros_like(weight)
        for row, rows in _blocks(*g.shape[:2]):
            z = product(x[row, rows], weight[row].t())
            block = torch.ops.aten.gelu_backward.grad_input(g[row, rows], z, grad_input=z)
            g_weight[row].addmm_(x[row, rows].t(), block)
        return None, g_weight, None


def _block_size() -> int:
    return _BLOCK * torch.get_num_threads()


def _blocks(batch: int, frames: int) -> Iterator[tuple[int, slice]]:
    """(row of the batch, frames) of each block."""
    size = _block_size()
    for row in range(batch):
        for start in range(0, frames, size):
            yield row, slice(start, min(start + size, frames))


def _zero_unwritten(g_x: Tensor, frames: int, kernel: int, stride: int) -> None:
    """Zero the positions of a gradient [B, I, C] that no frame's first `stride` taps see."""
    if kernel < stride:
        g_x.zero_()
    else:
        g_x[:, frames * stride :] = 0.0
