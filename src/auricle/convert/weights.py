"""Named tensors of a file put into a network that is built for them."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from auricle.convert.values import with_values
from auricle.errors import UserError
from auricle.models.build import Model, build_model
from auricle.models.config import CTCConfig, LanguageModelConfig, ModelConfig, RobertaConfig, Seq2SeqConfig

_ROOM_FOR_THE_REST = 2**20
"""Bytes that building a network may take besides its weights."""

_FACTORIES = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})
_RANDOM_FACTORIES = frozenset({torch.rand, torch.randn})
_RANDOM_FILLS = frozenset(
    {Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_}
)


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
    num_elements = sum(math.prod(weight.shape) for weight in weights.values())
    try:
        with _BlankNetwork(2 * num_elements * torch.float32.itemsize + _ROOM_FOR_THE_REST):
            model = build_model(config)
    except (RuntimeError, OverflowError) as error:  # sizes that torch cannot multiply
        raise UserError(f"no network can be built from the configuration ({_line(error)})") from error
    state = model.state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in state.items()}
    _compare(expected, {name: tuple(weight.shape) for name, weight in weights.items()})
    loaded = {name: _of_kind(state[name], weights[name].load(), name).to(device) for name in expected}
    model.load_state_dict(loaded, assign=True)
    return model.eval()


def with_reference_padding(config: ModelConfig) -> ModelConfig:
    """The same, with fairseq's arithmetic on padded batches."""
    match config:
        case CTCConfig() | Seq2SeqConfig():
            return with_values(config, {"encoder.reference_padding": True})
        case LanguageModelConfig() | RobertaConfig():
            return config  # padding does nothing to text, in fairseq neither
        case _:
            return replace(config, reference_padding=True)


class _BlankNetwork(TorchFunctionMode):
    """Builds a network without drawing initial values, which are about to be replaced.

    Whatever sizes an untrusted configuration asks for, no more memory is taken than `limit` bytes. (Tensors
    on torch's "meta" device would take none, but the first one costs a second of imports.)
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.left = limit

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Stands before every call of a torch function."""
        kwargs = kwargs or {}
        if func in _RANDOM_FILLS:
            return args[0] if args else kwargs["tensor"]
        factory = torch.empty if func in _RANDOM_FACTORIES else func
        if func in _FACTORIES:
            self.left -= factory(*args, **{**kwargs, "device": "meta"}).nbytes
            if self.left < 0:
                raise UserError("its configuration describes a network of more weights than it has")
        return factory(*args, **kwargs)


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


def _of_kind(own: Tensor, tensor: Tensor, name: str) -> Tensor:
    """A file's tensor as real numbers, or as whole ones where the network counts (a batch norm, batches)."""
    if tensor.is_floating_point() != own.is_floating_point():
        kind = "real" if own.is_floating_point() else "whole"
        raise UserError(f"{name} holds {tensor.dtype}, where a network has {kind} numbers")
    return tensor.to(torch.float32 if own.is_floating_point() else own.dtype)


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
