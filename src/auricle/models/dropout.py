"""Dropout: one place, so that every layer draws its random numbers the same way."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEVELS = 2**16


class Dropout(nn.Module):
    """Zeroes a share `p` of the values in training and scales the rest by 1 / (1 - p)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return dropout(x, self.p) if self.training and self.p > 0.0 else x

    def extra_repr(self) -> str:
        """For `print(model)`."""
        return f"p={self.p}"


def dropout(x: Tensor, p: float) -> Tensor:
    """`x` with a share `p` of its values zeroed and the rest scaled by 1 / (1 - p)."""
    if x.device.type != "cpu" or p >= 1.0 or torch.compiler.is_compiling():
        return F.dropout(x, p, training=True)
    return _CPUDropout.apply(x, p)  # type: ignore[no-any-return,no-untyped-call]


class _CPUDropout(torch.autograd.Function):
    """Dropout by `keep_mask`."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, p: float) -> Tensor:
        keep = keep_mask(x.shape, p)
        ctx.save_for_backward(keep)
        ctx.scale = 1.0 / (1.0 - p)  # type: ignore[attr-defined]
        return (x * keep).mul_(ctx.scale)  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return (gradients[0] * keep).mul_(ctx.scale), None  # type: ignore[attr-defined]


def keep_mask(shape: Sequence[int], p: float) -> Tensor:
    """int16 of that shape on the CPU: 0 at a share `p` of the places, 1 at the others.

    From 16 random bits a place, a quarter of what torch's dropout draws; so the share is kept to 1 / 65536.
    The bits come from torch's CPU generator, one after the other, so they do not depend on the number of
    threads. Integers, because torch multiplies by them six times as fast as by truth values.
    """
    level = round(p * _LEVELS)
    if level in (0, _LEVELS):
        return torch.full(tuple(shape), int(level == 0), dtype=torch.int16)
    count = math.prod(shape)
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    first_kept = level - _LEVELS // 2
    lanes = words.view(torch.int16)[:count].view(tuple(shape))
    return lanes.clamp_(first_kept - 1, first_kept).sub_(first_kept - 1)


_layer_chance: torch.Generator | None = None


@contextmanager
def layers_drawn_from(seed: int) -> Iterator[None]:
    """Within it, every forward pass of a network leaves out the same layers, those that `seed` decides."""
    global _layer_chance
    before, _layer_chance = _layer_chance, torch.Generator().manual_seed(seed)
    try:
        yield
    finally:
        _layer_chance = before


def layers_to_run(num_layers: int, layerdrop: float, training: bool) -> list[bool]:
    """Which layers LayerDrop keeps (Fan et al. 2020); no rescaling, as in fairseq (quirk 15).

    The draw is made on the CPU: by torch's generator, or by that of `layers_drawn_from`.
    """
    if not training or layerdrop == 0.0:
        return [True] * num_layers
    return (torch.rand(num_layers, generator=_layer_chance) > layerdrop).tolist()
