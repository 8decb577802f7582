"""Whether a model gives the same answers before and after a conversion."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from auricle.convert.loaded import Loaded
from auricle.errors import UserError
from auricle.models.build import Model
from auricle.models.conv import receptive_field
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.language_model import TransformerLM
from auricle.models.roberta import Roberta
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from auricle.models.wav2vec import Wav2Vec
from auricle.models.wav2vec2 import Wav2Vec2, Wav2Vec2Pretraining

TOLERANCE = 1e-5
"""Of the largest difference, for each unit of the largest answer: rounding, and nothing more."""

_SEED = 1
_FRAMES = 25
_SYMBOLS = 12


def largest_difference(before: Loaded, after: Loaded) -> float:
    """Between the answers of two models to a test signal, which every head of theirs takes part in.

    Args:
        before: The model as the format can hold it.
        after: What was written, read again.

    Returns:
        The largest absolute difference.

    Raises:
        UserError: It is more than rounding, or a weight differs by as much as a bit.
    """
    _compare_weights(before.model.state_dict(), after.model.state_dict())
    largest = 0.0
    with torch.inference_mode():
        for name, expected, found in _pairs(before.model, after.model):
            if expected.shape != found.shape:
                raise UserError(f"what was written gives another number of answers ({name}): nothing is kept")
            if _equal(expected, found) or not expected.numel():
                continue
            scale = max(float(expected.abs().max()), 1.0)
            difference = float((expected.double() - found.double()).abs().max())
            if not difference <= TOLERANCE * scale:
                by = f"{name} differs by {difference:.3g}"
                raise UserError(f"what was written gives other answers ({by}): nothing is kept")
            largest = max(largest, difference)
    return largest


def _compare_weights(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
    for name in before.keys() | after.keys():
        same = name in before and name in after and _equal(before[name].cpu(), after[name].cpu())
        if not same:
            raise UserError(f"what was written has another weight {name}: nothing is kept")


def _equal(before: Tensor, after: Tensor) -> bool:
    """Bit for bit: a NaN is itself."""
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    flat = (tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (before, after))
    return torch.equal(*flat)


def _pairs(before: Model, after: Model) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The answers of both, by what they are."""
    expected, found = answers(before), answers(after)
    for name in expected.keys() | found.keys():
        nothing = torch.zeros(0)
        yield name, expected.get(name, nothing), found.get(name, nothing)


def answers(model: Model) -> dict[str, Tensor]:
    """What a model says to a signal that is the same every time."""
    generator = torch.Generator().manual_seed(_SEED)
    match model:
        case TransformerLM():
            tokens = torch.randint(model.config.num_symbols, (2, _SYMBOLS), generator=generator)
            return {"log-probabilities": model(tokens[:, : model.config.decoder.max_positions])}
        case Roberta():
            tokens = torch.randint(4, model.config.num_symbols, (2, _SYMBOLS), generator=generator)
            return {"logits": model(tokens[:, : model.config.max_positions])}
        case Wav2Vec():
            return _wav2vec_answers(model, generator)
        case _:
            return _wav2vec2_answers(model, generator)


def _wav2vec_answers(model: Wav2Vec, generator: torch.Generator) -> dict[str, Tensor]:
    features = model.feature_extractor(_noise(model.config.conv_layers, generator))
    named = {"features": features}
    if model.vector_quantizer is not None:
        features, named["codes"] = model.vector_quantizer.forward_idx(features)
        named["quantized"] = features
    return named | {"context": model.feature_aggregator(features)}


def _wav2vec2_answers(
    model: Wav2Vec2 | Wav2Vec2CTC | Wav2Vec2Seq2Seq, generator: torch.Generator
) -> dict[str, Tensor]:
    encoder = model if isinstance(model, Wav2Vec2) else model.encoder
    waveforms = _noise(encoder.config.conv_layers, generator)
    lengths = torch.tensor([waveforms.shape[1], waveforms.shape[1] * 3 // 4])
    key = 0 if encoder.config.encoder.layer_type == "trf_adp" else None
    features = encoder.extract_features(waveforms, lengths, corpus_key=key)
    named = {f"layer {i}": layer for i, layer in enumerate(features.layers)} | {"context": features.context}
    if isinstance(model, Wav2Vec2Pretraining):
        named |= _head_answers(model, features.context, generator)
    elif isinstance(model, Wav2Vec2CTC):
        named["logits"] = model(waveforms, lengths, corpus_key=key).logits
    elif isinstance(model, Wav2Vec2Seq2Seq):
        previous = torch.randint(model.config.num_labels, (2, _SYMBOLS), generator=generator)
        previous = previous[:, : model.config.decoder.max_positions]
        named["logits"] = model(waveforms, lengths, previous, corpus_key=key).logits
    return named


def _head_answers(
    model: Wav2Vec2Pretraining, context: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """What the pre-training heads make of features and contexts."""
    targets = torch.randn(2, _FRAMES, model.feature_extractor.out_channels, generator=generator)
    if model.quantizer is not None:
        targets = model.quantizer(targets).vectors
    targets = model.project_q(targets)
    if model.target_glu is not None:
        targets = model.target_glu(targets)
    return {"targets": targets, "predictions": model.final_proj(context)}


def _noise(conv_layers: tuple[tuple[int, int, int], ...], generator: torch.Generator) -> Tensor:
    """[2, T]: noise of about `_FRAMES` frames."""
    hop = 1
    for _, _, stride in conv_layers:
        hop *= stride
    return torch.randn(2, receptive_field(conv_layers) + hop * _FRAMES, generator=generator)
