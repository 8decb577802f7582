"""The recorded cases as models, draws and batches of the package; nothing here knows the name of a case."""

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

import auricle
from auricle.convert.keys import CTC_STATE_PREFIXES
from auricle.convert.load import Loaded
from auricle.errors import UserError
from auricle.models.wav2vec2 import PretrainingDraws
from golden import Meta

Result = TypeVar("Result")

# How a message begins to say that what was asked for is sound, but not to be had in this version.
_NOT_YET = re.compile(r"not supported|this version")

ACTIVATIONS = {"rtol": 1e-4, "atol": 2e-5}
LOSSES = {"rtol": 1e-5, "atol": 1e-6}
GRAD_NORMS = {"rel": 1e-3}

_ROUNDING = 1e-6
"""Share of the whole gradient's norm below which one parameter's is nothing but rounding: a key's bias, which
shifts all scores of a query alike, has a gradient of 0."""


def or_skip(make: Callable[[], Result], what: object) -> Result:
    """What `make` gives; skips, saying so, where the package answers that this version has no such thing.

    Any other complaint is a failure: a family that is supported never skips.
    """
    try:
        return make()
    except UserError as error:
        if not _NOT_YET.search(str(error)):
            raise
        pytest.skip(f"{what}: {error}")


def load_recorded(case: Path, *, reference_padding: bool = True, file: str = "checkpoint.pt") -> Loaded:
    """A case's model, with fairseq's arithmetic on padded batches unless told otherwise."""
    load = functools.partial(auricle.load, case / file, reference_padding=reference_padding)
    return or_skip(load, case.name)


def recorded_draws(
    span_mask: Tensor,
    negatives: Tensor,
    noise: Tensor | None,
    temperature: float = 1.0,
    *,
    num_codebooks: int = 1,
    channel_mask: Tensor | None = None,
) -> PretrainingDraws:
    """What fairseq drew for one pre-training pass.

    Args:
        span_mask: bool [B, N], as many True in every row.
        negatives: int64 [B, K * M], K a masked frame, numbered over the masked frames of the whole batch.
        noise: [B * M * G, V], or None.
        temperature: Of the Gumbel softmax.
        num_codebooks: G.
        channel_mask: bool [B, C] or None.
    """
    rows = len(span_mask)
    masked = torch.stack([row.nonzero().flatten() for row in span_mask])
    count = masked.shape[1]
    return PretrainingDraws(
        span_mask=span_mask,
        masked_frames=masked,
        valid=torch.ones(rows, count, dtype=torch.bool),
        negatives=negatives.view(rows, count, -1) - count * torch.arange(rows)[:, None, None],
        channel_mask=channel_mask,
        noise=None if noise is None else noise.view(rows, count, num_codebooks, -1),
        temperature=temperature,
    )


def valid_lengths(padding_mask: Tensor) -> Tensor:
    """int64 [B] from a mask [B, T] that is True at padding."""
    return (~padding_mask).sum(-1)


def own_name(name: str) -> str:
    """Our name of a parameter, given fairseq's."""
    for theirs, ours in CTC_STATE_PREFIXES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def assert_grad_norms(model: nn.Module, recorded: dict[str, float]) -> None:
    """The gradient of every parameter has the norm recorded, and there are no others."""
    norms = {name: float(p.grad.norm()) for name, p in model.named_parameters() if p.grad is not None}
    expected = {own_name(name): norm for name, norm in recorded.items()}
    # A parameter that took no part stands in neither, or on one side as an exact 0.
    names = norms.keys() | expected.keys()
    floor = _ROUNDING * sum(norm**2 for norm in expected.values()) ** 0.5
    assert floor > 0
    wrong = {
        name: (norms.get(name, 0.0), expected.get(name, 0.0))
        for name in names
        if norms.get(name, 0.0) != pytest.approx(expected.get(name, 0.0), **GRAD_NORMS, abs=floor)
    }
    assert not wrong


def kinds(meta: Meta, suffix: str) -> Iterator[str]:
    """The prefixes of the recorded arrays that end with `suffix`: "a.b" for "a.b.logits" and ".logits"."""
    return (name.removesuffix(suffix) for name in meta["arrays"] if name.endswith(suffix))
