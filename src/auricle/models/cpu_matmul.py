"""Matrix products on a CPU, by oneDNN.

torch gives those of float32 to MKL, which on processors of other makers than Intel runs at less than half
the rate of oneDNN (docs/decisions/0006-products-by-onednn.md). The operator used here is the one that torch's
compiler emits for linear layers; a build of torch without it falls back on `torch.addmm`.

Legend: M rows, K values of each, N outputs.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

_available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
_onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if _available else None
_reorder = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None) if _available else None
_knows_bfloat16 = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None) if _available else None
_bfloat16 = _knows_bfloat16 is not None and bool(_knows_bfloat16())
"""Whether oneDNN has products of bfloat16: on x86 from AVX-512 on."""

SMALLEST = 2**19
"""Multiplications from which on starting oneDNN is worth it: ten microseconds of work."""


def dtype_of_products(x: Tensor) -> torch.dtype | None:
    """In what the products of `x` are computed here, autocast regarded; None where they are not.

    They are for float32 and bfloat16 on a CPU, being computed and not traced.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return dtype if dtype in (torch.float32, torch.bfloat16) and x.dtype != torch.float64 else None


def applies_to(x: Tensor) -> bool:
    """Whether `x` is float32 and its products, computed here, are too."""
    return x.dtype == torch.float32 and dtype_of_products(x) == torch.float32


def is_inference(x: Tensor, weight: Tensor) -> bool:
    """Whether both are of the type in which their products are computed here, and nobody wants a gradient."""
    return not torch.is_grad_enabled() and x.dtype == weight.dtype == dtype_of_products(x)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    """`x @ weight.T + bias`, without a gradient.

    Args:
        x: [M, K] float32 or bfloat16; rows or columns may lie apart.
        weight: [N, K] of the same type; copied where rows lie apart. Or what `laid_out` made of one.
        bias: [N] of the same type, or None.
        gelu: Whether to apply one to the result.

    Returns:
        [M, N], contiguous.
    """
    if not weight.is_mkldnn:
        if not _knows(x.dtype) or x.shape[0] * weight.numel() < SMALLEST:
            y = torch.mm(x, weight.t()) if bias is None else torch.addmm(bias, x, weight.t())
            return torch.ops.aten.gelu_(y) if gelu else y
        weight = _dense(weight)
    after, formula = ("gelu", "none") if gelu else ("none", "")
    return _onednn(_apart(x), weight, bias, after, [], formula)  # type: ignore[misc,no-any-return]


def laid_out(weight: Tensor) -> Tensor:
    """A weight as oneDNN reads it fastest: for `product`, which lays out any other one anew in each call.

    Args:
        weight: [N, K] float32 or bfloat16.

    Returns:
        [N, K], opaque; the weight itself where oneDNN has no products of its type.
    """
    if _reorder is None or not _knows(weight.dtype):
        return weight
    return _reorder(weight.contiguous(), None)  # type: ignore[no-any-return]


@runtime_checkable
class LaysOut(Protocol):
    """A part of a network that can be told that it will serve inference on a CPU only."""

    def lay_out(self) -> None:
        """Keep the weights as oneDNN reads them fastest, in place of the parameters."""


def lay_out(network: nn.Module) -> None:
    """Tells all parts of a network; it gives the same answers as before, and cannot be trained or saved."""
    if isinstance(network, LaysOut):
        network.lay_out()
        return
    for part in network.children():
        lay_out(part)


def without_values(parameter: Tensor) -> nn.Parameter:
    """What stands in the place of a parameter that was laid out: its shape and type, and no memory."""
    return nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """As `torch.nn.functional.linear`: [..., K] float32 -> [..., N]."""
    return _Linear.apply(x, weight, bias)  # type: ignore[no-any-return,no-untyped-call]


class Linear(nn.Linear):
    """A linear layer whose products, forwards and backwards, are those of this file where they apply."""

    laid_out: Tensor | None = None

    def lay_out(self) -> None:
        """See `LaysOut`."""
        if self.laid_out is None:
            self.laid_out = laid_out(self.weight.detach())
            self.weight = without_values(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[..., K] -> [..., N], of the type of the weight, or of autocast unless the weight was laid out."""
        if self.laid_out is not None:
            return of_rows(x.to(self.weight.dtype), self.laid_out, self.bias)
        x = as_product_of(x, self.weight)
        if applies_to(x):
            return linear(x, self.weight, self.bias)
        return F.linear(x, self.weight, self.bias)


def as_product_of(x: Tensor, weight: Tensor) -> Tensor:
    """`x` in the type of `weight`, unless autocast sees to that."""
    return x if x.dtype == weight.dtype or torch.is_autocast_enabled(x.device.type) else x.to(weight.dtype)


def gelu_of(layer: nn.Linear, x: Tensor) -> Tensor:
    """`gelu(layer(x))`, [..., K] -> [..., N]: in one go where nobody wants a gradient of it."""
    weight = layer.weight
    x = as_product_of(x, weight)
    if not is_inference(x, weight):
        return F.gelu(layer(x))
    known = layer.laid_out if isinstance(layer, Linear) else None
    return of_rows(x, weight if known is None else known, layer.bias, gelu=True)


def of_rows(x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> Tensor:
    """`product` of [..., K]: [..., N]."""
    y = product(x.reshape(-1, x.shape[-1]), weight, bias, gelu=gelu)
    return y.view(*x.shape[:-1], len(weight))


class _Linear(torch.autograd.Function):
    """See `linear`."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x.reshape(-1, x.shape[-1]), weight)
        ctx.shape = x.shape  # type: ignore[attr-defined]
        return of_rows(x, weight, bias)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        of_x, of_weight, of_bias = ctx.needs_input_grad  # type: ignore[attr-defined]
        g = gradients[0].reshape(-1, len(weight))
        return (
            product(g, weight.t()).view(ctx.shape) if of_x else None,  # type: ignore[attr-defined]
            product(g.t(), rows.t()) if of_weight else None,
            g.sum(0) if of_bias else None,
        )


def _knows(dtype: torch.dtype) -> bool:
    """Whether oneDNN has products of this type on this processor."""
    return _onednn is not None and (dtype != torch.bfloat16 or _bfloat16)


def _dense(weight: Tensor) -> Tensor:
    """A weight as oneDNN has a fast product for: without gaps between rows, or else between columns."""
    if weight.is_contiguous() or weight.t().is_contiguous():
        return weight
    # Copied as it lies: to turn it round takes ten times as long, and oneDNN does not care.
    return weight.t().contiguous().t() if weight.stride(0) == 1 else weight.contiguous()


def _apart(x: Tensor) -> Tensor:
    """Rows as oneDNN can read them: neighbours in one direction, no place of memory read twice."""
    (rows, columns), (down, right) = x.shape, x.stride()
    by_rows = right == 1 and down >= columns
    by_columns = down == 1 and right >= rows
    return x if by_rows or by_columns else x.contiguous()
