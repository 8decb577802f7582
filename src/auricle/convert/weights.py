"""Named tensors of a file put into a network that is built for them, without ever having two of them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from auricle.convert.values import with_values
from auricle.errors import UserError
from auricle.models.build import Model, build_model
from auricle.models.config import CTCConfig, ModelConfig


class Weight(Protocol):
    """A tensor of a file, not loaded yet."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""

    def load(self) -> Tensor:
        """The tensor, in memory of its own."""


def model_with_weights(
    config: ModelConfig, weights: Mapping[str, Weight], device: str | torch.device = "cpu"
) -> Model:
    """The network of a configuration, in evaluation mode, with a file's weights as float32.

    Args:
        config: Checked for consistency.
        weights: One for each name of the network's state dict, and no others.
        device: Where the network goes.

    Raises:
        UserError: The names or shapes are not the network's.
    """
    try:
        # Without storage: whatever sizes the configuration asks for, no memory is taken for them before
        # they are seen to be those of tensors that are there.
        with torch.device("meta"):
            model = build_model(config)
    except (RuntimeError, OverflowError) as error:
        raise UserError(f"no network can be built from the configuration ({_line(error)})") from error
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    _compare(expected, {name: tuple(weight.shape) for name, weight in weights.items()})
    loaded = {name: _as_float(weights[name].load(), name).to(device) for name in expected}
    model.load_state_dict(loaded, assign=True)
    return model.eval()


def with_reference_padding(config: ModelConfig) -> ModelConfig:
    """The same, with fairseq's arithmetic on padded batches."""
    if isinstance(config, CTCConfig):
        return with_values(config, {"encoder.reference_padding": True})
    return replace(config, reference_padding=True)


def _compare(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> None:
    if missing := expected.keys() - found.keys():
        raise UserError(f"weights are missing that its configuration asks for: {_listed(missing)}")
    if surplus := found.keys() - expected.keys():
        raise UserError(f"its configuration has no use for some of its weights: {_listed(surplus)}")
    for name, shape in expected.items():
        if found[name] != shape:
            raise UserError(f"{name} is of shape {found[name]}, where its configuration makes it {shape}")


def _listed(names: Iterable[str], limit: int = 3) -> str:
    names = sorted(names)
    rest = len(names) - limit
    return ", ".join(repr(name[:80]) for name in names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def _as_float(tensor: Tensor, name: str) -> Tensor:
    if not tensor.is_floating_point():
        raise UserError(f"{name} holds {tensor.dtype}, where a network has real numbers")
    return tensor.to(torch.float32)


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
