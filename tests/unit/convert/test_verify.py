"""The comparison that every conversion has to pass."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import forged
from auricle.convert.loaded import Loaded
from auricle.convert.verify import answers, largest_difference
from auricle.convert.weights import with_reference_padding
from auricle.errors import UserError
from auricle.models.build import build_model
from auricle.models.config import (
    CTCConfig,
    DecoderConfig,
    LanguageModelConfig,
    ModelConfig,
    RobertaConfig,
    Seq2SeqConfig,
)
from auricle.models.wav2vec_config import AggregatorConfig, CodebooksConfig, Wav2VecConfig

SMALL = {"num_layers": 1, "dim": 8, "ffn_dim": 6, "num_heads": 2}
WAV2VEC = Wav2VecConfig(((4, 10, 5), (4, 8, 4)), aggregator=AggregatorConfig(conv_layers=((4, 2, 1),)))
CONFIGS: dict[str, ModelConfig] = {
    "pretraining": forged.ENCODER,
    "encoder": replace(forged.ENCODER, heads=False),
    "ctc": forged.FINETUNED,
    "seq2seq": Seq2SeqConfig(forged.ENCODER, DecoderConfig(**SMALL, max_positions=5), num_labels=6),  # type: ignore[arg-type]
    "wav2vec": WAV2VEC,
    "kmeans": replace(WAV2VEC, quantizer=CodebooksConfig("kmeans", 2, 3)),
    "lm": LanguageModelConfig(9, DecoderConfig(**SMALL, max_positions=5), 8, 8),  # type: ignore[arg-type]
    "roberta": RobertaConfig(9, 5, **SMALL),  # type: ignore[arg-type]
}


def of(config: ModelConfig) -> Loaded:
    """A model of weights that are large enough for every part to matter."""
    torch.manual_seed(1)
    model = build_model(config).eval()
    for parameter in model.parameters():
        parameter.data.normal_(0.0, 0.5)
    return Loaded(model, None, config, 0, Path("x"))


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_model_is_the_same_as_itself(kind: str) -> None:
    model = of(CONFIGS[kind])
    assert largest_difference(model, copy.deepcopy(model)) == 0.0
    found = answers(model.model)
    assert all(tensor.numel() for tensor in found.values())
    assert all(torch.equal(tensor, found[name]) for name, tensor in answers(model.model).items())


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_bit_of_any_weight_is_seen(kind: str) -> None:
    model = of(CONFIGS[kind])
    for name in model.model.state_dict():
        other = copy.deepcopy(model)
        tensor = other.model.state_dict()[name].reshape(-1)
        tensor.view(torch.uint8)[0] ^= 1
        with pytest.raises(UserError, match=f"another weight {name}: nothing is kept"):
            largest_difference(model, other)


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (forged.ENCODER, {"encoder": replace(forged.ENCODER.encoder, activation="relu")}),
        (forged.ENCODER, {"encoder": replace(forged.ENCODER.encoder, num_heads=1)}),
        (forged.ENCODER, {"encoder": replace(forged.ENCODER.encoder, pre_norm=True)}),
        (WAV2VEC, {"log_compression": False}),
        (WAV2VEC, {"activation": "gelu"}),
    ],
)
def test_the_same_weights_computed_with_otherwise_are_seen(
    config: ModelConfig, change: dict[str, object]
) -> None:
    model, other = of(config), of(replace(config, **change))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="gives other answers"):
        largest_difference(model, other)


def test_a_model_of_another_kind_is_seen() -> None:
    encoder = of(replace(forged.ENCODER, heads=False))
    with pytest.raises(UserError, match=r"another weight|another number"):
        largest_difference(of(forged.ENCODER), encoder)
    recogniser = CTCConfig(forged.ENCODER, num_labels=9)
    with pytest.raises(UserError, match="another weight"):
        largest_difference(of(recogniser), of(replace(recogniser, num_labels=8)))


def test_rounding_is_told_and_let_through() -> None:
    """Padding computed as fairseq does, where it makes next to no difference."""
    config = replace(forged.ENCODER, conv_norm="layer")
    difference = largest_difference(of(config), of(with_reference_padding(config)))
    assert 0 <= difference < 1e-5
