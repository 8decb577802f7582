"""Dropout: one place, so that every layer draws its random numbers the same way."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Zeroes a share `p` of the values in training and scales the rest by 1 / (1 - p)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        if not self.training or self.p == 0.0:
            return x
        return dropout(x, self.p)

    def extra_repr(self) -> str:
        """For `print(model)`."""
        return f"p={self.p}"


def dropout(x: Tensor, p: float) -> Tensor:
    """`x` with a share `p` of its values zeroed and the rest scaled by 1 / (1 - p)."""
    return F.dropout(x, p, training=True)


def layers_to_run(num_layers: int, layerdrop: float, training: bool) -> list[bool]:
    """Which layers LayerDrop keeps (Fan et al. 2020); no rescaling, as in fairseq (quirk 15).

    The draw is made on the CPU generator, which the training loop seeds anew for every update.
    """
    if not training or layerdrop == 0.0:
        return [True] * num_layers
    return (torch.rand(num_layers) > layerdrop).tolist()
