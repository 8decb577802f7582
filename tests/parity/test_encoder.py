"""Every stage of the encoder against what fairseq recorded, on whole and on padded batches."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.wav2vec2 import Wav2Vec2
from golden import golden_cases, load_case, read_meta, scalar
from recorded import ACTIVATIONS, corpus_key, load_recorded, valid_lengths

WHOLE = golden_cases(where=lambda meta: "nopad.layers" in meta["arrays"])
PADDED = golden_cases(where=lambda meta: "ragged.layers" in meta["arrays"])


def encoder(case: Path, *, reference_padding: bool = True) -> Wav2Vec2:
    model = load_recorded(case, reference_padding=reference_padding).model.eval()
    return model.encoder if isinstance(model, Wav2Vec2CTC) else model


def whole_waveforms(case: Path) -> tuple[Tensor, dict[str, Tensor]]:
    """The part of each utterance that all have, and the case's arrays."""
    meta, arrays = load_case(case)
    return arrays["source"][:, : scalar(meta, "nopad_samples")], arrays


@pytest.mark.parametrize("case", WHOLE)
@torch.no_grad()
def test_every_stage_of_a_whole_batch(case: Path) -> None:
    model = encoder(case)
    waveforms, arrays = whole_waveforms(case)
    latent = model.feature_extractor(waveforms)
    assert_close(latent, arrays["nopad.conv"], **ACTIVATIONS)
    features = model.layer_norm(latent.transpose(1, 2))
    assert_close(features, arrays["nopad.features"], **ACTIVATIONS)
    assert_close(model.encoder_input(features)[0], arrays["nopad.encoder_in"], **ACTIVATIONS)
    out = model.extract_features(waveforms, corpus_key=corpus_key(read_meta(case)))
    assert_close(torch.stack(out.layers), arrays["nopad.layers"], **ACTIVATIONS)
    assert_close(out.context, arrays["nopad.x"], **ACTIVATIONS)
    assert_close(out.context.double(), arrays["nopad.x.f64"], **ACTIVATIONS)
    assert set(out.lengths.tolist()) == {arrays["nopad.x"].shape[1]}


@pytest.mark.parametrize("case", WHOLE)
@torch.no_grad()
def test_a_layer_by_number_is_that_layer_without_the_final_norm(case: Path) -> None:
    model = encoder(case)
    waveforms, arrays = whole_waveforms(case)
    for number, expected in enumerate(arrays["nopad.layers"]):
        out = model.extract_features(waveforms, layer=number, corpus_key=corpus_key(read_meta(case)))
        assert_close(out.context, expected, **ACTIVATIONS)
        assert len(out.layers) == number + 1


@pytest.mark.parametrize("case", PADDED)
@torch.no_grad()
def test_every_layer_of_a_padded_batch(case: Path) -> None:
    model = encoder(case)
    _, arrays = load_case(case)
    frames = valid_lengths(arrays["ragged.out_padding_mask"])
    valid = ~arrays["ragged.out_padding_mask"]
    lengths = valid_lengths(arrays["padding_mask"])
    out = model.extract_features(arrays["source"], lengths, corpus_key=corpus_key(read_meta(case)))
    assert out.lengths.tolist() == frames.tolist()
    for layer, expected in zip(out.layers, arrays["ragged.layers"], strict=True):
        assert_close(layer[valid], expected[valid], **ACTIVATIONS)
    assert_close(out.context[valid], arrays["ragged.x"][valid], **ACTIVATIONS)
    assert_close(out.context[valid].double(), arrays["ragged.x.f64"][valid], **ACTIVATIONS)


@pytest.mark.parametrize("case", PADDED)
@torch.no_grad()
def test_features_of_a_padded_batch(case: Path) -> None:
    model = encoder(case)
    _, arrays = load_case(case)
    valid = ~arrays["ragged.out_padding_mask"]
    latent = model.feature_extractor(arrays["source"], valid_lengths(arrays["padding_mask"]))
    features = model.layer_norm(latent.transpose(1, 2))
    assert_close(features[valid], arrays["ragged.features"][valid], **ACTIVATIONS)
    assert_close(model.encoder_input(features)[0][valid], arrays["ragged.encoder_in"][valid], **ACTIVATIONS)


@pytest.mark.parametrize("case", PADDED)
@torch.no_grad()
def test_without_reference_padding_each_utterance_gets_what_it_gets_alone(case: Path) -> None:
    model = encoder(case, reference_padding=False)
    _, arrays = load_case(case)
    lengths = valid_lengths(arrays["padding_mask"])
    key = corpus_key(read_meta(case))
    out = model.extract_features(arrays["source"], lengths, corpus_key=key)
    for row, length, frames, context in zip(
        arrays["source"], lengths.tolist(), out.lengths.tolist(), out.context, strict=True
    ):
        alone = model.extract_features(row[None, :length], corpus_key=key and key[:1]).context[0]
        assert_close(context[:frames], alone, **ACTIVATIONS)
