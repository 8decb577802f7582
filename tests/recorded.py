"""The recorded cases as models, draws and batches of the package; nothing here knows the name of a case."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import auricle
from auricle.convert.keys import CTC_STATE_PREFIXES, SEQ2SEQ_STATE_PREFIXES
from auricle.convert.load import Loaded
from auricle.models.config import Wav2Vec2Config
from auricle.models.wav2vec2 import PretrainingDraws
from golden import Meta, scalar

ACTIVATIONS = {"rtol": 1e-4, "atol": 2e-5}
LOSSES = {"rtol": 1e-5, "atol": 1e-6}
GRAD_NORMS = {"rel": 1e-3}

_ROUNDING = 1e-6
"""Share of the whole gradient's norm below which one parameter's is nothing but rounding: a key's bias, which
shifts all scores of a query alike, has a gradient of 0."""


def load_recorded(case: Path, *, reference_padding: bool = True, file: str = "checkpoint.pt") -> Loaded:
    """A case's model, with fairseq's arithmetic on padded batches unless told otherwise."""
    return auricle.load(case / file, reference_padding=reference_padding)


def recorded_draws(
    config: Wav2Vec2Config,
    span_mask: Tensor,
    negatives: Tensor,
    noises: Sequence[Tensor] = (),
    temperature: float = 1.0,
    *,
    channel_mask: Tensor | None = None,
    codebook_negatives: Tensor | None = None,
) -> PretrainingDraws:
    """What fairseq drew for one pre-training pass.

    Args:
        config: Of the model.
        span_mask: bool [B, N], as many True in every row.
        negatives: int64 [B, K * M], K a masked frame, numbered over the candidates of the whole batch: its
            masked frames, or all of its frames.
        noises: [B * R * G, V] of each call of a quantizer: that of the input first, then that of the targets.
        temperature: Of the Gumbel softmax.
        channel_mask: bool [B, C] or None.
        codebook_negatives: int64 [K' * B * M], combinations of entries, their digits the entries' numbers.
    """
    rows, frames = span_mask.shape
    masked = torch.stack([row.nonzero().flatten() for row in span_mask])
    count = masked.shape[1]
    candidates = frames if config.negatives.from_everywhere else count
    negatives = negatives.view(rows, count, -1)
    if config.negatives.cross_sample == 0:
        negatives = negatives - candidates * torch.arange(rows)[:, None, None]
    remaining = [noise.view(rows, -1, groups(config), noise.shape[-1]) for noise in noises]
    input_noise = remaining.pop(0) if remaining and config.input_quantizer else None
    return PretrainingDraws(
        span_mask=span_mask,
        masked_frames=masked,
        valid=torch.ones(rows, count, dtype=torch.bool),
        negatives=negatives,
        channel_mask=channel_mask,
        noise=remaining.pop() if remaining else None,
        temperature=temperature,
        input_noise=input_noise,
        codebook_negatives=None if codebook_negatives is None else digits(codebook_negatives, config, rows),
    )


def groups(config: Wav2Vec2Config) -> int:
    quantizer = config.quantizer or config.input_quantizer
    assert quantizer is not None
    return quantizer.num_codebooks


def digits(combinations: Tensor, config: Wav2Vec2Config, rows: int) -> Tensor:
    """int64 [K' * B * M] -> [B, M, K', G]; the first codebook is the most significant digit."""
    assert config.quantizer is not None
    entries, powers = config.quantizer.num_entries, range(config.quantizer.num_codebooks - 1, -1, -1)
    split = torch.stack([combinations // entries**power % entries for power in powers], dim=-1)
    return split.view(config.negatives.codebook, rows, -1, len(powers)).permute(1, 2, 0, 3)


def corpus_key(meta: Meta) -> list[int] | None:
    """Which adapters the case's passes went through."""
    return scalar(meta, "corpus_key") if "corpus_key" in meta["scalars"] else None


def valid_lengths(padding_mask: Tensor) -> Tensor:
    """int64 [B] from a mask [B, T] that is True at padding."""
    return (~padding_mask).sum(-1)


def own_name(name: str) -> str:
    """Our name of a parameter, given fairseq's."""
    for theirs, ours in {**CTC_STATE_PREFIXES, **SEQ2SEQ_STATE_PREFIXES}.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def assert_grad_norms(model: nn.Module, recorded: dict[str, float]) -> None:
    """The gradient of every parameter has the norm recorded, and there are no others."""
    expected = {own_name(name): norm for name, norm in recorded.items()}
    # A parameter that stands in two places is recorded under one of its names.
    norms = {
        min(names, key=lambda name: name not in expected): float(p.grad.norm())
        for p, names in names_of_parameters(model).items()
        if p.grad is not None
    }
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


def names_of_parameters(model: nn.Module) -> dict[nn.Parameter, list[str]]:
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    return names


def kinds(meta: Meta, suffix: str) -> Iterator[str]:
    """The prefixes of the recorded arrays that end with `suffix`: "a.b" for "a.b.logits" and ".logits"."""
    return (name.removesuffix(suffix) for name in meta["arrays"] if name.endswith(suffix))
