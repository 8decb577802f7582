"""Compiling a model for training, part by part.

What is compiled is what does nearly all the work and comes again and again: the convolutions as one part, and
each layer, of which all share one program. Between them stays Python, which may leave layers out or freeze
some without anything being compiled anew; so do heads and losses, whose shapes follow the number of masked
frames. When batches change their shape, a part is compiled once more, for all shapes from then on.
"""

import re
from collections.abc import Iterator

from torch import nn

from auricle.models.conv import ConvFeatureExtractor

_LAYER = re.compile(r"(.*\.)?layers\.\d+")


def layers_of(model: nn.Module) -> Iterator[nn.Module]:
    """The layers of a model's encoder and decoder."""
    yield from (module for name, module in model.named_modules() if _LAYER.fullmatch(name))


def compile_parts(model: nn.Module, backend: str = "inductor") -> None:
    """Compile convolutions and layers when they first run; names and weights stay.

    Losses and gradients are those of the model as it was, but for rounding. Dropout draws other numbers: on
    a CPU, a model that is not compiled has its own way to draw them.

    Args:
        model: Changed in place.
        backend: torch's word for who makes the programs.
    """
    for part in (*layers_of(model), *(m for m in model.modules() if isinstance(m, ConvFeatureExtractor))):
        part.compile(backend=backend)
